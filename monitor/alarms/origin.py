"""What the last beats say about the origin of a fast rhythm: one place that waves and beats are weighed in.

A ventricular rhythm has beats that are alike, unlike the patient's beat at rest, and without a P wave before them. One
lead cannot prove an origin, so each of these alone is no reason for an alarm:

- wide beats with a P wave at a fixed place before the QRS are conducted (sinus rhythm with bundle branch block);
- beats like those of the same patient at rest are conducted the same way (bundle branch block in a fast rhythm);
- beats unlike those at rest, and wide or tall, are ventricular.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_FS_HZ, CONTEXT_FIELDS, QRS, R_INDEX, Beat, BeatContext, Quality
from detector.explain import LIMITS
from detector.findings import Findings, measure, qrs_duration_ms, qrs_likeness
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import ScoredBeat
from monitor.messages import Evidence

__all__ = ["FAST_RR_S", "PWave", "RecentBeats", "RunCause", "alike", "p_wave"]

FAST_RR_S: Final = 0.6  # 100 bpm
_KEPT = 32
_SLOW, _REST_RR_S = 8, 0.57  # beats that show a rate at rest: under 105 bpm, so that one of 100 is
_AGAIN_S = 10.0  # after a window that looks like fibrillation, which wanes and waxes
_OWN, _OWN_HEIGHT = 0.95, (0.6, 1.6)  # likeness and height of a beat like those at rest (`detector.explain`)
_OWN_BLOCK = 0.88  # ... where that beat is wide: in a fast rhythm the T wave reaches into the end of such a QRS
_OWN_SHARE, _OWN_LEAST = 0.8, 3  # of the beats within a window
_STEADY = 1.35  # largest over smallest of their heights, and of their RR intervals: some waves are like any wide QRS
_LATE_S = 2.0  # beats are decided up to this late
_P_LIKE = (0.5, 2.0)  # height of a P wave of the same patient in a fast rhythm, in those at rest
_CORE, _CORE_LAG = slice(R_INDEX - 9, R_INDEX + 11), 5  # -72 to +80 ms: the T wave of a fast rhythm lies after it
_P_RR_S = 0.4  # 150 bpm
_P_LEAST_MV, _P_LEAST, _P_MOST = 0.02, 0.025, 0.25  # height of a P wave, mV and in QRS heights
_P_WIDTH_S = 0.1  # at half height; a T wave has more
_P_FIRST_S, _P_LAST_S = 0.26, 0.09  # before R
_P_NEAR_S = 0.05  # from the place of the P wave at rest
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
        resting: the usual beat while the rate was last under 105 bpm; None if it never was. It is not learnt while the
            waveform looks like fibrillation, whose waves become usual for the patient within a minute.
    """

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._last: deque[ScoredBeat] = deque(maxlen=_KEPT)
        self._fibrillated_until = 0  # R-peaks before this sample are no beats at rest
        self.resting: BeatContext | None = None

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not."""
        if scored.beat.quality is Quality.MOTION:
            return  # P waves that are dissociated look like motion
        if scored.score is None or scored.beat.rr_s is None:
            self._last.clear()
        if scored.score is None:
            return
        self._last.append(scored)
        latest = _intervals(list(self._last)[-_SLOW:])
        slow = len(latest) == _SLOW and sum(latest) > _SLOW * _REST_RR_S
        fibrillated = scored.beat.r_sample < self._fibrillated_until
        if slow and not fibrillated and not scored.anomalous and scored.beat.context is not None:
            self.resting = scored.beat.context

    def on_fibrillatory(self, end_sample: int) -> None:
        """The waveform up to this sample looks like fibrillation."""
        self._fibrillated_until = end_sample + round(_AGAIN_S * self._fs_hz)

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

    def own(self, first_sample: int, end_sample: int, repeats: bool) -> bool:
        """Whether beats like those at rest go on between two samples; steady ones, unless the waveform `repeats`."""
        if self.resting is None:
            return False
        here = [scored.beat for scored in self._last if first_sample <= scored.beat.r_sample < end_sample]
        late = end_sample - round(_LATE_S * self._fs_hz)
        if len(here) < _OWN_LEAST or here[-1].r_sample < late - round(FAST_RR_S * self._fs_hz):
            return False
        likenesses = [self._likeness(beat) for beat in here]
        own = [height for like, height in likenesses if _is_own(like, height, _OWN)]
        if len(own) < _OWN_SHARE * len(here):
            return False
        return repeats or (_steady(own) and _steady(_intervals_of(here[1:])))

    def conducted(self, beats: Sequence[ScoredBeat]) -> bool:
        """Whether a fast rhythm of these beats comes from the atria: P waves before them, or shaped as at rest.

        Where the beat at rest is known, only a wave like its P wave is one.
        """
        if len(beats) < _OWN_LEAST:
            return False
        if self.resting is None:
            return p_wave([scored.beat for scored in beats]) is not None
        block = (qrs_duration_ms(self.resting.template.astype(np.float64)) or 0.0) >= LIMITS.wide_ms
        least = _OWN_BLOCK if block else _OWN
        if sum(_is_own(*self._likeness(scored.beat), least) for scored in beats) >= _OWN_SHARE * len(beats):
            return True
        found, usual = p_wave([scored.beat for scored in beats]), _usual_p_wave(self.resting)
        if found is None or usual is None:
            return False
        return abs(found.before_r_s - usual.before_r_s) <= _P_NEAR_S and _P_LIKE[0] < found.mv / usual.mv < _P_LIKE[1]

    def _likeness(self, beat: Beat) -> tuple[float, float]:
        """Likeness to the beat at rest, and height over its height."""
        if self.resting is None:
            return 0.0, 0.0
        return _core_likeness(beat.samples.astype(np.float64), self.resting.template.astype(np.float64))


def _is_own(like: float, height: float, least: float) -> bool:
    return like >= least and _OWN_HEIGHT[0] <= height <= _OWN_HEIGHT[1]


def _steady(values: Sequence[float]) -> bool:
    return not values or max(values) <= _STEADY * min(values)


def _core_likeness(samples: Samples, usual: Samples) -> tuple[float, float]:
    """Correlation of the middle of the QRS with the usual one, best within 40 ms, and its height in the usual one's."""
    shape = usual[_CORE] - usual[_CORE].mean()
    best, height = -1.0, 0.0
    for lag in range(-_CORE_LAG, _CORE_LAG + 1):
        piece = samples[_CORE.start + lag : _CORE.stop + lag]
        piece = piece - piece.mean()
        norm = float(np.linalg.norm(piece) * np.linalg.norm(shape))
        like = float(piece @ shape) / norm if norm > 0 else 0.0
        if like > best:
            best, height = like, float(np.ptp(piece) / max(np.ptp(shape), 1e-6))
    return best, height


