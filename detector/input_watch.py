"""Watch on what is no heart: samples in another unit than mV, calibration pulses and test signals."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.device_signal import LONG_S, SHORT_S, is_device_signal
from detector.pacer import PacerFilter
from detector.quality import MAX_MV, Quality
from detector.scale import QRS_MAX_MV, QRS_MIN_MV, Scale, ScaleWatch

__all__ = ["InputWatch"]

Floats = NDArray[np.float64]

_WINDOW_S = 8.0
_PULSE_S = 0.012  # of a pacing pulse
_ENOUGH = 0.5  # share of a second that must be valid to be judged
_LARGEST = 1e9  # no number of any unit; 24-bit counts reach 1.7e7
_DOUBT = 4  # such seconds are no leads off yet: QRS complexes in another unit show within them
_WAVY = 0.23  # standard deviation over range: squares have 0.24 to 0.5, an ECG about 0.15


class _Second(NamedTuple):
    """Samples between two ticks: first and end index, the valid ones as they were given, and their range."""

    first: int
    end: int
    samples: Floats
    low: float = math.nan
    high: float = math.nan


def _second(first: int, end: int, samples: Floats) -> _Second:
    """Leave out what is no number of any unit."""
    if samples.size:
        low, high = float(samples.min()), float(samples.max())  # NaN if there is one
        if low > -_LARGEST and high < _LARGEST:
            return _Second(first, end, samples, low, high)
        samples = samples[np.abs(samples) < _LARGEST]
    if not samples.size:
        return _Second(first, end, samples)
    return _Second(first, end, samples, float(samples.min()), float(samples.max()))


class InputWatch:
    """Keeps the last seconds as they were given, also values that are no ECG, and judges them on the grid.

    In the usual case a second costs a handful of sums.

    Args:
        fs_hz: sampling rate, Hz.
        pacer: its pacing pulses are left out of what is judged.
    """

    def __init__(self, fs_hz: float, pacer: PacerFilter) -> None:
        self._fs_hz = fs_hz
        self._pacer = pacer
        self._pulse = math.ceil(_PULSE_S * fs_hz) + 1
        self._scale = ScaleWatch(fs_hz)
        self._coming: deque[tuple[int, Floats]] = deque()
        self._seconds: deque[_Second] = deque()
        self._calibrating = False  # between two pulses a second may be flat
        self._impossible = 0  # seconds in a row with values that are mostly no mV

    @property
    def scale(self) -> Scale | None:
        """The likely unit, if the samples are not in mV."""
        return self._scale.found

    @property
    def tall(self) -> bool:
        """The last second spans more than any ECG in mV."""
        return self._scale.tall

    def put(self, first_sample: int, samples: Floats) -> Floats:
        """Take samples as they were given, (n,), NaN or infinite = invalid, which are not changed afterwards.

        Returns:
            The samples with NaN for values that are no ECG in mV.
        """
        self._coming.append((first_sample, samples))
        possible = np.abs(samples) < MAX_MV
        return samples if possible.all() else np.where(possible, samples, np.nan)

    def judge(self, first: int, end: int, patient_known: bool) -> Quality | None:
        """Verdict on the samples from `first` up to `end`: `UNIT`, `CALIBRATION`, or None.

        Args:
            first, end: absolute indices.
            patient_known: QRS complexes of this patient are known.
        """
        second = self._take(first, end)
        if second.samples.size < max(1.0, _ENOUGH * (end - first)):
            return None
        low, high = second.low, second.high
        swing = high - low
        wavy = self._calibrating or self._is_wavy(second.samples, swing)
        self._calibrating = wavy and swing <= QRS_MAX_MV and self._is_device_signal()
        if self._calibrating:
            return Quality.CALIBRATION
        if QRS_MIN_MV <= swing <= QRS_MAX_MV and low > -MAX_MV and high < MAX_MV:
            self._scale.plausible(second.samples, swing, self._window)
            self._impossible = 0
        else:
            self._scale.implausible_second(swing, self._window(), patient_known)
            often = np.count_nonzero(np.abs(second.samples) >= MAX_MV) > _ENOUGH * second.samples.size
            self._impossible = self._impossible + 1 if often and swing > 0 else 0
            if 0 < self._impossible <= _DOUBT:
                return Quality.UNIT
        return Quality.UNIT if self._scale.implausible else None

    def _take(self, first: int, end: int) -> _Second:
        """Move the samples up to `end` from those that came to the last seconds."""
        parts: list[Floats] = []
        while self._coming and self._coming[0][0] < end:
            at, samples = self._coming.popleft()
            if at + samples.size > end:
                rest, samples = samples[end - at :], samples[: end - at]
                self._coming.appendleft((end, rest if rest.size > end - first else rest.copy()))  # not a long piece
            for pulse in self._pacer.between(max(first, at) - self._pulse, at + samples.size):
                samples = samples.copy()
                samples[max(0, pulse - at) : max(0, pulse - at + self._pulse)] = np.nan
            parts.append(samples[max(0, first - at) :])
        samples = np.concatenate([*parts, np.empty(0)])  # a copy: a part may belong to a long piece
        second = _second(first, end, samples)
        self._seconds.append(second)
        while self._seconds[0].end <= end - _WINDOW_S * self._fs_hz:
            self._seconds.popleft()
        return second

    def _window(self) -> Floats:
        """The last seconds, without what is invalid or missing."""
        return np.concatenate([second.samples for second in self._seconds])

    @staticmethod
    def _is_wavy(samples: Floats, swing: float) -> bool:
        mean = float(samples.sum()) / samples.size
        return math.sqrt(max(0.0, float(samples @ samples) / samples.size - mean * mean)) > _WAVY * swing

    def _is_device_signal(self) -> bool:
        whole: list[Floats] = []
        for second in reversed(self._seconds):
            if second.samples.size < second.end - second.first:
                break
            whole.append(second.samples)
        samples = np.concatenate(whole[::-1]) if whole else np.empty(0)
        lengths = (round(length_s * self._fs_hz) for length_s in (LONG_S, SHORT_S))
        return any(is_device_signal(samples[-length:], self._fs_hz) for length in lengths)
