"""R-peaks by neurokit2 on overlapping windows of an absolute sample grid.

neurokit2's detector works on whole signals. On a stream it gets the last 8 s once a second, at multiples of the
step counted from sample 0 of the source, so that the windows (and so the peaks) do not depend on how the samples
came in. Each peak is taken once, at least 0.6 s behind the window's right edge: nearer than 0.5 s they are
unreliable.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from statistics import median  # of a few numbers: ten times faster than numpy's

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import find_peaks

from detector._neurokit import findpeaks

__all__ = ["EDGE_S", "STEP_S", "WINDOW_S", "RPeakDetector"]

WINDOW_S = 8.0  # 6 to 10 s give the same peaks on MIT-BIH; longer is slower to adapt
STEP_S = 1.0
EDGE_S = 0.6
_MIN_WINDOW_S = 2.0  # neurokit2 raises TypeError on segments up to 0.5 s, and needs a few beats to find its threshold
_OVERLAP_S = 0.15  # a peak seen a little earlier by the next window is still taken
_REFRACTORY_S = 0.25  # no ventricle beats faster than 240/min twice in a row and is still counted
_QRS_HALF_S = 0.08
_SLOPE_WINDOW_S = 0.1
_REJECT_SHARE = 0.3  # a peak with under 30 % of the window's median QRS slope is a P or T wave
_LONG_RR = 1.6  # search back where an RR is so many times the window's median (1.66 in Pan and Tompkins 1985)
_SEARCH_SHARE = 0.4  # what is found there must have 40 % of the median QRS slope
_SEARCH_GUARD_S = 0.3  # ... and stay clear of the T wave before and the QRS after
_ENOUGH_PEAKS = 4  # in a window, to know what is usual from it alone
_MEMORY_BEATS = 16
_NOISE_SHARE = 0.12  # of the remembered QRS slope: asystole's noise must not become beats once the QRS left the window
_FORGET_S = 30.0  # after so long without a QRS the memory is no guide any more (another electrode, another gain)
_SLOPE_MIN_MV_S = 1.5  # a QRS of 0.1 mV; amplifier noise of 10 uV stays under it


def _slope(signal: NDArray[np.float64], fs_hz: float) -> NDArray[np.float64]:
    """Absolute slope averaged over the length of a QRS, mV a sample."""
    width = max(1, round(_SLOPE_WINDOW_S * fs_hz))
    return np.convolve(np.abs(np.gradient(signal)), np.full(width, 1.0 / width), "same")


def _heights(slope: NDArray[np.float64], peaks: NDArray[np.int64], fs_hz: float) -> NDArray[np.float64]:
    """Steepest averaged slope near each peak, mV a sample."""
    half = round(_QRS_HALF_S * fs_hz)
    highest: NDArray[np.float64] = maximum_filter1d(slope, 2 * half + 1, mode="nearest")[peaks]
    return highest


class RPeakDetector:
    """Give windows that end on the absolute grid, get every R-peak once.

    Attributes:
        step: grid step, samples.
        window: window length, samples.
        edge: how far behind the newest sample peaks are decided, samples.
        decided_until: R-peaks before this absolute index are final; None until 2 s of signal have been seen.
    """

    def __init__(self, fs_hz: float) -> None:
        self.fs_hz = fs_hz
        self.step = round(STEP_S * fs_hz)
        self.window = round(WINDOW_S * fs_hz)
        self.edge = round(EDGE_S * fs_hz)
        self._overlap = round(_OVERLAP_S * fs_hz)
        self._refractory = math.ceil(_REFRACTORY_S * fs_hz)
        self._floor = _SLOPE_MIN_MV_S / fs_hz
        self.reset()

    def reset(self) -> None:
        """A new signal begins: nothing is remembered."""
        self.decided_until: int | None = None
        self._last: int | None = None
        self._slopes: deque[float] = deque(maxlen=_MEMORY_BEATS)
        self._intervals: deque[int] = deque(maxlen=_MEMORY_BEATS)

    def decide(self, window: NDArray[np.float64], first_sample: int) -> list[int]:
        """Look at the window that ends now.

        Args:
            window: (n,) float64, at most the last 8 s, band-passed, mV.
            first_sample: absolute index of window[0].

        Returns:
            New R-peaks, absolute indices in filtered samples, rising.
        """
        if window.size < _MIN_WINDOW_S * self.fs_hz:
            return []
        until = first_sample + window.size - self.edge
        since = first_sample if self.decided_until is None else self.decided_until
        if self._last is not None and until - self._last > _FORGET_S * self.fs_hz:
            self._slopes.clear()
            self._intervals.clear()
        found: list[int] = []
        for peak, height in zip(*self._find(window, until - first_sample), strict=True):
            sample = int(peak) + first_sample
            if since <= sample < until and (self._last is None or sample - self._last > self._refractory):
                if self._last is not None:
                    self._intervals.append(sample - self._last)
                self._slopes.append(float(height))
                self._last = sample
                found.append(sample)
        self.decided_until = until - self._overlap
        return found

    def _find(self, window: NDArray[np.float64], until: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """R-peaks of one window and their heights: neurokit2's, less what is no QRS, and what it missed."""
        slope = _slope(window, self.fs_hz)
        peaks = findpeaks(window, self.fs_hz) if slope.max() > self._floor else np.zeros(0, np.int64)
        heights = _heights(slope, peaks, self.fs_hz)
        usual = median(heights.tolist()) if peaks.size else 0.0
        remembered = median(self._slopes) if self._slopes else 0.0
        keep = heights >= max(self._floor, _REJECT_SHARE * usual, _NOISE_SHARE * remembered)
        peaks, heights = peaks[keep], heights[keep]
        if peaks.size < _ENOUGH_PEAKS:
            usual = max(usual, remembered)
        if usual > 0:
            missed = self._search_back(window, peaks, slope, max(self._floor, _SEARCH_SHARE * usual), until)
            if missed.size:
                peaks = np.concatenate((peaks, missed))
                heights = np.concatenate((heights, _heights(slope, missed, self.fs_hz)))
                order = np.argsort(peaks)
                peaks, heights = peaks[order], heights[order]
        return peaks, heights

    def _search_back(
        self,
        window: NDArray[np.float64],
        peaks: NDArray[np.int64],
        slope: NDArray[np.float64],
        least: float,
        until: int,
    ) -> NDArray[np.int64]:
        """R-peaks in suspiciously long intervals without any: every place there that is steep enough.

        neurokit2's threshold is 1.5 times the mean slope of 0.75 s: after a giant ectopic beat it misses a small
        one, and in a ventricular tachycardia, where wide complexes leave no flat line between them, it misses
        them all. The search-back of Pan and Tompkins (1985, DOI 10.1109/TBME.1985.325532), on slope, mends both.
        """
        intervals = np.diff(peaks).tolist() if peaks.size >= _ENOUGH_PEAKS else self._intervals
        usual = median(intervals) if intervals else self.fs_hz
        guard, half = round(_SEARCH_GUARD_S * self.fs_hz), round(_QRS_HALF_S * self.fs_hz)
        missed: list[int] = []
        edges = [-guard, *peaks.tolist(), until + guard]
        for left, right in pairwise(edges):
            if right - left <= _LONG_RR * usual:
                continue
            low, high = max(0, left + guard), min(right - guard, window.size)
            if high - low < 3:
                continue
            steep, _ = find_peaks(slope[low:high], height=least, distance=self._refractory)
            for at in steep + low:
                first = max(0, int(at) - half)
                missed.append(first + int(np.argmax(np.abs(window[first : at + half]))))
        return np.array(missed, np.int64)
