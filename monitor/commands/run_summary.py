"""Lines at the end of a run: counts and alarms of the beds, and where the files are."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from monitor.config import Config
from monitor.messages import PRIORITY_RANK, StatusMessage

if TYPE_CHECKING:
    from monitor.engine.pipeline import Pipeline

__all__ = ["BEDS", "file_lines", "summary_lines"]

BEDS: Final = 20  # beds with a line of their own


def summary_lines(pipeline: Pipeline) -> Iterator[str]:
    """One line for each bed, at most `BEDS`; of more beds also one with the sums."""
    alarms: dict[str, Counter[str]] = {name: Counter() for name in pipeline.beds}
    for (bed, _kind, priority), number in pipeline.counters.onsets.items():
        alarms.setdefault(bed, Counter())[priority] += number
    statuses = {bed.name: bed.status() for bed in pipeline.beds.values()}
    for name, status in list(statuses.items())[:BEDS]:
        yield _counts(name, [status], alarms[name])
    if len(statuses) > BEDS:
        yield _counts(f"all {len(statuses)} beds", list(statuses.values()), sum(alarms.values(), Counter()))


def file_lines(config: Config) -> Iterator[str]:
    """Where the recording and the journal are, and how to read them."""
    journal, recording = config.journal.path, config.record.folder
    if recording:
        yield f"recording: {recording}" + ("" if journal else _alarms("--record", recording))  # has no own journal then
    if journal:
        yield f"journal: {journal}" + _alarms("--journal", journal)


def _alarms(flag: str, path: str) -> str:
    return f"; its alarms: ecg-monitor alarms {flag} {shlex.quote(path)}"


def _counts(name: str, statuses: list[StatusMessage], alarms: Counter[str]) -> str:
    by_priority = ", ".join(f"{alarms[priority]} {priority}" for priority in reversed(PRIORITY_RANK))
    return (
        f"{name}: {sum(s.samples_in / s.fs_hz for s in statuses):.1f} s watched, "
        f"{sum(s.beats for s in statuses)} beats, {sum(s.anomalous_beats for s in statuses)} anomalous, "
        f"{sum(s.unscored_beats for s in statuses)} not scored, "
        f"{sum(s.gaps for s in statuses)} gaps, {sum(s.samples_lost for s in statuses)} samples lost, "
        f"alarms: {by_priority}"
    )
