"""Whether samples are in mV at all: QRS complexes of an impossible height, or a signal of mean 0 and spread 1.

A source that gives uV, V or ADC counts as mV shows QRS complexes that are a thousand times too tall or too small. What
makes it an ECG does not depend on the unit: short steep waves of about the same height at the rate of a heart, and
rest between them. Mains hum, noise, electrode motion, pacing pulses and rails have no such waves. Chosen on synthetic
signals and DS1, scaled and not.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

__all__ = ["QRS_MAX_MV", "QRS_MIN_MV", "Scale", "ScaleWatch", "qrs_height"]

Unit = Literal["uV", "V", "adc", "adc or uV", "z-scores"]
Floats = NDArray[np.float64]

QRS_MAX_MV: Final = 20.0  # the tallest QRS on the skin has about 10 mV
QRS_MIN_MV: Final = 0.0125  # an amplifier's own noise: no QRS complex under it would be seen
_LEAST_S = 2.0  # shortest stretch in which two complexes can be seen
_AGREE = 3  # seconds that must show the same before it is said
_CALM = 3  # seconds in a row in a plausible range that end it
_RATE_HZ = 125.0  # for the search: a QRS complex of 80 ms has ten samples
_PULSE_S = 0.012  # longest pulse of a pacemaker, three samples at 250 Hz: a median filter takes it out
_RISE_S = 0.024
_TOP = 0.97  # quantile of the slopes that counts as the steepest
_WAVE, _REST, _RESTING = 0.5, 0.25, 0.55  # share of the steepest slope in a wave, at rest; share of the time at rest
_APART_S = 0.2
_LONGEST_S = 0.25
_ALIKE, _ALIKE_SHARE = 3.0, 0.75  # waves within a factor of 3 of their median, and the share that must be
_RATES_HZ = (0.4, 5.5)
_AROUND_S = 0.08
_STEP, _STEP_S = 0.75, 0.004  # share of the height that changes at once: a step between levels, no QRS complex
_UV = (20.0, 20_000.0)  # heights of QRS complexes in uV
_Z_SPREAD, _Z_MEAN = (0.85, 1.15), 0.2  # of 8 s of a lead whose whole record was scaled
_Z_KEPT = (0.6, 1.6)  # outside: the hint ends
_Z_HEIGHT = 3.3  # QRS complexes stand out of a spread of 1; waves of a ventricular tachycardia do not
_Z_SECONDS = 8
_Z_UNTIL_S = 30  # of the signal: a file that was scaled shows it from the start


@dataclass(frozen=True, slots=True)
class Scale:
    """The samples are not in mV.

    Attributes:
        looks_like: the likely unit of the numbers that were given as mV; `adc`: counts, or any other unit;
            `adc or uV`: whole numbers around 0 that may be either.
        height: QRS height in these numbers, peak to peak, two digits.
        mv: mV in one of them; for all but `uV` and `V` such that a QRS complex has 1 mV.
    """

    looks_like: Unit
    height: float
    mv: float


class ScaleWatch:
    """State of the verdict on the scale of one lead, second by second.

    Args:
        fs_hz: sampling rate, Hz.

    Attributes:
        found: the verdict that several seconds agree on; None = the samples may be mV.
        implausible: QRS complexes of an impossible height in the last seconds, and no plausible signal since.
        tall: the last second spans more than any ECG in mV.
    """

    def __init__(self, fs_hz: float) -> None:
        self.found: Scale | None = None
        self.implausible = self.tall = False
        self._fs_hz = fs_hz
        self._agreed = self._calm = 0
        self._spreads: deque[tuple[int, float, float]] = deque(maxlen=_Z_SECONDS)  # of a second: n, sum, squares
        self._seconds = 0

    def plausible(self, second: Floats, swing: float, window: Callable[[], Floats]) -> None:
        """Take a second whose values may be an ECG in mV.

        Args:
            second: (n,) finite.
            swing: its peak to peak.
            window: gives the last seconds, where they are needed.
        """
        self.tall = False
        self._calm += 1
        self._seconds += 1
        if self._calm >= _CALM:
            self.implausible, self._agreed = False, 0
            if self.found is not None and self.found.looks_like != "z-scores":
                self.found = None
        if self.found is None and self._seconds > _Z_UNTIL_S:
            return
        self._spreads.append((second.size, float(second.sum()), float(second @ second)))
        if len(self._spreads) == _Z_SECONDS and (self.found is not None or swing > _Z_HEIGHT):
            self._judge_spread(window)

    def implausible_second(self, swing: float, window: Floats, patient_known: bool) -> None:
        """Take a second whose values are no ECG in mV.

        Args:
            swing: its peak to peak.
            window: (n,) the last seconds with this one, finite.
            patient_known: QRS complexes of a plausible height were seen: a tiny signal is no other unit.
        """
        self._calm = 0
        self._spreads.clear()
        self.tall = swing > QRS_MAX_MV
        small = swing < QRS_MIN_MV
        height = None if small and patient_known else qrs_height(window, self._fs_hz)
        if height is None or QRS_MIN_MV <= height <= QRS_MAX_MV:
            if small:  # without complexes: a flat line, whatever the unit
                self.found, self.implausible, self._agreed = None, False, 0
            return
        self.implausible = True
        self._agreed += 1
        if self._agreed >= _AGREE and self.found is None:
            self.found = _likely(window, height)

    def _judge_spread(self, window: Callable[[], Floats]) -> None:
        """Mean 0 and spread 1 over several seconds: z-scores."""
        n, total, squares = map(sum, zip(*self._spreads, strict=True))
        mean = total / n
        spread = math.sqrt(max(0.0, squares / n - mean * mean))
        if self.found is not None:
            if not _Z_KEPT[0] <= spread <= _Z_KEPT[1]:
                self.found = None
        elif _Z_SPREAD[0] <= spread <= _Z_SPREAD[1] and abs(mean) <= _Z_MEAN:
            height = qrs_height(window(), self._fs_hz)
            if height is not None and height > _Z_HEIGHT:
                self.found = Scale("z-scores", _round(height), _round(1.0 / height))


def qrs_height(samples: Floats, fs_hz: float) -> float | None:
    """Median height of the QRS complexes of a stretch of signal, peak to peak, in its own unit; None without any.

    Args:
        samples: (n,) raw, finite, of any unit.
        fs_hz: sampling rate, Hz.
    """
    if samples.size < 0.9 * _LEAST_S * fs_hz:
        return None
    despiked = median_filter(samples, 2 * math.floor(_PULSE_S * fs_hz) + 1, mode="nearest")
    block = max(1, round(fs_hz / _RATE_HZ))
    rate_hz = fs_hz / block
    coarse = despiked[: despiked.size // block * block].reshape(-1, block).mean(axis=1)
    lag = max(1, round(_RISE_S * rate_hz))
    slopes = np.abs(coarse[lag:] - coarse[:-lag])
    steepest = float(np.quantile(slopes, _TOP))
    if not steepest > 0 or np.count_nonzero(slopes < _REST * steepest) < _RESTING * slopes.size:
        return None
    steep = np.flatnonzero(slopes > _WAVE * steepest)
    waves = np.split(steep, np.flatnonzero(np.diff(steep) > _APART_S * rate_hz) + 1)
    seconds = slopes.size / rate_hz
    if not max(2, _RATES_HZ[0] * seconds) <= len(waves) <= _RATES_HZ[1] * seconds:
        return None
    around, step = round(_AROUND_S * rate_hz), max(1, round(_STEP_S * fs_hz))
    heights, steps = [], []
    for wave in waves:
        here = despiked[max(0, int(wave[0]) - around) * block : (int(wave[-1]) + lag + around + 1) * block]
        heights.append(float(np.ptp(here)))
        steps.append(float(np.abs(here[step:] - here[:-step]).max()) / heights[-1])
    median = float(np.median(heights))
    alike = sum(
        median / _ALIKE < height < median * _ALIKE and wave[-1] - wave[0] <= _LONGEST_S * rate_hz
        for height, wave in zip(heights, waves, strict=True)
    )
    return median if alike >= _ALIKE_SHARE * len(waves) and float(np.median(steps)) < _STEP else None


def _likely(window: Floats, height: float) -> Scale:
    """The likely unit of numbers with QRS complexes of this height."""
    if height < QRS_MIN_MV:
        return Scale("V", _round(height), 1e3) if height > 1e-4 else Scale("adc", _round(height), _round(1.0 / height))
    in_uv = _UV[0] <= height <= _UV[1]
    if in_uv and not _whole(window):
        return Scale("uV", _round(height), 1e-3)
    offset = float(window.min()) >= 0.0 or abs(float(np.median(window))) > 2.0 * height
    return Scale("adc or uV" if in_uv and not offset else "adc", _round(height), _round(1.0 / height))


def _whole(window: Floats) -> bool:
    """Whether these are whole numbers, not all multiples of the same one, as the counts of an ADC."""
    whole = np.rint(window)
    return bool((window == whole).all() and np.gcd.reduce(np.abs(np.diff(whole)).astype(np.int64)) == 1)


def _round(value: float) -> float:
    return float(f"{value:.2g}")
