"""QRS candidates: the slope envelope of the band-passed signal and its peaks.

A QRS is a stretch of about 0.1 s with steep slopes of either sign. Its slope separates it from P and T waves, its
surroundings separate it from noise, and its likeness to the patient's recent beats (`detector.qrs_shapes`) from both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, uniform_filter1d

from detector.peaks import find_apart, maxima
from detector.short_repr import short_repr

__all__ = ["Steepness", "background", "envelope", "measure_steepness", "slope", "steepness_of"]

_SLOPE_S = 0.008  # length of the two means of a difference: averages out noise above 40 Hz
_QRS_S = 0.1
_APART_S = 0.1  # two candidates may be P wave and QRS; their evidence decides
_AROUND_S = 0.6

Samples = NDArray[np.float64]
Indices = NDArray[np.int64]


def slope(signal: Samples, fs_hz: float) -> Samples:
    """Smoothed slope, mV per sample: mean of the next 8 ms minus mean of the last 8 ms; 0 at both ends.

    Args:
        signal: (..., n) float64, mV; the same for the functions below.
        fs_hz: sampling rate, Hz.
    """
    n = max(1, round(_SLOPE_S * fs_hz))
    taps = np.concatenate((np.full(n, -1.0), [0.0], np.full(n, 1.0))) / (n * (n + 1))
    steep = np.empty_like(signal)
    correlate1d(signal, taps, output=steep, mode="nearest")
    steep[..., :n] = steep[..., -n:] = 0.0  # computed from padding
    return steep


def envelope(steep: Samples, fs_hz: float) -> Samples:
    """Absolute slope averaged over the length of a QRS, mV per sample."""
    return _mean_over(np.abs(steep), max(1, round(_QRS_S * fs_hz)))


def background(heights: Samples, fs_hz: float) -> Samples:
    """Mean of the envelope within 0.6 s of each sample, without the nearest 0.1 s, mV per sample."""
    wide, near = 2 * round(_AROUND_S * fs_hz) + 1, 2 * round(_QRS_S * fs_hz) + 1
    around = _mean_over(heights, wide)
    around *= wide
    around -= _mean_over(heights, near) * near
    around /= wide - near
    return around


@dataclass(frozen=True, slots=True, eq=False)
class Steepness:
    """Steepness of a stretch of signal: everything that needs no knowledge of the patient.

    Attributes:
        slope: (n,) float64, mV per sample.
        envelope: (n,) float64, mV per sample.
        around: (n,) float64, `background`, mV per sample.
        tops: (k,) int64, maxima of the envelope, rising; None if there are plateaus.
        fs_hz: sampling rate, Hz.
    """

    slope: Samples
    envelope: Samples
    around: Samples
    tops: Indices | None
    fs_hz: float

    __repr__ = short_repr

    def candidates(self, least: float) -> Indices:
        """Maxima of the envelope of at least `least` mV per sample, rising, at least 0.1 s apart."""
        return find_apart(self.envelope, self.tops, least, max(1, round(_APART_S * self.fs_hz)))


def steepness_of(signal: Samples, fs_hz: float) -> Steepness:
    """Measure the steepness of one stretch of signal, (n,) float64, mV, n at least 3."""
    return measure_steepness([(signal, fs_hz)])[0]


def measure_steepness(stretches: list[tuple[Samples, float]]) -> list[Steepness]:
    """`steepness_of` each (signal, fs_hz); all have the same length and rate."""
    signal, fs_hz = np.array([stretch for stretch, _ in stretches]), stretches[0][1]
    steep = slope(signal, fs_hz)
    heights = envelope(steep, fs_hz)
    rows = zip(steep, heights, background(heights, fs_hz), maxima(heights), strict=True)
    return [Steepness(*row, fs_hz) for row in rows]


def _mean_over(signal: Samples, n: int) -> Samples:
    """Mean of the n samples around each sample; with a given output array, scipy takes half the time."""
    averaged = np.empty_like(signal)
    uniform_filter1d(signal, n, output=averaged, mode="nearest")
    return averaged
