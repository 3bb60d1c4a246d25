"""A fast run of similar beats that are wide or differ from the usual QRS, as in ventricular tachycardia.

Criterion: five or more in a row at over 100 bpm (ventricular tachycardia of the 2015 PhysioNet/CinC Challenge). One
lead cannot prove the origin of a beat; premature beats with the usual narrow QRS are supraventricular and no such run.
All beats must be anomalous, most of the last five wide or different, and two of them wide: in an alternating
tachycardia every second QRS may be near the usual one, and beats that are different but never wide are
supraventricular (records 207, 209). The beats must also resemble each other, which separates them from noise: in nstdb
at 6 dB nearly all such "runs" have a likeness under 0.97, ventricular tachycardias of DS1 have 0.98 or more. A
polymorphic tachycardia is reported by its waveform (`monitor.alarms.fibrillation`) or as a run of anomalous beats.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from statistics import median

import numpy as np

from detector import Quality
from detector.explain import DIFFERENT, INVERTED, WIDE, explain
from detector.findings import measure, qrs_likeness
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import ScoredBeat

__all__ = ["VentricularRun"]

_VENTRICULAR = frozenset((WIDE, INVERTED, DIFFERENT))
_MOST = 0.6  # share of the last beats that must be wide or different: 3 of 5
_WIDE = 0.4  # share that must be wide: 2 of 5
_ALIKE = 0.97  # likeness of each beat's QRS to its most similar neighbour, median over the last beats

_NOISE = frozenset((Quality.HUM, Quality.MUSCLE, Quality.WANDER, Quality.MOTION, Quality.CLIPPED))
# A run is doubtful after 3 beats within 30 s that were not scored because of noise, until 5 usual beats followed.
_NOISY_BEATS = 3
_NOISY_S = 30.0
_USUAL_BEATS = 5


class _Noise:
    """Whether there was noise shortly before, without enough usual beats since."""

    def __init__(self, fs_hz: float) -> None:
        self._reach = _NOISY_S * fs_hz
        self._noisy: deque[int] = deque(maxlen=_NOISY_BEATS)  # R-peaks
        self._usual = 0

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not."""
        if scored.beat.quality in _NOISE:
            self._noisy.append(scored.beat.r_sample)
            self._usual = 0
        elif scored.score is not None and not scored.anomalous:
            self._usual += 1

    def doubtful(self, r_sample: int) -> bool:
        """Whether a run that has reached this R-peak may be noise."""
        many = len(self._noisy) == _NOISY_BEATS and r_sample - self._noisy[0] <= self._reach
        return many and self._usual < _USUAL_BEATS


class VentricularRun:
    """Follow consecutive ventricular-looking beats.

    A run that is up continues while its beats differ from what was usual *before* it: within a dozen beats the
    patient's template adapts to the tachycardia, and its beats then count as usual.

    Attributes:
        start: R-peak of the first beat of the run, samples.
        length: number of beats so far.
        rate_bpm: mean rate over its last beats, beats a minute.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._intervals: deque[float] = deque(maxlen=max(book.limits("ventricular_run").beats - 1, 1))
        self._last: deque[ScoredBeat] = deque(maxlen=book.limits("ventricular_run").beats)
        self._first: ScoredBeat | None = None  # beat of the run
        self._noise = _Noise(book.fs_hz)
        self.start = 0
        self.length = 0
        self.rate_bpm = 0.0

    def on_beat(self, scored: ScoredBeat) -> bool:
        """Take the next beat, scored or not.

        Returns:
            Whether it belongs to a run that is long, fast and similar enough.
        """
        self._noise.on_beat(scored)
        if not self._belongs(scored):
            self.interrupt()
            return False
        if self._first is None:
            self._first, self.start = scored, scored.beat.r_sample
        elif scored.beat.rr_s is not None:
            self._intervals.append(scored.beat.rr_s)
        self._last.append(scored)
        self.length += 1
        limits = self._book.limits("ventricular_run")
        if self.length < limits.beats or not self._intervals:
            return False
        self.rate_bpm = 60.0 * len(self._intervals) / sum(self._intervals)
        up = self._book.up("ventricular_run") is not None
        fast = self.rate_bpm > limits.limit - limits.relief * up
        if fast and (up or (self._ventricular() and not self._noise.doubtful(scored.beat.r_sample))):
            return True
        self._book.condition_cleared("ventricular_run")
        return False

    def interrupt(self) -> None:
        """The run is over: the next beat does not belong to it, or signal is missing."""
        self._first, self.length = None, 0
        self._intervals.clear()
        self._last.clear()
        self._book.condition_cleared("ventricular_run")

    def _ventricular(self) -> bool:
        """Whether most of the last beats are wide or different, some wide, and all similar to each other."""
        words = [{word.word for word in scored.words} for scored in self._last]
        different = sum(bool(_VENTRICULAR & reasons) for reasons in words)
        wide = sum(WIDE in reasons for reasons in words)
        if different < _MOST * len(words) or wide < _WIDE * len(words):
            return False
        shapes = [np.asarray(scored.beat.samples, np.float64) for scored in self._last]
        nearest = [max(qrs_likeness(one, other) for other in shapes if other is not one) for one in shapes]
        return median(nearest) >= _ALIKE

    def _belongs(self, scored: ScoredBeat) -> bool:
        if scored.score is None:
            return False
        if scored.anomalous:
            return True
        if self._first is None or not self._book.up("ventricular_run"):
            return False
        as_before = replace(scored.beat, context=self._first.beat.context)
        return bool(_VENTRICULAR & {word.word for word in explain(measure(as_before))})
