"""Alarms of a record against its annotations: detector, shipped model, the patient's own reference, alarm engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from detector import Scorer
from monitor.messages import Alarm
from studies.runs import Jobs, Signal, play
from studies.truth import WITHIN_S, Episode, Truth, read_truth
from train.data.noise_mix import NOISES
from train.data.records import data_folder, read_record, record_names

_HIGH: Final = (
    *("ventricular_fibrillation", "asystole", "ventricular_run"),
    *("extreme_tachycardia", "extreme_bradycardia"),
)


def jobs() -> Jobs:
    """Each record of cudb, mitdb and nstdb (without its pure noises)."""
    sets = {name: record_names(name) for name in ("cudb", "mitdb", "nstdb")}
    return {f"{name}:{record}": (name, record) for name in sets for record in sets[name] if record not in NOISES}


def measure(data_set: str, name: str, scorer: Scorer) -> dict[str, Any]:
    """Run one record through a bed, and compare its alarms with the annotations."""
    record = read_record(name, data_set)
    length_s = len(record.samples_mv) / record.fs_hz
    truth = read_truth(data_folder(data_set) / name, record.fs_hz, length_s)
    kept = play(Signal(record.lead, record.fs_hz, record.samples_mv), scorer)
    raised = stretches(kept.alarms, truth, record.fs_hz)
    run: dict[str, Any] = {
        "set": data_set,
        "record": name,
        "seconds": round(length_s, 1),
        "alarms": raised,
        "episodes": [met(episode, raised) for episode in episodes(data_set, truth)],
    }
    if data_set == "cudb":  # time before the first fibrillation, less 10 s: a high alarm there is false
        first_s = truth.fibrillation[0][0] if truth.fibrillation else length_s + WITHIN_S
        run["quiet_s"] = round(max(0.0, first_s - WITHIN_S), 2)
    return run


def stretches(changes: Sequence[Alarm], truth: Truth, fs_hz: float) -> list[dict[str, Any]]:
    """Every raised alarm, from `onset` to `latched` or `cleared`; `true` is None for a technical one, without truth."""
    up: dict[str, dict[str, Any]] = {}
    raised: list[dict[str, Any]] = []
    for alarm in changes:
        at_s = round(alarm.decided_sample / fs_hz, 2)
        if alarm.state == "onset" and not alarm.update:
            # an alarm that recurs after it latched concerns now, not its first onset
            onset_s = round(alarm.onset_sample / fs_hz, 2) if alarm.count == 1 else at_s
            technical = alarm.category == "technical"
            raised.append({
                "kind": alarm.kind, "priority": alarm.priority, "technical": technical, "onset_s": onset_s,
                "decided_s": at_s, "end_s": round(truth.length_s, 2),
                "true": None if technical else truth.confirms(alarm.kind, onset_s, at_s),
            })  # fmt: skip
            up[alarm.alarm_id] = raised[-1]
        elif alarm.state in ("latched", "cleared") and alarm.alarm_id in up:
            up.pop(alarm.alarm_id)["end_s"] = at_s
    return raised


def episodes(data_set: str, truth: Truth) -> list[Episode]:
    """Episodes of a record of this data set that must raise an alarm."""
    if data_set != "mitdb":
        return truth.fibrillations()
    return [
        *truth.fibrillations(),
        *truth.ventricular_runs(),
        *truth.silences("asystole", 4.2),
        *truth.silences("pause", 3.2, 4.2),
        *truth.rates("extreme_tachycardia"),
        *truth.rates("extreme_bradycardia"),
    ]


def met(episode: Episode, raised: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The episode with the first alarm that reported it: any of high priority (for a pause also `pause`).

    `after_s` is 0 where an alarm was active at the onset already; of several such the most specific kind counts.
    """
    kinds = (*_HIGH, "pause") if episode.kind == "pause" else _HIGH
    latest = max(episode.end_s, episode.first_s) + 30.0
    seen = [
        (max(0.0, alarm["decided_s"] - episode.first_s), kinds.index(alarm["kind"]), alarm["kind"])
        for alarm in raised
        if alarm["kind"] in kinds and alarm["end_s"] > episode.first_s and alarm["decided_s"] <= latest
    ]
    after_s, _, kind = min(seen, default=(None, 0, None))
    return {
        "kind": episode.kind,
        "first_s": round(episode.first_s, 2),
        "end_s": round(episode.end_s, 2),
        "after_s": None if after_s is None else round(after_s, 2),
        "by": kind,
    }
