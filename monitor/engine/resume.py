"""Where an earlier run left its beds, read from its journal: a monitor that was killed or moved continues there."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from detector.variability import WINDOW_S
from monitor.journal import JournalReader
from monitor.messages import Alarm, AlarmMessage, BeatMessage, StatusMessage, bed_topic, decode

__all__ = ["WATCHED_AGAIN", "ResumePoint", "read_resume_points"]

WATCHED_AGAIN = "watched again"  # first words of the notice about a resumed bed
_DECIDED_S = 2.0  # longest time from an R-peak to its beat (`detector.Detector.push`)
_HOUR_S = 3600.0  # period in which the number of low alarms is limited


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where an earlier run left a bed.

    Attributes:
        status: the last status: counts, and `sample`, from which the sample clock continues.
        clock: the sample clock at the last message; at least `status.sample`.
        watched_until: every R-peak before this sample was published; the gap between the runs starts here.
        changes: of alarms, as `AlarmEngine.restore` takes them.
        beats: of the last 5 minutes, in order, as `AlarmEngine.restore` takes them.
        started_s: start of the first run, Unix time, s: a paced replay keeps to it.
    """

    status: StatusMessage
    clock: int
    watched_until: int
    changes: tuple[Alarm, ...]
    started_s: float
    beats: tuple[BeatMessage, ...] = ()

    @property
    def clock_time(self) -> datetime.datetime:
        """Wall time of sample `clock`."""
        since = (self.clock - self.status.sample) / self.status.fs_hz
        return datetime.datetime.fromisoformat(self.status.time) + datetime.timedelta(seconds=since)


def read_resume_points(path: Path, beds: Iterable[str]) -> dict[str, ResumePoint]:
    """Read where a run left its beds; a bed without a status in the journal was never watched, and is left out.

    Args:
        path: journal of a monitor that no longer runs.
        beds: names.

    Raises:
        JournalError: no such file, damaged, or of another version.
        ValueError: a message in the journal cannot be decoded.
    """
    reader = JournalReader(path)
    try:
        started_s = reader.runs()[0].started_s if reader.epochs() else 0.0
        points = {bed: _resume_point(reader, bed, started_s) for bed in beds}
    finally:
        reader.close()
    return {bed: point for bed, point in points.items() if point is not None}


def _resume_point(reader: JournalReader, bed: str, started_s: float) -> ResumePoint | None:
    raw = {stream: reader.last(bed_topic(bed, stream)) for stream in ("status", "beat", "alarm")}
    last = {stream: decode(body) for stream, body in raw.items() if body is not None}
    status, beat, alarm = last.get("status"), last.get("beat"), last.get("alarm")
    if not isinstance(status, StatusMessage):
        return None
    clock = max(status.sample, alarm.sample if isinstance(alarm, AlarmMessage) else 0)
    until = clock - round(_DECIDED_S * status.fs_hz)
    if isinstance(beat, BeatMessage):
        until = max(until, beat.r_sample + 1)
    beats = map(decode, reader.last_beats(bed, clock - round(WINDOW_S * status.fs_hz)))
    bodies = map(decode, reader.alarm_changes(bed, clock - round(_HOUR_S * status.fs_hz)))
    return ResumePoint(
        status=status,
        clock=clock,
        watched_until=min(max(until, 0), clock),
        changes=tuple(body.alarm for body in bodies if isinstance(body, AlarmMessage)),
        started_s=started_s,
        beats=tuple(body for body in beats if isinstance(body, BeatMessage)),
    )