def _usual_p_wave(resting: BeatContext) -> PWave | None:
    """The P wave of the beat at rest."""
    rr_s = float(resting.values[CONTEXT_FIELDS.index("rr_median_8_s")])
    return None if math.isnan(rr_s) else p_wave([Beat(0, rr_s, resting.template, Quality.GOOD)])


def compared(beat: Beat, reference: BeatContext | None) -> Findings:
    """Measurements of a beat against a reference."""
    return measure(beat if reference is None else replace(beat, context=reference))


def alike(beats: Sequence[Beat]) -> float:
    """Likeness of each beat's QRS to its most similar neighbour, median; 1 = all the same."""
    shapes = [np.asarray(beat.samples, np.float64) for beat in beats]
    return median(max(qrs_likeness(one, other) for other in shapes if other is not one) for one in shapes)


class PWave(NamedTuple):
    """A wave like a P wave at a fixed place before the QRS.

    Attributes:
        before_r_s: time from its top to the R-peak, s.
        mv: its height, mV; negative if inverted.
    """

    before_r_s: float
    mv: float


def p_wave(beats: Sequence[Beat]) -> PWave | None:
    """The P wave of some beats; None without one.

    Searched in the pointwise median of the beats, between the QRS before and this one: a turning point 90 to 260 ms
    before R, lower and narrower than a T wave, and apart from it and from the QRS. P waves that are dissociated from
    the QRS vanish in the median. Over 150 bpm P and T wave are one, and the answer is None.
    """
    usual = np.median([beat.samples for beat in beats], axis=0)
    rr_s = median(_intervals_of(beats) or [FAST_RR_S])
    if rr_s < _P_RR_S:
        return None
    first = max(0, R_INDEX - round((rr_s - _QRS_END_S) * BEAT_FS_HZ))
    between = usual[first : R_INDEX - round(_QRS_BEGIN_S * BEAT_FS_HZ)].tolist()
    qrs_mv = float(np.ptp(usual[QRS]))
    turns = _turns(between, max(_P_LEAST_MV, _P_LEAST * qrs_mv))
    for before, (here, up), after in zip(turns, turns[1:], turns[2:], strict=False):
        before_r_s = (R_INDEX - first - here) / BEAT_FS_HZ
        height = min(abs(between[here] - between[before[0]]), abs(between[here] - between[after[0]]))
        if not (_P_LAST_S <= before_r_s <= _P_FIRST_S and height <= _P_MOST * qrs_mv):
            continue
        beyond = [abs(value - between[here]) > height / 2 for value in between]
        left = next(i for i in range(here, -1, -1) if beyond[i])
        right = next(i for i in range(here, len(beyond)) if beyond[i])
        if (right - left) / BEAT_FS_HZ <= _P_WIDTH_S:
            return PWave(before_r_s, height if up else -height)
    return None


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
