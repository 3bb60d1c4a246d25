"""The present rhythm of a bed in a few words, from its alarms, its patterns of beats and its RR intervals."""

from __future__ import annotations

import itertools
from collections import deque
from statistics import median

from detector import Quality, QualitySpan
from monitor.alarms.book import AlarmBook
from monitor.alarms.ectopy import Ectopy
from monitor.alarms.evidence import ScoredBeat

__all__ = ["NOT_WATCHED", "RhythmWord"]

NOT_WATCHED = "not watched"
_UNWATCHED_S = 5.0  # without a second of good signal
_BEATS = 8
_MIN_BEATS = 4
_VARIABLE = 0.1  # mean change from one RR interval to the next, in usual intervals
# Alarms that name the rhythm while they are up, so that word and alarm agree; the most urgent first.
_NAMED = {
    "ventricular_fibrillation": "ventricular fibrillation",
    "asystole": "asystole",
    "ventricular_run": "ventricular run",
    "pause": "pause",
}


class RhythmWord:
    """Word for the rhythm of now.

    Args:
        book: its alarms name the rhythm first.
        ectopy: patterns of ventricular beats; it has taken each beat before this class does.
    """

    def __init__(self, book: AlarmBook, ectopy: Ectopy) -> None:
        self._book = book
        self._ectopy = ectopy
        self._good_until: int | None = None
        self._intervals: deque[float] = deque(maxlen=_BEATS)  # RR between usual beats, s
        self._ectopic = False  # the beat before

    def on_quality(self, span: QualitySpan) -> None:
        """Take the quality of the next stretch of signal."""
        if span.quality is Quality.GOOD or self._good_until is None:
            self._good_until = span.end_sample

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not."""
        before, self._ectopic = self._ectopic, self._ectopy.is_last
        if scored.score is None or scored.beat.rr_s is None:
            self._intervals.clear()
        elif not (before or self._ectopic):
            self._intervals.append(scored.beat.rr_s)

    def interrupt(self) -> None:
        """Signal is missing."""
        self._intervals.clear()
        self._ectopic = False

    def unwatched_s(self, sample: int) -> float:
        """Time since the last second of good signal, or since the start, s."""
        return 0.0 if self._good_until is None else max(0.0, (sample - self._good_until) / self._book.fs_hz)

    def word(self, sample: int) -> str:
        """The rhythm at this sample; empty while it is not known yet."""
        for kind, word in _NAMED.items():
            if self._book.up(kind) is not None:
                return word
        if self._good_until is None or self.unwatched_s(sample) > _UNWATCHED_S:
            return "" if self._good_until is None else NOT_WATCHED
        base, pattern = self._regularity(), self._ectopy.pattern(sample)
        if pattern.endswith("geminy"):
            return pattern
        return f"{base}, {pattern}" if base and pattern else base or pattern

    def _regularity(self) -> str:
        if self._book.up("irregular_rhythm") is not None:
            return "irregular"
        intervals = list(self._intervals)
        if len(intervals) < _MIN_BEATS:
            return ""
        change = sum(abs(b - a) for a, b in itertools.pairwise(intervals)) / (len(intervals) - 1)
        return "variable" if change > _VARIABLE * median(intervals) else "regular"
