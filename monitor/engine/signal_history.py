"""The last seconds of a bed's signal, for strips and displays: bounded, addressed by absolute sample index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SignalHistory"]


class SignalHistory:
    """Ring of the newest raw and filtered samples.

    Args:
        capacity: samples kept.

    Attributes:
        end: absolute index after the newest sample.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.end = 0
        self._ring = np.full((2, capacity), np.nan, np.float32)

    def put(self, first_sample: int, raw: NDArray[np.float64], filtered: NDArray[np.float64]) -> None:
        """Add samples; missing samples before them stay NaN."""
        if first_sample > self.end:
            missing = min(first_sample - self.end, self.capacity)
            self._ring[:, np.arange(first_sample - missing, first_sample) % self.capacity] = np.nan
        keep = min(raw.size, self.capacity)
        self.end = first_sample + raw.size
        at = (self.end - keep) % self.capacity
        head = min(keep, self.capacity - at)  # the rest wraps around; slices cost a fifth of index arrays
        for row, samples in zip(self._ring, (raw[raw.size - keep :], filtered[raw.size - keep :]), strict=True):
            row[at : at + head] = samples[:head]
            if head < keep:
                row[: keep - head] = samples[head:]

    def get(self, first_sample: int, n: int) -> NDArray[np.float32]:
        """Raw and filtered samples.

        Args:
            first_sample: absolute index of the first column.
            n: columns.

        Returns:
            (2, n) float32, mV; NaN where no valid sample is kept.
        """
        out = np.full((2, n), np.nan, np.float32)
        low, high = max(first_sample, self.end - self.capacity, 0), min(first_sample + n, self.end)
        if low < high:
            out[:, low - first_sample : high - first_sample] = self._ring[:, np.arange(low, high) % self.capacity]
        return out
