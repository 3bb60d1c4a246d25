"""A source that is opened again where its bed goes on: the sample clock never runs backwards, and keeps real time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from monitor.engine.resume import BedState
from monitor.sources.base import Chunk, EndOfStream, Source
from monitor.sources.wrappers import SourceWrapper

__all__ = ["ResumedSource"]

_SKIP = 1 << 16  # samples passed over at a time


class ResumedSource(SourceWrapper):
    """What another source gives, from where it would be by now.

    A replay at a pace is passed over up to where it would have come had nobody interrupted it, one at full speed up to
    where it was. A live source counts on from the bed's clock by the time that has passed, unless its own count does
    go on.

    Args:
        source: opened anew; closed by `close`.
        state: of the bed.
        speed: replay speed; 0 = as fast as possible.
        wall: Unix time, s.
    """

    def __init__(self, source: Source, state: BedState, speed: float, wall: Callable[[], float] = time.time) -> None:
        super().__init__(source)
        self._state = state
        self._speed = speed
        self._wall = wall
        self._shift: int | None = None  # of a live source: our clock less its own
        self._passed = False

    def read(self, max_samples: int) -> Chunk | None:
        """As Source.read."""
        if not self.live:
            return self._source.read(max_samples) if self._passed else self._pass_over()
        chunk = self._source.read(max_samples)
        if chunk is None or (chunk.samples.size == 0 and self._shift is None):
            return chunk
        if self._shift is None:
            self._shift = self._live_shift(chunk)
        return replace(chunk, first_sample=chunk.first_sample + self._shift)

    def _live_shift(self, chunk: Chunk) -> int:
        clock = self._state.clock
        if chunk.first_sample >= clock > 0:  # its sender counts on
            return 0
        away_s = self._wall() - self._state.clock_time.timestamp() - chunk.samples.size / self.fs_hz
        return clock + max(0, round(away_s * self.fs_hz)) - chunk.first_sample

    def _pass_over(self) -> Chunk | None:
        """Up to the sample that is due now; where the source ends before, its last sample, so that the gap is told."""
        target = self._state.clock
        began = 0
        last: Chunk | None = None
        while True:
            try:
                chunk = self._source.read(_SKIP)
            except EndOfStream:
                self._passed = True
                if last is None or last.first_sample + last.samples.size <= self._state.clock:
                    raise
                return _cut(last, last.samples.size - 1)
            if chunk is None or chunk.samples.size == 0:
                return chunk
            if last is None:
                began = chunk.first_sample
            last = chunk
            if self._speed > 0:
                due = (self._wall() - self._state.started_s) * self._speed * self.fs_hz
                target = max(self._state.clock, began + round(due))
            if chunk.first_sample + chunk.samples.size > target:
                self._passed = True
                return _cut(chunk, max(0, target - chunk.first_sample))


def _cut(chunk: Chunk, n: int) -> Chunk:
    """Without its first `n` samples."""
    return replace(chunk, first_sample=chunk.first_sample + n, samples=chunk.samples[n:])
