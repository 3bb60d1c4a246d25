"""A source opened again for a bed that continues: the sample clock never runs backwards, and keeps real time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from monitor.engine.resume import ResumePoint
from monitor.sources.base import Chunk, EndOfStream, Source
from monitor.sources.wrappers import SourceWrapper

__all__ = ["ResumedSource"]

_SKIP = 1 << 16  # samples skipped per read


class ResumedSource(SourceWrapper):
    """A source, from the sample that is due now.

    A replay at a given speed skips to the sample that it would have reached without the interruption. A replay at full
    speed skips to where it was. A live source continues from the bed's clock plus the time that has passed, unless the
    sender itself kept counting.

    Args:
        source: just opened; closed by `close`.
        speed: replay speed; 0 = as fast as possible.
        wall: Unix time, s.
    """

    def __init__(self, source: Source, state: ResumePoint, speed: float, wall: Callable[[], float] = time.time) -> None:
        super().__init__(source)
        self._state = state
        self._speed = speed
        self._wall = wall
        self._shift: int | None = None  # of a live source: clock of the bed less the source's own
        self._skipped = False
        self._rest: Chunk | None = None  # what skipping read beyond the samples that were asked for

    def read(self, max_samples: int) -> Chunk | None:
        """As Source.read."""
        if not self.live:
            return self._replayed(max_samples)
        chunk = self._source.read(max_samples)
        if chunk is None or (chunk.samples.size == 0 and self._shift is None):
            return chunk
        if self._shift is None:
            self._shift = self._live_shift(chunk)
        return replace(chunk, first_sample=chunk.first_sample + self._shift)

    def _replayed(self, max_samples: int) -> Chunk | None:
        if not self._skipped:
            self._rest = self._skip()
            if not self._skipped:
                return self._rest
        if self._rest is None:
            return self._source.read(max_samples)
        chunk, more = self._rest, self._rest.samples.size > max_samples
        self._rest = replace(chunk.part(max_samples), notices=()) if more else None
        return chunk.part(0, max_samples) if more else chunk

    def _live_shift(self, chunk: Chunk) -> int:
        clock = self._state.clock
        if chunk.first_sample >= clock > 0:  # the sender kept counting
            return 0
        away_s = self._wall() - self._state.clock_time.timestamp() - chunk.samples.size / self.fs_hz
        return clock + max(0, round(away_s * self.fs_hz)) - chunk.first_sample

    def _skip(self) -> Chunk | None:
        """Skip to the sample that is due now; if the source ends before, to its last sample, so that a gap shows."""
        target = self._state.clock
        first_sample = 0
        last: Chunk | None = None
        while True:
            try:
                chunk = self._source.read(_SKIP)
            except EndOfStream:
                self._skipped = True
                if last is None or last.first_sample + last.samples.size <= self._state.clock:
                    raise
                return last.part(last.samples.size - 1)
            if chunk is None or chunk.samples.size == 0:
                return chunk
            if last is None:
                first_sample = chunk.first_sample
            last = chunk
            if self._speed > 0:
                due = (self._wall() - self._state.started_s) * self._speed * self.fs_hz
                target = max(self._state.clock, first_sample + round(due))
            if chunk.first_sample + chunk.samples.size > target:
                self._skipped = True
                return chunk.part(max(0, target - chunk.first_sample))
