"""Signal quality: which seconds may be scored.

One verdict per second, from raw and filtered samples; a beat gets the worst verdict of the seconds that it touches.
Electrode motion is judged from beats, in `detector.motion`. Limits are absolute (mV) where physics gives them, else
relative to the patient's QRS. They were chosen on DS1, clean and with the first halves of the nstdb noises; the lower
bounds for swing and wander were then raised once, because too many clean beats of DS2 were marked.
"""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

__all__ = [
    "BASELINE_S",
    "MAX_MV",
    "Measurable",
    "Measured",
    "Quality",
    "judge_quality",
    "measurable",
    "measure_quality",
]


class Quality(enum.Enum):
    """Quality of a stretch of signal, best first; only `GOOD` may be scored.

    `HUM`: 50 or 60 Hz from the mains. `MUSCLE`: muscle noise. `WANDER`: baseline out of range. `MOTION`: the electrode
    moves. `CLIPPED`: at the rails of the ADC. `FLAT`: dead input. `SETTLING`: the filter settles after leads off.
    `GAP`: samples missing. `LEADS_OFF`: no valid samples. `CALIBRATION`: calibration pulses or a test signal.
    `UNIT`: the samples are not in mV. `TRUNCATED`: the signal began or ended within the beat.
    """

    GOOD = "good"
    HUM = "hum"
    MUSCLE = "muscle"
    WANDER = "wander"
    MOTION = "motion"
    CLIPPED = "clipped"
    FLAT = "flat"
    SETTLING = "settling"
    GAP = "gap"
    LEADS_OFF = "leads_off"
    CALIBRATION = "calibration"
    UNIT = "unit"
    TRUNCATED = "truncated"

    @property
    def rank(self) -> int:
        """0 for the best; of several verdicts the worst counts."""
        return _RANK[self]


_RANK = {quality: rank for rank, quality in enumerate(Quality)}

MAX_MV = 1000.0  # a larger value is no ECG in mV (wrong unit, overflow) and would corrupt the filter state
BASELINE_S = 3.0  # window for wander: most breaths end within it
_FLAT_MV = 0.010  # dead input; real asystole still has wander and amplifier noise above this within 1 s
_FLAT_MIN_S = 0.5  # the last fraction of a second before a gap may lie between two waves
_CLIPPED_SHARE = 0.05  # of a second at the rails; a tall QRS stays there for at most 10 ms
_PLATEAU_S = 0.040  # without known rails: length of a run of equal extreme values that means clipping, if slopes of
_STEP_MV, _STEP_S = 0.03, 0.010  # ... this height within this time end in it: it is no rest between two waves
_RAIL_S = 0.200  # ... or without a slope, if it is as long as this
_PLATEAU_MIN_MV = 1.0
_INVALID_SHARE = 0.05
_USUAL_MV = 1.5  # QRS height, peak to peak, until the patient's is known
_SWING, _SWING_MV = 3.0, (4.0, 6.0)  # limit of raw peak to peak in a second: in QRS heights, and its bounds
_WANDER, _WANDER_MV = 1.8, (2.5, 3.0)  # limit of baseline change within 3 s: in QRS heights, and its bounds
_SWING_ALIKE, _WANDER_ALIKE = 2.0, 0.5  # ... in heights of QRS complexes that are alike: an ECG of 5 mV is no wander
_BASELINE_MEAN_S = 0.6  # length of the mean that is the baseline
_MUSCLE = 0.046  # RMS above 15 Hz outside the QRS, in QRS heights; one second in 1000 of clean DS1 exceeds it
_FAST_RR_S, _MUSCLE_FAST = 0.35, 0.2  # ... where QRS complexes that are alike leave no piece of 0.1 s between them
_MUSCLE_HALF_S = 0.018
_MUSCLE_PIECE_S = 0.1
_MUSCLE_QUANTILE = 0.2  # of the 0.1-s pieces: those without QRS and T wave
_HUM_SHARE = 0.5  # share of hum in the noise above which the verdict is hum


