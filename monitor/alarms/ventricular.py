"""A run of beats that are wide or have another QRS than usual, alike and fast: as in a ventricular tachycardia.

Five or more in a row at over 100 bpm (ventricular tachycardia of the 2015 PhysioNet/CinC Challenge). One lead cannot
prove where a beat comes from; premature beats with the usual narrow QRS are supraventricular and no such run. All
must be anomalous, most of the last five wide or different, and two of them wide: in an alternating tachycardia every
second QRS may be near the usual one, and what is different but never wide is supraventricular (207, 209). And they
must be like each other, which is what tells them from the beats that noise makes: in nstdb at 6 dB nearly all such
"runs" have a likeness of under 0.97, ventricular tachycardias of DS1 one of 0.98 and more. What is polymorphic is told
by its waveform (`monitor.alarms.fibrillation`), or as a run of anomalous beats.
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
_MOST = 0.6  # of the last beats are wide or different: 3 of 5
_WIDE = 0.4  # ... and wide: 2 of 5
_ALIKE = 0.97  # likeness of a beat's QRS to the most alike of the others: median of the last beats

_NOISE = frozenset((Quality.HUM, Quality.MUSCLE, Quality.WANDER, Quality.MOTION, Quality.CLIPPED))
_NOISY_BEATS = 3  # so many that noise kept from being scored ...
_NOISY_S = 30.0  # ... within so long leave a doubt ...
_USUAL_BEATS = 5  # ... until so many in all are scored since the last of them and are as usual for this patient


class _Noise:
    """Whether noise was there just before, and no proof since that it is over."""

    def __init__(self, fs_hz: float) -> None:
        self._reach = _NOISY_S * fs_hz
        self._noisy: deque[int] = deque(maxlen=_NOISY_BEATS)  # R-peaks
        self._usual = 0

    def on_beat(self, scored: ScoredBeat) -> None:
        """The next beat, scored or not."""
        if scored.beat.quality in _NOISE:
            self._noisy.append(scored.beat.r_sample)
            self._usual = 0
        elif scored.score is not None and not scored.anomalous:
            self._usual += 1

    def doubtful(self, r_sample: int) -> bool:
        """Whether a run that is now at this R-peak may be noise."""
        many = len(self._noisy) == _NOISY_BEATS and r_sample - self._noisy[0] <= self._reach
        return many and self._usual < _USUAL_BEATS


class VentricularRun:
    """Follow consecutive beats of that look.

    A run that is up goes on while its beats look unlike what was usual *before* it: within a dozen beats the
    patient's template has become that of the tachycardia, and what is usual then is no reason to be at ease.

    Attributes:
        start: R-peak of the first beat of the run, samples.
        length: beats of the run so far.
        rate_bpm: mean rate over its last beats, beats a minute.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._intervals: deque[float] = deque(maxlen=max(book.limits("ventricular_run").beats - 1, 1))
        self._last: deque[ScoredBeat] = deque(maxlen=book.limits("ventricular_run").beats)
        self._first: ScoredBeat | None = None  # of the run
        self._noise = _Noise(book.fs_hz)
        self.start = 0
        self.length = 0
        self.rate_bpm = 0.0

    def on_beat(self, scored: ScoredBeat) -> bool:
        """The next beat, scored or not.

        Returns:
            Whether it belongs to a run that is long and fast enough.
        """
        self._noise.on_beat(scored)
        if not self._belongs(scored):
            self._break()
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
        """Signal is missing: the run is over."""
        self._break()

    def _break(self) -> None:
        self._first, self.length = None, 0
        self._intervals.clear()
        self._last.clear()
        self._book.condition_cleared("ventricular_run")

    def _ventricular(self) -> bool:
        """Whether most of the last beats are wide or different, some wide, and all like each other."""
        words = [{word.word for word in scored.words} for scored in self._last]
        different = sum(bool(_VENTRICULAR & told) for told in words)
        wide = sum(WIDE in told for told in words)
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
