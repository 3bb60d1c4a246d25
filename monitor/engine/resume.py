"""Where the run before left off, out of its journal: what a bed begins with when its monitor was killed or moved."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from monitor.journal import JournalReader
from monitor.messages import Alarm, AlarmMessage, BeatMessage, StatusMessage, bed_topic, decode

__all__ = ["WATCHED_AGAIN", "BedState", "read_states"]

WATCHED_AGAIN = "watched again"  # how the word on a bed that goes on begins
_DECIDED_S = 2.0  # a beat is given at most so long after its R-peak (`detector.Detector.push`)
_HOUR_S = 3600.0  # low alarms are held to so many onsets in it


@dataclass(frozen=True, slots=True)
class BedState:
    """A bed as a run that is over left it.

    Attributes:
        status: the last there is: counts, and the sample clock, which goes on from its `sample`.
        clock: the sample clock when it last wrote; never less than `status.sample`.
        watched_until: every R-peak before this sample was told of, samples: where what is missing begins.
        changes: of alarms, as `AlarmEngine.restore` takes them.
        started_s: Unix time when its first run began: a replay at a pace keeps to it.
    """

    status: StatusMessage
    clock: int
    watched_until: int
    changes: tuple[Alarm, ...]
    started_s: float

    @property
    def clock_time(self) -> datetime.datetime:
        """When sample `clock` was taken, on the stream's clock."""
        since = (self.clock - self.status.sample) / self.status.fs_hz
        return datetime.datetime.fromisoformat(self.status.time) + datetime.timedelta(seconds=since)

    @property
    def sample_0_time(self) -> datetime.datetime:
        """When sample 0 was, or would have been, taken, on the stream's clock."""
        return self.clock_time - datetime.timedelta(seconds=self.clock / self.status.fs_hz)


def read_states(path: Path, beds: Iterable[str]) -> dict[str, BedState]:
    """State of each bed that a journal knows; a bed of which it has no status was never watched.

    Args:
        path: file of a monitor that does not run any more.
        beds: names.

    Raises:
        JournalError: no such file, damaged, or of another version.
        ValueError: a message in it cannot be read.
    """
    reader = JournalReader(path)
    try:
        started_s = reader.runs()[0].started_s if reader.epochs() else 0.0
        found = {bed: _state(reader, bed, started_s) for bed in beds}
    finally:
        reader.close()
    return {bed: state for bed, state in found.items() if state is not None}


def _state(reader: JournalReader, bed: str, started_s: float) -> BedState | None:
    raw = {stream: reader.last(bed_topic(bed, stream)) for stream in ("status", "beat", "alarm")}
    last = {stream: decode(body) for stream, body in raw.items() if body is not None}
    status, beat, alarm = last.get("status"), last.get("beat"), last.get("alarm")
    if not isinstance(status, StatusMessage):
        return None
    clock = max(status.sample, alarm.sample if isinstance(alarm, AlarmMessage) else 0)
    until = clock - round(_DECIDED_S * status.fs_hz)
    if isinstance(beat, BeatMessage):
        until = max(until, beat.r_sample + 1)
    bodies = map(decode, reader.alarm_changes(bed, clock - round(_HOUR_S * status.fs_hz)))
    return BedState(
        status=status,
        clock=clock,
        watched_until=min(max(until, 0), clock),
        changes=tuple(body.alarm for body in bodies if isinstance(body, AlarmMessage)),
        started_s=started_s,
    )