def fast_noise_mv(filtered: NDArray[np.float64], fs_hz: float) -> NDArray[np.float64]:
    """RMS of the signal above about 15 Hz between the waves of band-passed stretches, mV.

    The signal minus its mean over 36 ms, in pieces of 0.1 s; the 20 % quantile of the pieces, which have no QRS. Uses
    the passband only, so that it does not depend on the sampling rate. 0 for less than half a second.

    Args:
        filtered: (rows, n) float64, mV.
        fs_hz: sampling rate, Hz.

    Returns:
        (rows,) float64, mV.
    """
    piece = round(_MUSCLE_PIECE_S * fs_hz)
    rows, n = len(filtered), filtered.shape[1] // piece
    if n < 5:
        return np.zeros(rows)
    fast = np.empty_like(filtered)
    uniform_filter1d(filtered, 2 * round(_MUSCLE_HALF_S * fs_hz) + 1, output=fast, mode="nearest")
    np.subtract(filtered, fast, out=fast)
    pieces = fast[:, : n * piece].reshape(rows, n, piece)
    power = np.vecdot(pieces, pieces) / piece
    power.sort(axis=1)
    low = math.floor(_MUSCLE_QUANTILE * (n - 1))
    share = _MUSCLE_QUANTILE * (n - 1) - low
    quiet: NDArray[np.float64] = np.sqrt((1 - share) * power[:, low] + share * power[:, low + 1])
    return quiet


def wander_mv(recent: NDArray[np.float64], fs_hz: float) -> NDArray[np.float64]:
    """Range of the mean over 0.6 s within each stretch, mV; 0 for a stretch of at most 0.6 s.

    Args:
        recent: (rows, n) float64, mV.
        fs_hz: sampling rate, Hz.

    Returns:
        (rows,) float64, mV.
    """
    n = round(_BASELINE_MEAN_S * fs_hz)
    if recent.shape[1] <= n:
        return np.zeros(len(recent))
    total = np.zeros((len(recent), recent.shape[1] + 1))
    np.cumsum(recent - recent[:, :1], axis=1, out=total[:, 1:])
    mean = total[:, n:] - total[:, :-n]
    moved: NDArray[np.float64] = (mean.max(axis=1) - mean.min(axis=1)) / n
    return moved


Samples = NDArray[np.float64]


class Measurable(NamedTuple):
    """A stretch of signal with valid samples, usually one second.

    Attributes:
        given: number of samples, invalid ones too.
        valid: (n,) float64, raw samples, mV.
        filtered: (m,) float64, band-passed, mV.
        recent: (k,) float64, the valid ones of the last 3 s of raw samples, mV.
        fs_hz: sampling rate, Hz.
    """

    given: int
    valid: Samples
    filtered: Samples
    recent: Samples
    fs_hz: float

    @property
    def shape(self) -> tuple[int, int, int, float]:
        """Stretches of equal shape can be measured together."""
        return self.valid.size, self.filtered.size, self.recent.size, self.fs_hz


class Measured(NamedTuple):
    """What `judge_quality` needs of a stretch: lowest and highest raw value, wander, fast noise; mV."""

    low: float
    high: float
    wander: float
    noise: float


def measurable(raw: Samples, filtered: Samples, recent: Samples, fs_hz: float) -> Measurable | None:
    """A stretch for `measure_quality`; None where too few samples are valid: leads off.

    Args:
        raw: (n,) float64, mV; NaN = no valid sample.
        filtered: (n,) float64, mV, the same stretch band-passed.
        recent: (m,) float64, the last 3 s of raw samples, mV.
        fs_hz: sampling rate, Hz.
    """
    valid = _valid(raw)
    if valid.size == 0 or valid.size < raw.size * (1 - _INVALID_SHARE):
        return None
    return Measurable(raw.size, valid, filtered, _valid(recent), fs_hz)


