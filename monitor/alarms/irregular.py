"""An irregular rhythm without P waves, as in atrial fibrillation.

The irregularity is the coefficient of sample entropy of the RR intervals (Lake and Moorman 2011,
DOI 10.1152/ajpheart.00561.2010): how little an interval tells about the next one. P waves separate what RR intervals
alone cannot: many premature atrial beats, second-degree block and a breathing heart are irregular with a P wave before
each QRS.

Deviations, and why:
- Published is its exponential, in percent: the width, in shares of the mean RR interval, over which the next interval
  is spread. The paper's limit of -1.4 for 12 beats is 25 %.
- The tolerance is not raised in steps: it is 30 ms, or the fifth smallest distance of two pairs where that is more.
- Intervals beside a ventricular-looking beat are left out, so that ectopic beats make no irregular rhythm. Two
  intervals are a pair only where the second follows the first directly.

Chosen on DS1: the median in its atrial fibrillation is 80 to 84 %, 95 % of it is over 49 %, and other rhythms stay
under 36 % but for trigeminy in record 201 (63 %, with P waves). The likeness of the P wave is 0.74 or less in 95 % of
its atrial fibrillation (0.29 to 0.59 in the median) and 0.85 or more elsewhere, noise aside.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from detector.findings import p_likeness
from monitor.alarms.book import AlarmBook
from monitor.alarms.ectopy import Ectopy
from monitor.alarms.evidence import ScoredBeat, beat_evidence, measured

__all__ = ["Irregular", "spread_percent"]

_KIND = "irregular_rhythm"
_TOLERANCE_S = 0.03
_MATCHES = 5  # of two intervals in a row, at least
_PAIRS = 0.5  # share of the intervals that the next one follows directly
_REGULAR = 0.05  # mean change between intervals, in mean intervals: less is never irregular (0.12 in fibrillation)
_P_LIKENESS, _P_RELIEF = 0.85, 0.05  # likeness of the P waves below which there are none
_LATE = 0.8  # after a shorter share of the usual interval, the T wave before hides the P wave
_IN_A_ROW = 8  # intervals at which the window must look so before the alarm is raised
_WINDOW_S = 120.0  # older intervals say nothing about now
_UNKNOWN_S = 60.0  # after this time without an interval the rhythm is unknown


@dataclass(slots=True)
class _Interval:
    """An RR interval between two beats of the patient's own, and the beat at its end."""

    rr_s: float
    scored: ScoredBeat
    follows: bool  # directly after the interval before
    p: float | None = None  # likeness of its P wave, once that was needed
    p_known: bool = False

    def p_likeness(self) -> float | None:
        if not self.p_known:
            context = self.scored.beat.context
            self.p = None if context is None else p_likeness(self.scored.beat.samples, context.steady)
            self.p_known = True
        return self.p


class Irregular:
    """Rule on the last RR intervals and P waves.

    Args:
        book: the alarms.
        ectopy: finds ventricular beats; it has taken each beat before this class does.
    """

    def __init__(self, book: AlarmBook, ectopy: Ectopy) -> None:
        self._book = book
        self._ectopy = ectopy
        self._window: deque[_Interval] = deque(maxlen=max(book.limits(_KIND).beats - 1, _MATCHES))
        self._follows = False  # the interval before is in the window
        self._own = False  # the beat before was scored and not ventricular
        self._in_a_row = 0
        self._first: int | None = None  # R-peak from which the window has looked irregular

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not."""
        own_before, self._own = self._own, scored.score is not None and not self._ectopy.is_last
        follows, self._follows = self._follows, False
        rr_s = scored.beat.rr_s
        if any(self._book.holds(kind) for kind in ("ventricular_fibrillation", "ventricular_run")):
            self._window.clear()
            self._forget()
        elif self._own and own_before and rr_s is not None:
            self._window.append(_Interval(rr_s, scored, follows))
            self._follows = True
            oldest = scored.beat.r_sample - _WINDOW_S * self._book.fs_hz
            while self._window[0].scored.beat.r_sample < oldest:
                self._window.popleft()
            self._judge(scored)

    def on_tick(self, decided_until: int) -> None:
        """A second has passed."""
        if self._window:
            last = self._window[-1].scored.beat.r_sample
            if decided_until - last > _UNKNOWN_S * self._book.fs_hz:
                self._forget()

    def interrupt(self) -> None:
        """Signal is missing: intervals before the gap still count, an onset before it does not."""
        self._own = self._follows = False
        self._forget()

    def _forget(self) -> None:
        self._in_a_row, self._first = 0, None
        self._book.condition_cleared(_KIND)

    def _judge(self, scored: ScoredBeat) -> None:
        limits, up = self._book.limits(_KIND), self._book.up(_KIND) is not None
        rr_s = [each.rr_s for each in self._window]
        spread = 0.0
        if len(rr_s) == self._window.maxlen and _change(rr_s) >= _REGULAR:
            pairs = np.flatnonzero([each.follows for each in self._window][1:])
            spread = spread_percent(np.array(rr_s), pairs) if len(pairs) >= _PAIRS * len(rr_s) else 0.0
        if spread <= limits.limit - limits.relief * up or not self._without_p(_P_LIKENESS + _P_RELIEF * up):
            self._forget()
            return
        self._in_a_row += 1
        if self._first is None:
            self._first = scored.beat.r_sample
        if not up and self._in_a_row < _IN_A_ROW:
            return
        rate = 60.0 * len(rr_s) / sum(rr_s)
        text = f"irregular rhythm without P waves, {rate:.0f} bpm (next RR interval within {spread:.0f} % of the mean)"
        evidence = beat_evidence([each.scored for each in self._window])
        fast = rate > self._book.limits("tachycardia").limit
        evidence = measured(evidence, spread, limits.limit, "% of RR")
        self._book.cause(_KIND, self._first, text, evidence, "medium" if fast else None)

    def _without_p(self, limit: float) -> bool:
        """Whether the P waves of the beats that are not early are unlike the usual one."""
        usual_s = median(each.rr_s for each in self._window)
        found = [each.p_likeness() for each in self._window if each.rr_s >= _LATE * usual_s]
        known = [likeness for likeness in found if likeness is not None]
        return not known or median(known) < limit


def spread_percent(intervals: NDArray[np.float64], starts: NDArray[np.intp] | None = None) -> float:
    """How far the next RR interval is spread, in percent of the mean: 100 times the exponential of COSEn.

    Args:
        intervals: (n,) RR intervals in order, s.
        starts: places of the intervals that the next one follows directly, at least 5; None = all but the last.
    """
    starts = np.arange(len(intervals) - 1) if starts is None else starts
    apart = np.abs(intervals[:, None] - intervals[None, :])
    first, second = (starts[places] for places in np.triu_indices(len(starts), 1))
    one = apart[first, second]
    two = np.maximum(one, apart[first + 1, second + 1])
    tolerance_s = max(_TOLERANCE_S, float(np.partition(two, _MATCHES - 1)[_MATCHES - 1])) + 1e-9
    share = np.count_nonzero(two <= tolerance_s) / np.count_nonzero(one <= tolerance_s)
    entropy = -math.log(share) + math.log(2 * tolerance_s / float(intervals.mean()))
    return 100 * math.exp(entropy)


def _change(rr_s: list[float]) -> float:
    """Mean change from one RR interval to the next, in mean intervals; plain numbers: it is needed at each beat."""
    changes = [abs(after - before) for before, after in pairwise(rr_s)]
    return (sum(changes) / len(changes)) / (sum(rr_s) / len(rr_s))
