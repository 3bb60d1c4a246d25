"""Samples that came and were not read yet."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["SampleRuns"]

Floats = NDArray[np.float64]


class SampleRuns:
    """Runs of samples, in order; between two runs something is missing.

    Attributes:
        size: samples that wait.

    >>> runs = SampleRuns()
    >>> runs.put(0, np.array([1.0, 2.0])); runs.put(2, np.array([3.0])); runs.put(9, np.array([4.0]))
    >>> runs.take(10), runs.take(10), runs.take(10)
    ((0, array([1., 2., 3.])), (9, array([4.])), None)
    """

    def __init__(self) -> None:
        self.size = 0
        self._runs: deque[tuple[int, Floats]] = deque()

    def put(self, first_sample: int, samples: Floats) -> None:
        """Add samples; `first_sample` is never before the end of what was added last."""
        if samples.size:
            self._runs.append((first_sample, samples))
            self.size += samples.size

    def take(self, max_samples: int) -> tuple[int, Floats] | None:
        """First sample and at most `max_samples` that follow each other without a gap; None where there are none."""
        if not self._runs or max_samples <= 0:
            return None
        first, samples = self._runs.popleft()
        taken, n = [samples], samples.size
        while n < max_samples and self._runs and self._runs[0][0] == first + n:
            taken.append(self._runs.popleft()[1])
            n += taken[-1].size
        whole = np.concatenate(taken)
        if n > max_samples:
            self._runs.appendleft((first + max_samples, whole[max_samples:]))
        self.size -= min(n, max_samples)
        return first, whole[:max_samples]

    def clear(self) -> None:
        """Forget all of them."""
        self._runs.clear()
        self.size = 0
