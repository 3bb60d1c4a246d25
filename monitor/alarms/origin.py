"""What the last beats say about the origin of a fast rhythm: one place that waves and beats are weighed in.

A ventricular rhythm has beats that are alike, unlike the patient's beat at rest, and without a P wave before them. One
lead cannot prove an origin, so each of these alone is no reason for an alarm:

- wide beats with a P wave at a fixed place before the QRS are conducted (sinus rhythm with bundle branch block);
- beats like those of the same patient at rest are conducted the same way (bundle branch block in a fast rhythm);
- beats unlike those at rest, and wide or tall, are ventricular.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_FS_HZ, QRS, R_INDEX, Beat, BeatContext
from detector.explain import LIMITS
from detector.findings import Findings, measure, qrs_likeness
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import ScoredBeat
from monitor.messages import Evidence

__all__ = ["FAST_RR_S", "RecentBeats", "RunCause", "alike", "p_wave"]

FAST_RR_S: Final = 0.6  # 100 bpm
_KEPT = 32
_SLOW = 8  # beats that show a rate at rest
_OWN, _OWN_HEIGHT = 0.95, (0.6, 1.6)  # likeness and height of a beat like those at rest (`detector.explain`)
_OWN_BLOCK = 0.88  # ... where that beat is wide: in a fast rhythm the T wave reaches into the end of such a QRS
_OWN_SHARE, _OWN_LEAST = 0.8, 3  # of the beats within a window
_LATE_S = 2.0  # beats are decided up to this late
_P_RR_S = 0.4  # 150 bpm
_P_LEAST_MV, _P_LEAST, _P_MOST = 0.02, 0.025, 0.25  # height of a P wave, mV and in QRS heights
_P_WIDTH_S = 0.1  # at half height; a T wave has more
_P_NEAR_S, _P_FAR_S = 0.09, 0.26  # before R
_QRS_END_S = 0.08  # after the previous R
_QRS_BEGIN_S = 0.05

Samples = NDArray[np.float64]


class RunCause:
    """Cause of `ventricular_run`, which beats and waves can report; it ends when neither holds."""

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._holding: set[str] = set()

    def holds(self, source: str, onset: int, text: str, evidence: Evidence) -> None:
        """`source` ("beats", "waves") finds a run now."""
        self._holding.add(source)
        self._book.cause("ventricular_run", onset, text, evidence)

    def ends(self, source: str) -> None:
        """`source` finds none."""
        self._holding.discard(source)
        if not self._holding:
            self._book.condition_cleared("ventricular_run")


class RecentBeats:
    """The last consecutive scored beats, and the patient's beat at rest.

    Attributes:
        resting: the usual beat while the rate was last under 100 bpm; None if it never was.
    """

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._last: deque[ScoredBeat] = deque(maxlen=_KEPT)
        self.resting: BeatContext | None = None

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not."""
        if scored.score is None or scored.beat.rr_s is None:
            self._last.clear()
        if scored.score is None:
            return
        self._last.append(scored)
        latest = _intervals(list(self._last)[-_SLOW:])
        slow = len(latest) == _SLOW and sum(latest) > _SLOW * FAST_RR_S
        if slow and not scored.anomalous and scored.beat.context is not None:
            self.resting = scored.beat.context

    def interrupt(self) -> None:
        """Signal is missing."""
        self._last.clear()

    def fast(self, least_bpm: float) -> list[ScoredBeat]:
        """The newest beats, all but the first at over `least_bpm`."""
        found: list[ScoredBeat] = []
        for scored in reversed(self._last):
            found.append(scored)
            if scored.beat.rr_s is None or 60.0 / scored.beat.rr_s <= least_bpm:
                break
        return found[::-1]

    def own(self, first_sample: int, end_sample: int) -> bool:
        """Whether beats like those at rest go on between two samples."""
        if self.resting is None:
            return False
        here = [scored.beat for scored in self._last if first_sample <= scored.beat.r_sample < end_sample]
        late = end_sample - round(_LATE_S * self._fs_hz)
        if len(here) < _OWN_LEAST or here[-1].r_sample < late - round(FAST_RR_S * self._fs_hz):
            return False
        return sum(map(self._own, here)) >= _OWN_SHARE * len(here)

    def conducted(self, beats: Sequence[ScoredBeat]) -> bool:
        """Whether a fast rhythm of these beats comes from the atria: P waves before them, or shaped as at rest."""
        if len(beats) < _OWN_LEAST:
            return False
        if self.resting is not None and sum(self._own(scored.beat) for scored in beats) >= _OWN_SHARE * len(beats):
            return True
        return p_wave([scored.beat for scored in beats])

    def _own(self, beat: Beat) -> bool:
        found = measure(replace(beat, context=self.resting))
        low, high = _OWN_HEIGHT
        least = _OWN_BLOCK if (found.usual_qrs_ms or 0.0) >= LIMITS.wide_ms else _OWN
        return (found.likeness or 0.0) >= least and low <= (found.height or 0.0) <= high


