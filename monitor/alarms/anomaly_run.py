"""Consecutive anomalous beats, and whether they are an arrhythmia or only noise, posture, or a heart that speeds up."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import numpy as np

from detector.explain import EARLY, NOISY, ST_T, WIDE
from detector.findings import qrs_likeness
from monitor.alarms.evidence import ScoredBeat

__all__ = ["AnomalyRun"]

# Chosen on DS1, qtdb and synthetic healthy hearts. A sinus node that speeds up changes RR by up to 16 % from beat to
# beat there (a sigh), a premature beat comes at 0.82 or less of the interval before in nearly all runs of DS1.
_ABRUPT = 0.82
_LIKENESS = 0.88  # to the usual QRS, as for the counts of ventricular beats (`ectopy`)
_ALIKE = 0.9  # likeness of neighbours in a run that does not begin early: moving electrodes make beats that differ


class AnomalyRun:
    """The present run of anomalous beats.

    Args:
        beats: number of beats that make a run.

    Attributes:
        start: R-peak of its first beat; None without a run.
        length: number of beats so far.
        gradual: the last beat is early, with at most another T wave, and not much sooner than the beat before: a heart
            that speeds up, whose QT follows.
    """

    def __init__(self, beats: int) -> None:
        self.start: int | None = None
        self.length = 0
        self.gradual = False
        self._beats = beats
        self._last: deque[ScoredBeat] = deque(maxlen=beats)
        self._abrupt = False  # a beat of the run came much sooner than the beat before it
        self._rr_s: float | None = None  # before the last scored beat

    def on_beat(self, scored: ScoredBeat) -> bool:
        """Take the next beat, scored or not; return whether it belongs to a run."""
        before_s, self._rr_s = self._rr_s, scored.beat.rr_s if scored.score is not None else None
        abrupt = before_s is not None and self._rr_s is not None and self._rr_s < _ABRUPT * before_s
        words = {word.word for word in scored.words}
        self.gradual = not abrupt and before_s is not None and EARLY in words and words <= {EARLY, ST_T}
        if not scored.anomalous:
            self.end()
            return False
        if self.start is None:
            self.start = scored.beat.r_sample
        self.length += 1
        self._last.append(scored)
        self._abrupt |= abrupt
        return True

    def end(self) -> None:
        """The run is over."""
        self.start, self.length, self._abrupt = None, 0, False
        self._last.clear()

    def interrupt(self) -> None:
        """Signal is missing."""
        self.end()
        self._rr_s = None

    def is_arrhythmia(self, irregular: bool, noisy: bool) -> bool:
        """Whether the run is long enough and its last beats have a reason in the heart.

        A run with a beat much sooner than the one before: all are early, or all have another QRS. Any other run, and
        any beside noise: all have another QRS, and they resemble each other.

        Args:
            irregular: the rhythm is irregular anyway: early beats are no reason.
            noisy: beats were not scored for noise just now (`monitor.alarms.recent_noise`).
        """
        if self.length < self._beats:
            return False
        last = list(self._last)
        abrupt = self._abrupt and not noisy
        if abrupt and not irregular and all(_has(odd, EARLY) for odd in last):
            return True
        if not all(map(_other_qrs, last)):
            return False
        shapes = [np.asarray(odd.beat.samples, np.float64) for odd in last]
        return abrupt or all(qrs_likeness(one, other) >= _ALIKE for one, other in pairwise(shapes))


def _has(odd: ScoredBeat, *words: str) -> bool:
    """Whether a beat without noise has one of these words."""
    found = {word.word for word in odd.words}
    return not found.isdisjoint(words) and (NOISY not in found or NOISY in words)


def _other_qrs(odd: ScoredBeat) -> bool:
    """Whether the QRS of an anomalous beat is not the patient's usual one."""
    likeness = odd.found.likeness if odd.found else None
    return _has(odd, WIDE) or (likeness is not None and likeness < _LIKENESS and not _has(odd, NOISY))
