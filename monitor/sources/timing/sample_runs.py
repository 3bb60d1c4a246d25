"""Queue of samples between arrival and `Source.read`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monitor.sources.base import Chunk, Notice

__all__ = ["SampleRuns"]

Floats = NDArray[np.float64]


class SampleRuns:
    """Runs of samples, in order; between two runs samples are missing.

    The samples of two leads are one array of two columns, (n, 2); numbers of samples count its rows.

    Args:
        duration: samples to give from the first one on, including missing ones; None = no limit.

    Attributes:
        duration: as given; may be set until the first `take`.
        size: number of samples in the queue.
        next: index after the last sample taken; 0 before the first.

    >>> runs = SampleRuns()
    >>> runs.put(0, np.array([1.0, 2.0])); runs.put(2, np.array([3.0])); runs.put(9, np.array([4.0]))
    >>> runs.take(10), runs.take(10), runs.take(10)
    ((0, array([1., 2., 3.])), (9, array([4.])), None)
    """

    def __init__(self, duration: int | None = None) -> None:
        self.size = 0
        self.next = 0
        self.duration = duration
        self._stop: int | None = None
        self._runs: deque[tuple[int, Floats]] = deque()

    @property
    def ended(self) -> bool:
        """Whether `duration` samples were taken."""
        return self._stop is not None and self.next >= self._stop

    def put(self, first_sample: int, samples: Floats) -> None:
        """Add samples; `first_sample` is never before the end of what was added last."""
        if len(samples):
            self._runs.append((first_sample, samples))
            self.size += len(samples)

    def chunk(
        self,
        max_samples: int,
        arrival_s: float,
        notices: tuple[Notice, ...],
        time_s: Callable[[int], float | None] = lambda _: None,
    ) -> Chunk | None:
        """Return the result of `Source.read`: samples and notices; None where there is neither."""
        run = self.take(max_samples)
        if run is None:
            return Chunk(self.next, np.empty(0), arrival_s, notices) if notices else None
        first, samples = run
        if samples.ndim == 1:
            return Chunk(first, samples, arrival_s, notices, time_s(first))
        lead, second = np.ascontiguousarray(samples.T)
        return Chunk(first, lead, arrival_s, notices, time_s(first), second)

    def drop(self, most: int) -> int:
        """Drop the oldest samples until at most `most` are left; return the number dropped, which is a gap then."""
        dropped = 0
        while self.size > most and (run := self.take(self.size - most)) is not None:
            dropped += len(run[1])
        return dropped

    def take(self, max_samples: int) -> tuple[int, Floats] | None:
        """Take at most `max_samples` without a gap: index of the first, samples. None if the queue is empty."""
        if not self._runs or max_samples <= 0 or self.ended:
            return None
        first, samples = self._runs.popleft()
        taken, n = [samples], len(samples)
        while n < max_samples and self._runs and self._runs[0][0] == first + n:
            taken.append(self._runs.popleft()[1])
            n += len(taken[-1])
        whole = np.concatenate(taken)
        if n > max_samples:
            self._runs.appendleft((first + max_samples, whole[max_samples:]))
        whole = whole[:max_samples]
        self.size -= len(whole)
        self.next = first + len(whole)
        if self._stop is None and self.duration is not None:
            self._stop = first + self.duration
        if self._stop is not None and self.next > self._stop:
            whole = whole[: max(0, self._stop - first)]
            self.next = max(self._stop, first)
            if not len(whole):
                return None
        return first, whole