def compared(beat: Beat, reference: BeatContext | None) -> Findings:
    """Measurements of a beat against a reference."""
    return measure(beat if reference is None else replace(beat, context=reference))


def alike(beats: Sequence[Beat]) -> float:
    """Likeness of each beat's QRS to its most similar neighbour, median; 1 = all the same."""
    shapes = [np.asarray(beat.samples, np.float64) for beat in beats]
    return median(max(qrs_likeness(one, other) for other in shapes if other is not one) for one in shapes)


def p_wave(beats: Sequence[Beat]) -> bool:
    """Whether a wave like a P wave lies at a fixed place before the QRS.

    In the pointwise median of the beats, between the QRS before and this one: a turning point 90 to 260 ms before R,
    lower and narrower than a T wave, and apart from it and from the QRS. P waves that are dissociated from the QRS
    vanish in the median. Over 150 bpm P and T wave are one, and the answer is no.
    """
    usual = np.median([beat.samples for beat in beats], axis=0)
    rr_s = median(_intervals_of(beats) or [FAST_RR_S])
    if rr_s < _P_RR_S:
        return False
    first = max(0, R_INDEX - round((rr_s - _QRS_END_S) * BEAT_FS_HZ))
    between = usual[first : R_INDEX - round(_QRS_BEGIN_S * BEAT_FS_HZ)].tolist()
    qrs_mv = float(np.ptp(usual[QRS]))
    turns = _turns(between, max(_P_LEAST_MV, _P_LEAST * qrs_mv))
    for before, (here, _), after in zip(turns, turns[1:], turns[2:], strict=False):
        before_r_s = (R_INDEX - first - here) / BEAT_FS_HZ
        height = min(abs(between[here] - between[before[0]]), abs(between[here] - between[after[0]]))
        if not (_P_NEAR_S <= before_r_s <= _P_FAR_S and height <= _P_MOST * qrs_mv):
            continue
        beyond = [abs(value - between[here]) > height / 2 for value in between]
        left = next(i for i in range(here, -1, -1) if beyond[i])
        right = next(i for i in range(here, len(beyond)) if beyond[i])
        if (right - left) / BEAT_FS_HZ <= _P_WIDTH_S:
            return True
    return False


def _turns(values: list[float], least: float) -> list[tuple[int, bool]]:
    """Turning points between which the curve moves at least `least`, the last included: (place, whether a maximum)."""
    found: list[tuple[int, bool]] = []
    high = low = 0
    rising: bool | None = None
    for place, value in enumerate(values):
        high = place if value > values[high] else high
        low = place if value < values[low] else low
        if rising is not False and value < values[high] - least:
            found.append((high, True))
            rising, low = False, place
        elif rising is not True and value > values[low] + least:
            found.append((low, False))
            rising, high = True, place
    if rising is not None:
        found.append((high, True) if rising else (low, False))
    return found


def _intervals(beats: Sequence[ScoredBeat]) -> list[float]:
    return _intervals_of([scored.beat for scored in beats])


def _intervals_of(beats: Sequence[Beat]) -> list[float]:
    return [beat.rr_s for beat in beats if beat.rr_s is not None]
