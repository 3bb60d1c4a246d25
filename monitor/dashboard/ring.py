"""Ring buffer with the last seconds of a lead, by absolute sample index."""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["SampleKind", "WaveRing"]

_GAPS_MAX: Final = 100  # newest gaps of which the samples are labelled


class SampleKind(IntEnum):
    """Whether a sample can be drawn, or why not."""

    NEVER = 0  # before the first wave message
    VALID = 1
    LEADS_OFF = 2  # it arrived without a valid value
    LOST = 3  # missing at the source: the sample index jumped, or an event reported the gap
    DROPPED = 4  # message left out for this display; the monitor scored it


class WaveRing:
    """The last `seconds` of samples by absolute index.

    Attributes:
        fs_hz: sampling rate, Hz, over 0.
        end: index after the newest sample; None before the first.
    """

    def __init__(self, fs_hz: float, seconds: float) -> None:
        self.fs_hz = fs_hz
        self.capacity = max(2, int(np.ceil(fs_hz * seconds)))
        self.end: int | None = None
        self._values = np.full(self.capacity, np.nan, dtype=np.float32)
        self._kinds = np.zeros(self.capacity, dtype=np.uint8)
        self._gaps: deque[tuple[int, int]] = deque(maxlen=_GAPS_MAX)  # reported: first sample, end

    def note_gap(self, first_sample: int, n: int) -> None:
        """Note `n` samples that are missing at the source: a wave message has NaN for them, as for leads off."""
        self._gaps.append((first_sample, first_sample + n))

    def write(self, first_sample: int, values: NDArray[np.float32], *, dropped: bool = False) -> None:
        """Add samples. A jump forward leaves a gap; a jump back clears the buffer.

        Args:
            first_sample: absolute index of values[0].
            values: (n,) float32 mV; NaN or infinite = no valid sample.
            dropped: whether a gap before these samples is due to messages left out for displays.
        """
        if len(values) == 0:
            return
        if self.end is not None and first_sample < self.end:
            self._kinds[:] = SampleKind.NEVER
            self._values[:] = np.nan
            self._gaps.clear()
            self.end = None
        if self.end is not None and first_sample > self.end:
            missing = min(first_sample - self.end, self.capacity)
            at = np.arange(first_sample - missing, first_sample) % self.capacity
            self._values[at] = np.nan
            self._kinds[at] = SampleKind.DROPPED if dropped else SampleKind.LOST
        self.end = first_sample + len(values)
        kept = values[-self.capacity :]
        at = np.arange(self.end - len(kept), self.end) % self.capacity
        valid = np.isfinite(kept)
        self._values[at] = np.where(valid, kept, np.nan)
        self._kinds[at] = np.where(valid, SampleKind.VALID, SampleKind.LEADS_OFF)

    def read(self, first_sample: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Read samples `first_sample` to `first_sample + n` and the SampleKind of each.

        Returns:
            (n,) float32 mV, NaN where there is none, and (n,) uint8 kinds; NEVER outside the ring.
        """
        values = np.full(n, np.nan, dtype=np.float32)
        kinds = np.zeros(n, dtype=np.uint8)
        if self.end is None:
            return values, kinds
        start, stop = max(first_sample, self.end - self.capacity), min(first_sample + n, self.end)
        if start < stop:
            at = np.arange(start, stop) % self.capacity
            values[start - first_sample : stop - first_sample] = self._values[at]
            kinds[start - first_sample : stop - first_sample] = self._kinds[at]
            for gap_first, gap_end in self._gaps:
                gap = kinds[max(0, gap_first - first_sample) : max(0, gap_end - first_sample)]
                gap[gap == SampleKind.LEADS_OFF] = SampleKind.LOST
        return values, kinds

    def latest(self, seconds: float) -> NDArray[np.float32]:
        """The newest `seconds` of samples, (n,) float32 mV, at most the capacity."""
        n = min(self.capacity, int(seconds * self.fs_hz))
        return self.read((self.end or 0) - n, n)[0]
