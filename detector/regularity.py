"""What repeats under waves that look like fibrillation: QRS complexes, or one wave form.

Fibrillation leaves no QRS complexes, and no wave of it is like the one before. Two measures tell other causes of such
waves from it. Both need no knowledge of the patient, so they hold from the first seconds on:

- *complexes*: above 13 Hz a QRS stands out of tremor, tooth brushing, T waves and baseline, which have their power
  below. If the power there lies in few short stretches that are alike, QRS complexes go on under the waves.
- *cycle*: the shortest lag at which the waveform repeats itself. A monomorphic tachycardia, or a broad rhythm with tall
  T waves, does so from beat to beat.

Limits were chosen on synthetic signals and the odd records of cudb: of the windows of fibrillation there, 0.6 % have
complexes and 8 % a cycle (0.5 % and 2 % of synthetic fibrillation); of those of tremor and low-frequency noise over a
beating heart, all have complexes; of those of synthetic monomorphic tachycardia at 110 to 240 bpm, 99 % have a cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from detector.events import RhythmSpan
from detector.fibrillation import WINDOW_S, Waves

__all__ = ["SLOW_S", "Repetition", "repetition", "rhythm_of"]

SLOW_S: Final = 0.6  # a cycle of at least this is no tachycardia (100 bpm)
_EDGE_HZ = 13.0  # in the middle of the slope of the high-pass
_TAPER_S = 0.25  # at both ends, against the jump between them
_CUT_S = 0.2
_MEAN_S = 0.08
_HALF_S, _LAG_S = 0.06, 0.024  # a complex, and the largest shift of two compared
_APART_S = 0.24
_LEAST_SHARE = 0.2  # of the power of the largest complex
_MOST_COMPLEXES, _LEAST_COMPLEXES = 16, 3
_STEEP_TIME = 0.25  # share of the time that QRS complexes take up to about 130 bpm
_CONCENTRATION = 0.8  # share of the power that lies in it: 95 % of fibrillation has less
_ALIKE = 0.88  # median over complexes of the likeness to the most similar other one

_FASTEST_S = 0.2
# Newest part of the window that is compared with itself, and the longest cycle looked for in it: four beats at 110 bpm,
# or at 150 bpm, which begin later in the window.
_CYCLES_S = ((2.5, SLOW_S), (1.6, 0.42))
_SLOWEST_S = 1.2
_REPEATS, _REPEATS_SLOWLY = 0.9, 0.8  # correlation from which a waveform repeats; no fibrillation does over 0.6 s
_NEAR_BEST = 0.07  # the shortest lag this close to the best is the cycle, longer ones are its multiples

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Repetition:
    """What repeats in a window.

    Attributes:
        complexes: QRS complexes that are alike stand out above 13 Hz.
        cycle_s: time after which the waveform repeats, 0.2 to 1.2 s; None if it does not.
    """

    complexes: bool
    cycle_s: float | None

    @property
    def beating(self) -> bool:
        """Whether the ventricles beat under the waves at a rate that is no tachycardia, or with narrow complexes."""
        return self.complexes or (self.cycle_s is not None and self.cycle_s >= SLOW_S)


def repetition(filtered: Samples, fs_hz: float) -> Repetition:
    """Measure a window of 4 s; takes 0.3 ms, so only for one that looks like fibrillation.

    Args:
        filtered: (n,) float64, band-passed, mV.
        fs_hz: sampling rate, Hz.
    """
    cycle_s = None
    for newest_s, longest_s in _CYCLES_S:
        cycle_s = cycle_s or _cycle_s(filtered[-round(newest_s * fs_hz) :], fs_hz, longest_s, _REPEATS)
    if cycle_s is None:
        cycle_s = _cycle_s(filtered, fs_hz, _SLOWEST_S, _REPEATS_SLOWLY)
        cycle_s = None if cycle_s is not None and cycle_s < SLOW_S else cycle_s
    return Repetition(_complexes(filtered, fs_hz), cycle_s)


def rhythm_of(seen: Waves, filtered: Samples, first_sample: int, fs_hz: float, fibrillatory: bool) -> RhythmSpan:
    """Verdict on the rhythm of a window of 4 s; of a shorter one there is none.

    Args:
        seen: its waves.
        filtered: (n,) float64, band-passed, mV.
        first_sample: absolute index of filtered[0].
        fs_hz: sampling rate, Hz.
        fibrillatory: the window can be judged, and its waves look like fibrillation.
    """
    end = first_sample + filtered.size
    if filtered.size < round(WINDOW_S * fs_hz):
        return RhythmSpan(first_sample, end, False, math.nan)
    repeats = repetition(filtered, fs_hz) if fibrillatory else None
    if repeats is None or repeats.beating:
        return RhythmSpan(first_sample, end, False, seen.measure)
    return RhythmSpan(first_sample, end, True, seen.measure, repeats.cycle_s)


def _complexes(filtered: Samples, fs_hz: float) -> bool:
    fast = _fast(filtered, fs_hz)
    power = np.square(fast)
    power = uniform_filter1d(power, max(1, round(_MEAN_S * fs_hz)), mode="constant")
    rising = np.sort(power)
    if rising[-round(_STEEP_TIME * rising.size) :].sum() < _CONCENTRATION * rising.sum():
        return False
    half, lag, apart = (round(each * fs_hz) for each in (_HALF_S, _LAG_S, _APART_S))
    power[: half + lag] = power[power.size - half - lag :] = 0.0
    least, places = _LEAST_SHARE * float(power.max()), list[int]()
    while len(places) < _MOST_COMPLEXES and power[top := int(power.argmax())] > least:
        places.append(top)
        power[max(0, top - apart) : top + apart] = 0.0
    if len(places) < _LEAST_COMPLEXES:
        return False
    at = np.array(places)[:, None, None] + np.arange(-lag, lag + 1)[:, None] + np.arange(-half, half + 1)
    pieces = fast[at]  # (complexes, lags, length)
    pieces /= np.linalg.norm(pieces, axis=2, keepdims=True)
    like = (pieces @ pieces[:, lag].T).max(axis=1)
    np.fill_diagonal(like, 0.0)
    return float(np.median(like.max(axis=0))) >= _ALIKE


def _fast(filtered: Samples, fs_hz: float) -> Samples:
    """The signal above 13 Hz, without its ends, where the taper is."""
    n = filtered.size
    ramp = np.minimum(1.0, np.arange(n) / (_TAPER_S * fs_hz))
    spectrum = np.fft.rfft((filtered - filtered.mean()) * np.minimum(ramp, ramp[::-1]))
    hz = np.fft.rfftfreq(n, 1.0 / fs_hz)
    spectrum *= np.clip((hz - 0.75 * _EDGE_HZ) / (0.5 * _EDGE_HZ), 0.0, 1.0)
    cut = round(_CUT_S * fs_hz)
    fast: Samples = np.fft.irfft(spectrum, n)[cut:-cut]
    return fast


def _cycle_s(stretch: Samples, fs_hz: float, longest_s: float, least: float) -> float | None:
    """Shortest lag up to `longest_s` at which the stretch correlates with itself by `least` or more, s."""
    centred = stretch - stretch.mean()
    n = centred.size
    lags = np.arange(round(_FASTEST_S * fs_hz), round(longest_s * fs_hz) + 2)
    products = np.fft.irfft(np.abs(np.fft.rfft(centred, 2 * n)) ** 2, 2 * n)[lags]
    power = np.concatenate(([0.0], np.cumsum(np.square(centred))))
    like = products / np.sqrt(np.maximum(power[n - lags] * (power[n] - power[lags]), 1e-12))
    inner = like[1:-1]
    tops = np.flatnonzero((inner >= like[:-2]) & (inner >= like[2:]) & (inner >= like.max() - _NEAR_BEST)) + 1
    if not tops.size or like[tops[0]] < least:
        return None
    return float(lags[tops[0]]) / fs_hz
