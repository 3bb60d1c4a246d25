"""Alarms of a record against its annotations: detector, shipped model, the patient's own reference, alarm engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.programs import ToolError

from detector import Scorer
from monitor.messages import Alarm
from studies.play import Signal, play
from studies.truth import WITHIN_S, Episode, Truth, read_truth
from train.data.records import data_folder, read_record, record_names

__all__ = ["SETS", "WITHIN_S", "Job", "jobs_of", "measure"]

SETS: Final = ("cudb", "mitdb", "nstdb")
_HIGH: Final = (
    *("ventricular_fibrillation", "asystole", "ventricular_run"),
    *("extreme_tachycardia", "extreme_bradycardia"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One record of a data set."""

    data_set: str
    record: str

    @property
    def key(self) -> str:
        """Name of the run in the file."""
        return f"{self.data_set}:{self.record}"


def jobs_of(sets: str, records: str = "") -> list[Job]:
    """The named records of these data sets; default all.

    Raises:
        ToolError: an unknown data set or record.
    """
    names = [name for name in sets.split(",") if name]
    if unknown := set(names) - set(SETS):
        raise ToolError(f"no data set {', '.join(sorted(unknown))}: there are {', '.join(SETS)}")
    jobs = [
        Job(name, record) for name in names for record in record_names(name) if name != "nstdb" or record[0].isdigit()
    ]
    wanted = {name for name in records.split(",") if name}
    if unknown := wanted - {job.record for job in jobs}:
        raise ToolError(f"no record {', '.join(sorted(unknown))} in {', '.join(names)}")
    return [job for job in jobs if not wanted or job.record in wanted]


def measure(job: Job, scorer: Scorer) -> dict[str, Any]:
    """Run one record through a bed, and compare its alarms with the annotations."""
    record = read_record(job.record, job.data_set)
    length_s = len(record.samples_mv) / record.fs_hz
    truth = read_truth(data_folder(job.data_set) / job.record, record.fs_hz, length_s)
    kept = play(Signal(job.key, record.lead, record.fs_hz, record.samples_mv), scorer)
    raised = stretches(kept.alarms, record.fs_hz, length_s)
    run: dict[str, Any] = {
        "set": job.data_set,
        "record": job.record,
        "seconds": round(length_s, 1),
        "alarms": [judged(alarm, truth) for alarm in raised],
        "episodes": [met(episode, raised) for episode in episodes(job.data_set, truth)],
    }
    if job.data_set == "cudb":
        run["quiet_s"] = quiet_s(truth)
    return run


def stretches(changes: Sequence[Alarm], fs_hz: float, length_s: float) -> list[dict[str, Any]]:
    """Every raised alarm with its time: from `onset` to `latched` or `cleared`."""
    up: dict[str, dict[str, Any]] = {}
    raised: list[dict[str, Any]] = []
    for alarm in changes:
        at_s = round(alarm.decided_sample / fs_hz, 2)
        if alarm.state == "onset" and not alarm.update:
            up[alarm.alarm_id] = {
                "kind": alarm.kind,
                "priority": alarm.priority,
                "technical": alarm.category == "technical",
                # an alarm that recurs after it latched concerns now, not its first onset
                "onset_s": round(alarm.onset_sample / fs_hz, 2) if alarm.count == 1 else at_s,
                "decided_s": at_s,
                "end_s": round(length_s, 2),
            }
            raised.append(up[alarm.alarm_id])
        elif alarm.state in ("latched", "cleared") and alarm.alarm_id in up:
            up.pop(alarm.alarm_id)["end_s"] = at_s
    return raised


def judged(alarm: dict[str, Any], truth: Truth) -> dict[str, Any]:
    """The alarm with whether it is true; None for a technical one, which annotations do not cover."""
    true = None
    if not alarm["technical"]:
        true = truth.confirms(alarm["kind"], alarm["onset_s"], alarm["decided_s"])
    return alarm | {"true": true}


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


def quiet_s(truth: Truth) -> float:
    """Time before the first fibrillation, less 10 s, s: a high alarm there is false."""
    first_s = truth.fibrillation[0][0] if truth.fibrillation else truth.length_s + WITHIN_S
    return round(max(0.0, first_s - WITHIN_S), 2)
