"""Heart rate variability in the time domain, of normal-to-normal (NN) intervals. Pure.

Definitions of the Task Force of the ESC and NASPE (1996, doi:10.1161/01.CIR.93.5.1043). Deviations: SDNN uses n - 1,
and pNN50 is a share of the differences between successive NN intervals, not of the NN intervals.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

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


class _Interval(NamedTuple):
    """The interval that ends with a beat."""

    r_sample: int
    rr: int  # samples; 0 = not known
    nn: bool
    ectopic: bool  # known, and one of its beats is anomalous
    paced: bool  # NN, and a pacing pulse made its last beat


class ShortTermWindow:
    """NN intervals of the last 5 minutes.

    A beat costs the same however many came before it. The sums are whole samples, so they never drift.

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
        self._intervals: deque[_Interval] = deque()  # at most one per refractory period of the detector
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
        nn = is_nn(rr > 0, usual, self._usual)
        interval = _Interval(r_sample, rr, nn, rr > 0 and (odd or self._anomalous), nn and paced)
        self._usual, self._anomalous = usual, odd
        if self._intervals:
            self._add_step(self._intervals[-1], interval, 1)
        self._intervals.append(interval)
        self._add(interval, 1)
        self.forget(r_sample)

    def forget(self, sample: int) -> None:
        """Drop the intervals that ended 5 minutes before `sample`, or earlier."""
        oldest = sample - WINDOW_S * self._fs_hz
        while self._intervals and self._intervals[0].r_sample <= oldest:
            gone = self._intervals.popleft()
            self._add(gone, -1)
            if self._intervals:
                self._add_step(gone, self._intervals[0], -1)

    def time_domain(self) -> TimeDomain:
        """The figures of the intervals in the window."""
        return self.sums.time_domain(1000.0 / self._fs_hz)

    def _add(self, interval: _Interval, sign: int) -> None:
        if interval.nn:
            self.sums.intervals += sign
            self.sums.total += sign * interval.rr
            self.sums.squares += sign * interval.rr**2
            self._paced += sign * interval.rr * interval.paced
        elif interval.ectopic:
            self._ectopic += sign * interval.rr

    def _add_step(self, before: _Interval, after: _Interval, sign: int) -> None:
        if before.nn and after.nn:
            step = after.rr - before.rr
            self.sums.steps += sign
            self.sums.step_squares += sign * step**2
            self.sums.steps_above += sign * (abs(step) > self._limit)
