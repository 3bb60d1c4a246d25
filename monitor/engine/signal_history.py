"""The last seconds of a bed's signal, for strips and displays: bounded, addressed by absolute sample index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.quality import MAX_MV

__all__ = ["SignalHistory", "without_impossible"]


def without_impossible(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """`raw`, (n,) mV, with NaN in place of values that the detector takes for no measurement."""
    impossible = np.abs(raw) >= MAX_MV
    return np.where(impossible, np.nan, raw) if impossible.any() else raw


class SignalHistory:
    """Ring of the newest raw and filtered samples.

    Args:
        capacity: samples kept.

    Attributes:
        end: absolute index after the newest raw sample.
        filtered_end: absolute index after the newest filtered sample; the detector may hold back the last ones.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._ring = np.full((2, capacity), np.nan, np.float32)
        self.begin(0)

    def begin(self, sample: int) -> None:
        """The first sample to come has this absolute index, or a later one."""
        self.end = self.filtered_end = sample

    def put(self, first_sample: int, raw: NDArray[np.float64], filtered: NDArray[np.float64]) -> None:
        """Add samples; missing samples before them stay NaN, and impossible ones become NaN.

        Args:
            first_sample: absolute index of the first of `raw`.
            raw: (n,) mV; n = 0 at the end of the signal.
            filtered: (m,) mV, those that follow the filtered samples so far (`Detector.last_filtered`).
        """
        raw = without_impossible(raw)
        if first_sample > self.end:
            late = self.end - self.filtered_end
            self._write(1, self.filtered_end, filtered[:late])
            filtered = filtered[late:]
            missing = np.full(min(first_sample - self.end, self.capacity), np.nan)
            for row in (0, 1):
                self._write(row, first_sample - missing.size, missing)
            self.begin(first_sample)
        self._write(0, self.end, raw)
        self._write(1, self.filtered_end, filtered)
        self.end += raw.size
        self.filtered_end += filtered.size
        if self.filtered_end < self.end:
            self._write(1, self.filtered_end, np.full(self.end - self.filtered_end, np.nan))

    def _write(self, row: int, first_sample: int, samples: NDArray[np.float64]) -> None:
        """Write (n,) samples of one row."""
        keep = min(samples.size, self.capacity)
        at = (first_sample + samples.size - keep) % self.capacity
        head = min(keep, self.capacity - at)  # the rest wraps around; slices cost a fifth of index arrays
        self._ring[row, at : at + head] = samples[samples.size - keep :][:head]
        if head < keep:
            self._ring[row, : keep - head] = samples[samples.size - keep :][head:]

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
