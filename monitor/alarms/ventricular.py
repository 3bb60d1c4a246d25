"""A fast run of similar beats of ventricular origin, as in ventricular tachycardia.

Criterion: five or more in a row at over 100 bpm (ventricular tachycardia of the 2015 PhysioNet/CinC Challenge). One
lead cannot prove the origin of a beat, so the run must be *new* or *wide*:

- *new*: beats unlike the patient's beat at rest (its QRS is different, or much taller), three of the last five, two of
  them also wide or much taller. In an alternating tachycardia every second QRS may be near the usual one, and beats
  that are different but never wide are supraventricular (records 207, 209). A beat belongs that is anomalous, or unlike
  the beat at rest and early or nearly anomalous: where such beats were frequent before, the model calls some of them
  usual (records 203, 210).
- *wide*: eight regular beats of at least 120 ms, for a patient whose beat at rest is not known: the tachycardia began
  before the monitor did.

In both the beats must resemble each other, which separates them from noise: in nstdb at 6 dB nearly all such "runs"
have a likeness under 0.97, ventricular tachycardias of DS1 have 0.98 or more. And they must not be conducted
(`monitor.alarms.origin`): P waves before them, or the shape that the patient has at rest. A polymorphic tachycardia is
reported by its waveform (`monitor.alarms.fibrillation`) or as a run of anomalous beats.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from statistics import median

import numpy as np

from detector import Quality
from detector.explain import LIMITS
from detector.findings import Findings, qrs_likeness
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import ScoredBeat
from monitor.alarms.origin import FAST_RR_S, RecentBeats, alike, compared
from monitor.alarms.recent_noise import RecentNoise

__all__ = ["VentricularRun"]

_MOST = 0.6  # share of the last beats that must be unlike the beat at rest: 3 of 5
_PACED = 0.75  # share of paced beats; pulses at 80 that do not capture are near a third of the beats of a VT
_WIDE = 0.4  # share of them that must also be wide or much taller: 2 of 5
_ALIKE = 0.97  # likeness of each beat's QRS to its most similar neighbour, median over the last beats
_TALLER = 1.75  # QRS heights; normal beats reach 1.23, those of a small QRS that breathes 1.6 (cudb cu17)
_ODD_P = 0.02  # p-value under which a beat that follows those of a run may belong, though it is not anomalous
_NEAR_RR_S = 1.1 * FAST_RR_S  # an early beat within this of the one before may belong, though it is not anomalous
# Without a beat at rest; at 100 to 108 bpm sinus rhythm with a block is far more frequent.
_WIDE_BEATS, _WIDE_MS, _WIDE_BPM = 8, 120.0, 108.0
# ... where the RR intervals deviate from their median by less than this, and change by less, in the median, from one to
# the next: atrial fibrillation with bundle branch block has more.
_REGULAR, _STEADY = 0.1, 0.04
_CHECKS, _FEW = 2, 0.2  # checks for P waves there, at one beat each, and share of them that may find some


class VentricularRun:
    """Follow consecutive ventricular-looking beats.

    A run that is up continues while its beats differ from what was usual *before* it: within a dozen beats the
    patient's template adapts to the tachycardia, and its beats then count as usual.

    Attributes:
        start: R-peak of the first beat of the run, samples.
        length: number of beats so far.
        rate_bpm: mean rate over its last beats, beats a minute.
    """

    def __init__(self, book: AlarmBook, recent: RecentBeats, noise: RecentNoise) -> None:
        self._book = book
        self._recent = recent
        self._noise = noise
        self._intervals: deque[float] = deque(maxlen=max(book.limits("ventricular_run").beats - 1, 1))
        self._last: deque[tuple[ScoredBeat, Findings]] = deque(maxlen=book.limits("ventricular_run").beats)
        self._first: ScoredBeat | None = None  # beat of the run
        self._checked = self._conducted = 0  # in the present wide rhythm, and how often P waves were found
        self.start = 0
        self.length = 0
        self.rate_bpm = 0.0

    def on_beat(self, scored: ScoredBeat) -> bool:
        """Take the next beat, scored or not; `RecentBeats` and `RecentNoise` have taken it.

        Returns:
            Whether it belongs to a run that is long, fast and similar enough.
        """
        if self.moves_alike(scored):
            self.length += 1
            return self._book.holds("ventricular_run")
        found = self._belongs(scored)
        if found is None:
            self.interrupt()
            return self._wide_since_the_start()
        if self._first is None:
            self._first, self.start = scored, scored.beat.r_sample
        elif scored.beat.rr_s is not None:
            self._intervals.append(scored.beat.rr_s)
        self._last.append((scored, found))
        self.length += 1
        limits = self._book.limits("ventricular_run")
        if len(self._last) < limits.beats or not self._intervals:
            return self._wide_since_the_start()
        self.rate_bpm = 60.0 * len(self._intervals) / sum(self._intervals)
        up = self._book.up("ventricular_run") is not None
        fast = self.rate_bpm > limits.limit - limits.relief * up
        doubtful = self._noise.doubtful(scored.beat.r_sample)
        paced = _paced([last for last, _ in self._last])
        return (fast and not paced and (up or (self._ventricular() and not doubtful))) or self._wide_since_the_start()

    def moves_alike(self, scored: ScoredBeat) -> bool:
        """Whether a beat not scored for motion has the QRS of the run: P waves between its beats look like motion."""
        rr_s = scored.beat.rr_s
        if scored.beat.quality is not Quality.MOTION or not self._last or rr_s is None or rr_s > _NEAR_RR_S:
            return False
        shapes = (scored.beat.samples, self._last[-1][0].beat.samples)
        return qrs_likeness(*(shape.astype(np.float64) for shape in shapes)) >= _ALIKE

    def interrupt(self) -> None:
        """The run is over: the next beat does not belong to it, or signal is missing."""
        self._first, self.length = None, 0
        self._intervals.clear()
        self._last.clear()

    def _ventricular(self) -> bool:
        """Whether the last beats are new and similar to each other, and not conducted."""
        unlike = [found for _, found in self._last if _unlike(found)]
        odd = sum(_wide(found) or _tall(found) for found in unlike)
        if len(unlike) < _MOST * len(self._last) or odd < _WIDE * len(self._last):
            return False
        beats = [scored for scored, _ in self._last]
        if self._recent.resting is None and not _one_shape(beats):
            return False
        return alike([scored.beat for scored in beats]) >= _ALIKE and not self._recent.conducted(beats)

    def _wide_since_the_start(self) -> bool:
        """Whether a regular wide tachycardia goes on in a patient whose beat at rest is not known."""
        if self._recent.resting is not None:
            self._checked = self._conducted = 0
            return False
        limits = self._book.limits("ventricular_run")
        up = self._book.up("ventricular_run") is not None
        beats = self._recent.fast(max(limits.limit, _WIDE_BPM) - limits.relief * up)
        if len(beats) < _WIDE_BEATS or median(scored.qrs_ms for scored in beats[-_WIDE_BEATS:]) < _WIDE_MS:
            return False
        intervals = [scored.beat.rr_s for scored in beats[1:] if scored.beat.rr_s is not None]
        usual = median(intervals)
        changes = median(abs(late - early) for early, late in pairwise(intervals))
        if changes > _STEADY * usual or any(abs(interval - usual) > _REGULAR * usual for interval in intervals[-7:]):
            return False
        latest = beats[-_WIDE_BEATS:]
        if _paced(latest):
            return False
        self._checked += 1
        self._conducted += self._recent.conducted(latest)
        if (
            self._checked < _CHECKS
            or self._conducted > _FEW * self._checked
            or self._noise.doubtful(beats[-1].beat.r_sample)
        ):
            return False
        if alike([scored.beat for scored in latest]) < _ALIKE or not _one_shape(latest):
            return False
        if self._first is None:
            self._first, self.start = latest[0], latest[0].beat.r_sample
        self.length, self.rate_bpm = max(self.length, len(latest)), 60.0 / usual
        return True

    def _belongs(self, scored: ScoredBeat) -> Findings | None:
        """Measurements of a beat that belongs to a run; None for another."""
        beat, first = scored.beat, self._first or scored
        if scored.score is None:
            return None
        near = beat.rr_s is not None and beat.rr_s <= _NEAR_RR_S
        near = near and (self._book.up("ventricular_run") is not None or (beat.rr_ratio or 1.0) < LIMITS.early)
        odd = self._first is not None and scored.judgement is not None and scored.judgement.p_value < _ODD_P
        if not scored.anomalous and not near and not odd:
            return None
        found = compared(beat, self._recent.resting or first.beat.context)
        return found if scored.anomalous or _unlike(found) else None


def _paced(beats: list[ScoredBeat]) -> bool:
    """Whether a pacemaker makes these beats; pulses that capture nothing fall near a few by chance."""
    return sum(scored.beat.paced for scored in beats) >= _PACED * len(beats)


def _one_shape(beats: list[ScoredBeat]) -> bool:
    """Whether each beat is like the one before: not QRS and T wave in turn."""
    shapes = [scored.beat.samples.astype(np.float64) for scored in beats]
    return median(qrs_likeness(late, early) for early, late in pairwise(shapes)) >= LIMITS.likeness


def _unlike(found: Findings) -> bool:
    return (found.likeness is not None and found.likeness < LIMITS.likeness) or _tall(found)


def _tall(found: Findings) -> bool:
    return found.height is not None and found.height >= _TALLER


def _wide(found: Findings) -> bool:
    if found.qrs_ms is None or found.usual_qrs_ms is None:
        return False
    return found.qrs_ms >= LIMITS.wide_ms and found.qrs_ms > found.usual_qrs_ms + LIMITS.wider_ms
