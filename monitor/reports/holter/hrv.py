"""Heart rate variability of normal-to-normal intervals.

Definitions of the Task Force of the ESC and NASPE (1996, doi:10.1161/01.CIR.93.5.1043); time domain:
`detector.variability`. Deviations: SDANN uses n - 1; the spectrum is the mean over 5-min segments of which at least
90 % are NN intervals, each interpolated to 4 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import welch

from detector.variability import sums_of
from monitor.reports.holter.beats import HolterBeats

__all__ = ["SEGMENT_S", "HeartRateVariability", "heart_rate_variability"]

SEGMENT_S: Final = 300.0
_FILLED: Final = 0.9  # share of a segment for its spectrum
_MEAN_FILLED: Final = 0.5  # for its mean
_GRID_HZ: Final = 4.0
_LF_HZ: Final = (0.04, 0.15)
_HF_HZ: Final = (0.15, 0.40)


@dataclass(frozen=True, slots=True)
class HeartRateVariability:
    """Figures over a whole record; None where there are too few intervals.

    Attributes:
        intervals: number of NN intervals.
        mean_nn_ms, sdnn_ms: mean and standard deviation of all NN intervals, ms.
        sdann_ms: standard deviation of the means of 5-min segments, ms.
        rmssd_ms: root mean square of differences between successive NN intervals, ms.
        pnn50: share of these differences above 50 ms, 0 to 1.
        lf_ms2, hf_ms2: power in 0.04 to 0.15 Hz and 0.15 to 0.40 Hz, ms^2, mean over segments.
        segments: number of 5-min segments in the spectrum.
    """

    intervals: int = 0
    mean_nn_ms: float | None = None
    sdnn_ms: float | None = None
    sdann_ms: float | None = None
    rmssd_ms: float | None = None
    pnn50: float | None = None
    lf_ms2: float | None = None
    hf_ms2: float | None = None
    segments: int = 0

    @property
    def lf_hf(self) -> float | None:
        """LF power over HF power."""
        return self.lf_ms2 / self.hf_ms2 if self.lf_ms2 is not None and self.hf_ms2 else None


def heart_rate_variability(beats: HolterBeats) -> HeartRateVariability:
    """HRV of all NN intervals of a record."""
    nn = beats.nn
    rr_ms, time_s = 1000.0 * beats.rr_s[nn], beats.time_s[nn]
    if rr_ms.size < 2:
        return HeartRateVariability(int(rr_ms.size))
    time = sums_of(beats.rr_s, nn).time_domain(1000.0)
    segment = (time_s // SEGMENT_S).astype(np.int64)
    means: list[float] = []
    powers: list[tuple[float, float]] = []
    for number in np.unique(segment):
        own = slice(*np.searchsorted(segment, [number, number + 1]).tolist())
        filled = float(rr_ms[own].sum()) / 1000.0 / SEGMENT_S
        if filled >= _MEAN_FILLED:
            means.append(float(rr_ms[own].mean()))
        if filled >= _FILLED:
            powers.append(band_powers_ms2(time_s[own], rr_ms[own]))
    lf_ms2, hf_ms2 = np.mean(powers, axis=0).tolist() if powers else (None, None)
    return HeartRateVariability(
        time.intervals,
        time.mean_nn_ms,
        time.sdnn_ms,
        float(np.std(means, ddof=1)) if len(means) > 1 else None,
        time.rmssd_ms,
        time.pnn50,
        lf_ms2,
        hf_ms2,
        len(powers),
    )


def band_powers_ms2(time_s: NDArray[np.float64], rr_ms: NDArray[np.float64]) -> tuple[float, float]:
    """LF and HF power of one segment, ms^2.

    Args:
        time_s: (n,) R-peaks that end the intervals, s, rising; n at least 4.
        rr_ms: (n,) intervals, ms.
    """
    grid_s = np.arange(time_s[0], time_s[-1], 1.0 / _GRID_HZ)
    even_ms = CubicSpline(time_s, rr_ms)(grid_s)
    hz, density = welch(even_ms, fs=_GRID_HZ, nperseg=min(even_ms.size, round(120 * _GRID_HZ)), detrend="linear")
    lf, hf = (float(np.sum(density[(hz >= low) & (hz < high)]) * (hz[1] - hz[0])) for low, high in (_LF_HZ, _HF_HZ))
    return lf, hf
