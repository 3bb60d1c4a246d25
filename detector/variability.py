"""Heart rate variability in the time domain, of normal-to-normal (NN) intervals. Pure.

Definitions of the Task Force of the ESC and NASPE (1996, doi:10.1161/01.CIR.93.5.1043). Deviations: SDNN uses n - 1,
and pNN50 is a share of the differences between successive NN intervals, not of the NN intervals.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["WINDOW_S", "NnSums", "ShortTermWindow", "TimeDomain", "is_nn", "sums_of"]

WINDOW_S: Final = 300.0  # of a short-term recording
_PNN_S: Final = 0.05
_ROUNDING_S: Final = 1e-9  # a difference of exactly 50 ms is not above it

Flag = TypeVar("Flag", bool, NDArray[np.bool_])


def is_nn(known: Flag, usual: Flag, usual_before: Flag) -> Flag:
    """Whether an RR interval is normal-to-normal.

    Args:
        known: the interval is known: no gap between its beats.
        usual, usual_before: the beat at its end and the beat at its begin were scored and are not anomalous.
    """
    return known & usual & usual_before


@dataclass(frozen=True, slots=True)
class TimeDomain:
    """Figures of NN intervals; None where there are too few.

    Attributes:
        intervals: number of NN intervals.
        mean_nn_ms, sdnn_ms: their mean and standard deviation, ms.
        rmssd_ms: root mean square of the differences between successive NN intervals, ms.
        pnn50: share of these differences above 50 ms, 0 to 1.
    """

    intervals: int = 0
    mean_nn_ms: float | None = None
    sdnn_ms: float | None = None
    rmssd_ms: float | None = None
    pnn50: float | None = None


@dataclass(slots=True)
class NnSums:
    """Sums of NN intervals and of the differences between successive ones, in any unit of time.

    Attributes:
        intervals, total, squares: number, sum, and sum of squares of the intervals.
        steps, step_squares, steps_above: number of differences, sum of their squares, number above 50 ms.
    """

    intervals: int = 0
    total: float = 0
    squares: float = 0
    steps: int = 0
    step_squares: float = 0
    steps_above: int = 0

    def time_domain(self, unit_ms: float) -> TimeDomain:
        """The figures; `unit_ms` is the unit of the sums, ms."""
        n = self.intervals
        if n < 2:
            return TimeDomain(n)
        spread = math.sqrt(max(0.0, (self.squares - self.total**2 / n) / (n - 1)))
        figures = unit_ms * self.total / n, unit_ms * spread
        if not self.steps:
            return TimeDomain(n, *figures)
        rmssd = math.sqrt(self.step_squares / self.steps)
        return TimeDomain(n, *figures, unit_ms * rmssd, self.steps_above / self.steps)


def sums_of(rr_s: NDArray[np.float64], nn: NDArray[np.bool_]) -> NnSums:
    """Sums over a whole record, s.

    Args:
        rr_s: (n,) intervals in order, s; NaN where not known.
        nn: (n,) whether the interval is normal-to-normal.
    """
    own, steps = rr_s[nn], np.diff(rr_s)[nn[1:] & nn[:-1]]
    above = np.abs(steps) > _PNN_S + _ROUNDING_S
    squares, step_squares = float(np.sum(own**2)), float(np.sum(steps**2))
    return NnSums(int(own.size), float(own.sum()), squares, int(steps.size), step_squares, int(above.sum()))


# Kinds of an interval in the window: not used; beside an anomalous beat; NN; NN that ends with a paced beat.
_OTHER, _ECTOPIC, _NN, _PACED = range(4)
_RR_BITS: Final = 24  # an interval of 2^24 samples or more is not known


class ShortTermWindow:
    """NN intervals of the last 5 minutes.

    A beat costs the same however many came before it. The sums are whole samples, so they never drift. A beat is kept
    as one integer (R-peak, interval, kind): a tuple would take three times the memory, 40 kB more for each bed.

    Args:
        fs_hz: sampling rate, Hz.

    Attributes:
        sums: of the NN intervals in the window, samples. An interval is in the window where its last R-peak is, and a
            difference where both its intervals are.
    """

    def __init__(self, fs_hz: float) -> None:
        self.sums = NnSums()
        self._fs_hz = fs_hz
        self._limit = (_PNN_S + _ROUNDING_S) * fs_hz
        self._intervals: deque[int] = deque()  # at most one per refractory period of the detector
        self._last = 0, _OTHER  # interval and kind of the newest beat
        self._ectopic = self._paced = 0  # samples
        self._usual = self._anomalous = False  # the beat before

    @property
    def nn_s(self) -> float:
        """Sum of the NN intervals, s."""
        return self.sums.total / self._fs_hz

    @property
    def ectopic_s(self) -> float:
        """Sum of the intervals that begin or end with an anomalous beat, s."""
        return self._ectopic / self._fs_hz

    @property
    def paced_s(self) -> float:
        """Sum of the NN intervals that end with a paced beat, s."""
        return self._paced / self._fs_hz

    def push(self, r_sample: int, rr_s: float | None, *, scored: bool, anomalous: bool, paced: bool = False) -> None:
        """Take the next beat.

        Args:
            r_sample: R-peak, samples; rising.
            rr_s: interval to the beat before, s; None where it is not known.
            scored, anomalous: verdict on the beat; one that was not scored is neither usual nor anomalous.
            paced: a pacing pulse made it.
        """
        usual, odd = scored and not anomalous, scored and anomalous
        rr = 0 if rr_s is None else round(rr_s * self._fs_hz)
        if rr >= 1 << _RR_BITS:
            rr = 0
        if is_nn(rr > 0, usual, self._usual):
            kind = _PACED if paced else _NN
        else:
            kind = _ECTOPIC if rr and (odd or self._anomalous) else _OTHER
        self._usual, self._anomalous = usual, odd
        self._intervals.append((r_sample << _RR_BITS | rr) << 2 | kind)
        self._add(rr, kind, 1)
        self._add_step(*self._last, rr, kind, 1)
        self._last = rr, kind
        self.forget(r_sample)

    def forget(self, sample: int) -> None:
        """Drop the intervals that ended 5 minutes before `sample`, or earlier."""
        intervals = self._intervals
        oldest = math.floor(sample - WINDOW_S * self._fs_hz)
        while intervals and intervals[0] >> (_RR_BITS + 2) <= oldest:
            gone = _unpacked(intervals.popleft())
            self._add(*gone, -1)
            if intervals:
                self._add_step(*gone, *_unpacked(intervals[0]), -1)
            else:
                self._last = 0, _OTHER

    def time_domain(self) -> TimeDomain:
        """The figures of the intervals in the window."""
        return self.sums.time_domain(1000.0 / self._fs_hz)

    def _add(self, rr: int, kind: int, sign: int) -> None:
        if kind >= _NN:
            self.sums.intervals += sign
            self.sums.total += sign * rr
            self.sums.squares += sign * rr * rr
            if kind == _PACED:
                self._paced += sign * rr
        elif kind == _ECTOPIC:
            self._ectopic += sign * rr

    def _add_step(self, rr_before: int, kind_before: int, rr: int, kind: int, sign: int) -> None:
        if kind_before >= _NN and kind >= _NN:
            step = rr - rr_before
            self.sums.steps += sign
            self.sums.step_squares += sign * step * step
            self.sums.steps_above += sign * (abs(step) > self._limit)


def _unpacked(interval: int) -> tuple[int, int]:
    """Samples and kind of an interval of the window."""
    return interval >> 2 & (1 << _RR_BITS) - 1, interval & 3