def measure_quality(stretches: list[Measurable]) -> list[Measured]:
    """Measure stretches of equal shape."""
    raw = np.array([stretch.valid for stretch in stretches])
    fs_hz = stretches[0].fs_hz
    wander = wander_mv(np.array([stretch.recent for stretch in stretches]), fs_hz)
    noise = fast_noise_mv(np.array([stretch.filtered for stretch in stretches]), fs_hz)
    columns = raw.min(axis=1), raw.max(axis=1), wander, noise
    return list(map(Measured, *(column.tolist() for column in columns)))


def judge_quality(
    stretch: Measurable,
    measured: Measured,
    rails_mv: tuple[float, float] | None = None,
    *,
    qrs_mv: float = 0.0,
    alike_mv: float = 0.0,
    recent_rr_s: float | None = None,
    hum_mv: float = 0.0,
) -> Quality:
    """Judge a stretch.

    Args:
        stretch: its samples.
        measured: the answer of `measure_quality`.
        rails_mv: lowest and highest value of the ADC, mV, if known.
        qrs_mv: the patient's usual QRS height, peak to peak, mV; 0 = not known.
        alike_mv: height of the last QRS complexes if they are alike, peak to peak, mV; else 0. Noise has none, so the
            limits of swing and wander grow with it.
        recent_rr_s: median of the newest RR intervals, s; None = not known.
        hum_mv: amplitude of hum at 50 or 60 Hz after the filter, mV.

    Returns:
        The worst verdict that applies.
    """
    valid, fs_hz = stretch.valid, stretch.fs_hz
    low, high, wander, noise = measured
    swing = high - low
    if swing < _FLAT_MV and stretch.given >= _FLAT_MIN_S * fs_hz:
        return Quality.FLAT
    if rails_mv is not None and (low <= rails_mv[0] or high >= rails_mv[1]):
        clipped = np.count_nonzero((valid <= rails_mv[0]) | (valid >= rails_mv[1]))
        if clipped / valid.size > _CLIPPED_SHARE:
            return Quality.CLIPPED
    if swing > _PLATEAU_MIN_MV and _clipped(valid, low, high, fs_hz):
        return Quality.CLIPPED
    height = qrs_mv or alike_mv or _USUAL_MV
    swing_most = max(_within(_SWING * height, _SWING_MV), _SWING_ALIKE * alike_mv)
    if swing > swing_most or wander > max(_within(_WANDER * height, _WANDER_MV), _WANDER_ALIKE * alike_mv):
        return Quality.WANDER
    fast = alike_mv > 0.0 and recent_rr_s is not None and recent_rr_s < _FAST_RR_S
    if noise > (_MUSCLE_FAST if fast else _MUSCLE) * height:
        return Quality.HUM if hum_mv / math.sqrt(2.0) > _HUM_SHARE * noise else Quality.MUSCLE
    return Quality.GOOD


def _valid(raw: Samples) -> NDArray[np.float64]:
    missing = np.isnan(raw)
    return raw[~missing] if missing.any() else raw


def _clipped(samples: NDArray[np.float64], low: float, high: float, fs_hz: float) -> bool:
    """Whether the lowest or highest value of (n,) samples, mV, is a rail: a run of it cuts a wave off, or lasts."""
    shortest, longest = max(3, round(_PLATEAU_S * fs_hz)), round(_RAIL_S * fs_hz)
    beside = max(1, round(_STEP_S * fs_hz))
    for extreme in (high, low):
        at = (samples == extreme).nonzero()[0]
        if at.size < shortest:
            continue
        ends = np.append(np.flatnonzero(np.diff(at) > 1), at.size - 1)  # of each run, in `at`
        sizes = np.diff(ends, prepend=-1)
        for last, size in zip(at[ends[sizes >= shortest]].tolist(), sizes[sizes >= shortest].tolist(), strict=True):
            sides = [place for place in (last - size + 1 - beside, last + beside) if 0 <= place < samples.size]
            if size >= longest or (sides and np.abs(samples[sides] - extreme).min() >= _STEP_MV):
                return True
    return False


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
