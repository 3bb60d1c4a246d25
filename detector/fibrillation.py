"""Ventricular fibrillation: waves without QRS complexes, fast enough, and not muscle noise.

Two measures of the last 4 s decide together:

- the leakage of the VF filter (Kuo and Dillman 1978, Computers in Cardiology 5:347-349): the signal plus itself half a
  mean period later; a sine wave cancels to nothing;
- the share of time in which the slope exceeds a quarter of the steepest slope. QRS complexes are steep for a short
  time, fibrillation nearly always. This is threshold crossing (Arafat et al. 2011, DOI 10.1007/s11760-009-0136-1)
  applied to the slope, so that T waves and baseline have little weight.

The line between them was fitted by logistic regression on the odd records of cudb against DS1 of mitdb and the first
halves of the nstdb noises. Three bounds exclude other waves: fibrillation has its waves above 2.5 Hz (unlike a slow
wide rhythm; published dominant frequencies are 3 to 9 Hz), little power above 9 Hz (unlike muscle noise; Barro et al.
1989, J. Med. Eng. Technol. 13:249-254, measure it likewise), and a height (unlike the P waves of a standstill).
Limit and bounds were set with all of cudb in view; docs/alarms.md says what that means. Flutter and fast ventricular
tachycardia look the same, and are as urgent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["WINDOW_S", "Waves", "measure_waves"]

WINDOW_S = 4.0
_LEAKAGE_WEIGHT = 0.8
_LIMIT = -0.1  # of the measure: share of steep time minus 0.8 times the leakage
_SLOPE_S = 0.012  # time step of the slope: long enough to ignore amplifier noise
_STEEPEST = 0.98  # quantile of the slopes used as the steepest
_STEEP_SHARE = 0.25
_SLOWEST_HZ = 2.5
_FAST_HZ, _FAST_SHARE = 9.0, 0.2  # of the power
_LEAST_MV = 0.15  # peak to peak; less is noise in asystole (fine fibrillation has 0.2 mV)
_LEAST_SHARE = (
    0.15  # ... of this patient's QRS; P waves in standstill (cudb cu31) have up to 0.14, fibrillation from 0.3
)
_MOST_MV, _MOST_SHARE = 10.0, 3.0  # higher waves are an electrode that moves; fibrillation in cudb has up to 5 mV
# Waves so fast that leak so much are electrode motion with muscle noise: 99 % of such windows that look like
# fibrillation, and 1.3 % of those of fibrillation in the odd records of cudb.
_RAGGED_HZ, _RAGGED_LEAKAGE, _RAGGED_MV = 7.3, 0.6, 1.0  # lower waves: fine fibrillation with noise of the amplifier
_NOISE_LEAKAGE = 0.8  # from here such waves of any height are noise: that after the last T wave of a standstill
_SINE_LEAKAGE = 0.6  # 70 % of the seconds of fibrillation in cudb are under it, 1 % of DS1's, with noise or without


@dataclass(frozen=True, slots=True)
class Waves:
    """Measurements of a stretch of signal.

    Attributes:
        leakage: leakage of the VF filter, 0 (a sine wave) to 1.
        measure: share of steep time minus 0.8 times the leakage; fibrillation from -0.1 on.
        mean_hz: mean frequency of the waves, Hz; 0 without waves.
        fast_share: share of the power above 9 Hz; NaN (not computed) where the measure excludes fibrillation.
        height_mv: peak to peak, mV.
    """

    leakage: float
    measure: float
    mean_hz: float
    fast_share: float
    height_mv: float

    def fibrillatory(self, qrs_mv: float = 0.0) -> bool:
        """Whether these are the waves of fibrillating or fluttering ventricles.

        Args:
            qrs_mv: this patient's usual QRS height, peak to peak, mV; 0 = not known.
        """
        return (
            self.measure > _LIMIT
            and not (self.mean_hz > _RAGGED_HZ and self.leakage > self._most_leakage)
            and self.mean_hz > _SLOWEST_HZ
            and self.fast_share < _FAST_SHARE
            and max(_LEAST_MV, _LEAST_SHARE * qrs_mv) < self.height_mv < max(_MOST_MV, _MOST_SHARE * qrs_mv)
        )

    @property
    def _most_leakage(self) -> float:
        return _RAGGED_LEAKAGE if self.height_mv > _RAGGED_MV else _NOISE_LEAKAGE

    @property
    def sine(self) -> bool:
        """Nearly one sine wave: reason to doubt electrode motion, not enough for an alarm."""
        return self.leakage < _SINE_LEAKAGE


def measure_waves(stretches: list[tuple[NDArray[np.float64], float]]) -> list[Waves]:
    """Measure stretches of signal, usually of 4 s.

    Args:
        stretches: (n,) float64, band-passed, mV, and the sampling rate, Hz, of each; n and rate are equal for all.
    """
    rows, fs_hz = np.array([stretch for stretch, _ in stretches]), stretches[0][1]
    n = rows.shape[1]
    if n < 2:
        return [_NO_WAVES] * len(rows)
    heights = (rows.max(axis=1) - rows.min(axis=1)).tolist()
    lag = min(max(1, round(_SLOPE_S * fs_hz)), n - 1)
    slopes = np.abs(rows[:, lag:] - rows[:, :-lag])
    rank = round(_STEEPEST * (slopes.shape[1] - 1))
    slopes.partition(rank, axis=1)  # in place: from here on only the number of steep samples counts
    limits = _STEEP_SHARE * slopes[:, rank : rank + 1]
    steep = (np.count_nonzero(slopes > limits, axis=1) / slopes.shape[1]).tolist()
    found = []
    for row, height, share, (leakage, half) in zip(rows, heights, steep, _leakages(rows), strict=True):
        if half == 0:
            found.append(Waves(leakage, -_LEAKAGE_WEIGHT, 0.0, 0.0, height))
            continue
        measure = share - _LEAKAGE_WEIGHT * leakage
        fast = _fast_share(row, fs_hz) if measure > _LIMIT else math.nan
        found.append(Waves(leakage, measure, fs_hz / (2 * half), fast, height))
    return found


_NO_WAVES = Waves(1.0, -_LEAKAGE_WEIGHT, 0.0, 0.0, 0.0)


def _fast_share(filtered: NDArray[np.float64], fs_hz: float) -> float:
    power = np.abs(np.fft.rfft((filtered - filtered.mean()) * np.hanning(filtered.size))) ** 2
    return float(power[math.ceil(_FAST_HZ * filtered.size / fs_hz) :].sum() / power.sum())


def _leakages(rows: NDArray[np.float64]) -> list[tuple[float, int]]:
    """Leakage of the VF filter, 0 (a sine wave) to 1, and half the mean period, samples, of each row.

    (1, 0) for a stretch with hardly one wave.
    """
    n = rows.shape[1]
    slopes = np.abs(rows[:, 1:] - rows[:, :-1]).sum(axis=1).tolist()
    heights = np.abs(rows)
    wholes = heights.sum(axis=1).tolist()
    together = np.empty(n)
    found = []
    for row, height, slope, whole in zip(rows, heights, slopes, wholes, strict=True):
        half = round(math.pi * (whole - float(height[0])) / slope) if slope else 0
        if not 0 < half < n // 2:
            found.append((1.0, 0))
            continue
        both = np.add(row[half:], row[:-half], out=together[: n - half])
        apart = 2 * whole - float(np.add.reduce(height[:half])) - float(np.add.reduce(height[-half:]))
        found.append((float(np.add.reduce(np.abs(both, out=both))) / apart, half))
    return found
