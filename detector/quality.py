"""Signal quality: what may be scored and what may not.

One verdict a second, from the raw samples, and the worst of the seconds a beat touches is the beat's. The
limits are absolute (mV) where physics gives them and relative to the QRS where it does not.
"""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_MV", "Quality", "assess"]


class Quality(enum.Enum):
    """Signal quality of a stretch of signal, best first; only `GOOD` may be scored."""

    GOOD = "good"
    NOISY = "noisy"
    CLIPPED = "clipped"
    FLAT = "flat"
    SETTLING = "settling"
    GAP = "gap"
    LEADS_OFF = "leads_off"
    TRUNCATED = "truncated"

    @property
    def rank(self) -> int:
        """0 for the best; the worst of several verdicts wins."""
        return _RANK[self]


_RANK = {quality: rank for rank, quality in enumerate(Quality)}

MAX_MV = 1000.0  # beyond this a number is no ECG in mV (wrong unit, overflow) and would poison the filter
_FLAT_MV = 0.010  # a dead input; real asystole still shows wander and amplifier noise above this within 1 s
_FLAT_MIN_S = 0.5  # the last fraction of a second before a gap may lie between two waves
_CLIPPED_SHARE = 0.05  # of a second at the rails; a tall QRS stays there 10 ms at most
_PLATEAU_S = 0.040  # without known rails: a run of equal extreme values this long is a clipped wave
_PLATEAU_MIN_MV = 1.0
_INVALID_SHARE = 0.05
_NOISE_SHARE = 0.10  # white noise over the amplitude of the filtered signal, above which R-peaks get lost
_NOISE_MIN_MV = 0.05  # noise under this never hides a QRS of usual size
_WANDER_MV = 6.0  # raw swing within a second of an electrode being pulled; tall QRS reach about 5 mV


def _longest_plateau(samples: NDArray[np.float64]) -> int:
    """Longest run of samples equal to the maximum or the minimum."""
    longest = 0
    for extreme in (samples.max(), samples.min()):
        at = np.flatnonzero(samples == extreme)
        if at.size > 1:
            breaks = np.flatnonzero(np.diff(at) > 1)
            edges = np.concatenate(([-1], breaks, [at.size - 1]))
            longest = max(longest, int(np.diff(edges).max()))
    return longest


def noise_mv(samples: NDArray[np.float64]) -> float:
    """Standard deviation of the white part of a signal, mV.

    The median of second differences ignores the QRS (a tenth of the time) and everything slow; for white noise
    of standard deviation s their own is s * sqrt(6).
    """
    second = np.abs(np.diff(samples, 2))
    return float(np.median(second) / (0.6745 * np.sqrt(6.0))) if second.size else 0.0


def assess(
    raw: NDArray[np.float64],
    filtered: NDArray[np.float64],
    fs_hz: float,
    rails_mv: tuple[float, float] | None = None,
) -> Quality:
    """Judge one stretch, usually one second.

    Args:
        raw: (n,) float64, mV as they came; NaN = no valid sample.
        filtered: (n,) float64, mV, the same stretch band-passed.
        fs_hz: sampling rate, Hz.
        rails_mv: what the ADC can give at most, (low, high) mV, where known.

    Returns:
        The worst verdict that applies.
    """
    if raw.size == 0:
        return Quality.LEADS_OFF
    valid = raw[~np.isnan(raw)]
    if valid.size < raw.size * (1 - _INVALID_SHARE):
        return Quality.LEADS_OFF
    swing = float(np.ptp(valid))
    if rails_mv is not None and np.mean((valid <= rails_mv[0]) | (valid >= rails_mv[1])) > _CLIPPED_SHARE:
        return Quality.CLIPPED
    if swing < _FLAT_MV and raw.size >= _FLAT_MIN_S * fs_hz:
        return Quality.FLAT
    if swing > _PLATEAU_MIN_MV and _longest_plateau(valid) >= max(3, round(_PLATEAU_S * fs_hz)):
        return Quality.CLIPPED
    noise = noise_mv(valid)
    if swing > _WANDER_MV or (noise > _NOISE_MIN_MV and noise > _NOISE_SHARE * float(np.ptp(filtered))):
        return Quality.NOISY
    return Quality.GOOD
