"""One record through detector, model and alarm engine, held against its annotations; many of them, kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from studies.kept import Runs, StudyError

from alarm_study.replay import RULES, Played, find
from alarm_study.truth import WITHIN_S, Episode, Truth, read_truth
from detector import Scorer
from monitor.messages import Alarm
from train.data.records import data_folder, read_record, record_names

__all__ = ["SETS", "Job", "Study", "jobs_of", "measure"]

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
    """The records of these data sets, or those of them that are named.

    Raises:
        StudyError: an unknown data set or record.
    """
    names = [name for name in sets.split(",") if name]
    if unknown := set(names) - set(SETS):
        raise StudyError(f"no data set {', '.join(sorted(unknown))}: there are {', '.join(SETS)}")
    jobs = [
        Job(name, record) for name in names for record in record_names(name) if name != "nstdb" or record[0].isdigit()
    ]
    wanted = {name for name in records.split(",") if name}
    if unknown := wanted - {job.record for job in jobs}:
        raise StudyError(f"no record {', '.join(sorted(unknown))} in {', '.join(names)}")
    return [job for job in jobs if not wanted or job.record in wanted]


def measure(job: Job, scorer: Scorer) -> dict[str, Any]:
    """Run one record under the rules as they are, and (mitdb) under each set of fewer rules."""
    record = read_record(job.record, job.data_set)
    length_s = len(record.samples_mv) / record.fs_hz
    truth = read_truth(data_folder(job.data_set) / job.record, record.fs_hz, length_s)
    played = find(record.samples_mv, record.fs_hz, scorer)
    raised = stretches(played.alarms(RULES["all rules"]), record.fs_hz, length_s)
    run: dict[str, Any] = {
        "set": job.data_set,
        "record": job.record,
        "seconds": round(length_s, 1),
        "alarms": [judged(alarm, truth) for alarm in raised],
        "episodes": [met(episode, raised) for episode in episodes(job.data_set, truth)],
    }
    if job.data_set == "cudb":
        run["quiet_s"] = quiet_s(truth)
    if job.data_set == "mitdb":
        run["load"] = loads(played)
    return run


def stretches(changes: Sequence[Alarm], fs_hz: float, length_s: float) -> list[dict[str, Any]]:
    """Every time an alarm was raised, with how long it was up: from `onset` to `latched` or `cleared`."""
    up: dict[str, dict[str, Any]] = {}
    told: list[dict[str, Any]] = []
    for alarm in changes:
        at_s = round(alarm.decided_sample / fs_hz, 2)
        if alarm.state == "onset" and not alarm.update:
            up[alarm.alarm_id] = {
                "kind": alarm.kind,
                "priority": alarm.priority,
                "technical": alarm.category == "technical",
                # one that comes back after it latched is about now, not about its first onset
                "onset_s": round(alarm.onset_sample / fs_hz, 2) if alarm.count == 1 else at_s,
                "decided_s": at_s,
                "end_s": round(length_s, 2),
            }
            told.append(up[alarm.alarm_id])
        elif alarm.state in ("latched", "cleared") and alarm.alarm_id in up:
            up.pop(alarm.alarm_id)["end_s"] = at_s
    return told


def judged(alarm: dict[str, Any], truth: Truth) -> dict[str, Any]:
    """The same alarm with whether it is true; None of a technical one, which no annotation tells."""
    true = None
    if not alarm["technical"]:
        true = truth.confirms(alarm["kind"], alarm["onset_s"], alarm["decided_s"])
    return alarm | {"true": true}


def episodes(data_set: str, truth: Truth) -> list[Episode]:
    """What must alarm in a record of this data set."""
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
    """The episode with the alarm that told of it: any of high priority (of a pause also `pause` itself).

    It counts from when the alarm is up; one that was up already at the onset, and still is, came after 0 s. The first
    to come counts, and of those that were up already the most telling kind.
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
    """From the begin of a record to 10 s before its first fibrillation, s: where a high alarm is false."""
    first_s = truth.fibrillation[0][0] if truth.fibrillation else truth.length_s + WITHIN_S
    return round(max(0.0, first_s - WITHIN_S), 2)


def loads(played: Played) -> dict[str, dict[str, int]]:
    """Notifications under each set of rules: every `onset`, by `priority kind`."""
    found: dict[str, dict[str, int]] = {}
    for name, rules in RULES.items():
        counts: dict[str, int] = {}
        for alarm in played.alarms(rules):
            if alarm.state == "onset" and not alarm.update:
                what = f"{alarm.priority} {alarm.kind}"
                counts[what] = counts.get(what, 0) + 1
        found[name] = counts
    return found


class Study(Runs):
    """The records measured so far, in a file.

    Raises:
        StudyError: the file is none of ours, or was measured with another model.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "tools/alarms.py", {"within_s": WITHIN_S})
