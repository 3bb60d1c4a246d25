"""Heart rate, and its alarms: bradycardia, tachycardia, and the extremes of both."""

from __future__ import annotations

from collections import deque
from statistics import median

from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import ScoredBeat, beat_evidence, measured

__all__ = ["Rates"]

_HEART_RATE_BEATS = 8
_REGULAR_BEATS, _REGULAR_SHARE = 4, 0.2  # few: a tachycardia is not regular from its first beat on
_KEPT_BEATS = 32
_EXTREME = ("extreme_bradycardia", "extreme_tachycardia")
_KINDS = (*_EXTREME, "bradycardia", "tachycardia")  # the higher first: it covers the lower


class Rates:
    """Rules on RR intervals between scored beats.

    A rate is extreme if every interval crosses the limit (2015 PhysioNet/CinC Challenge), so that one pause is no
    bradycardia; one interval in sixteen may be off because of a missed QRS. Tachycardia and bradycardia are rules on
    the mean rate, which the screen shows. An alarm that is up ends only once the rate is clear of the limit by the
    configured `relief`.

    Attributes:
        heart_rate_bpm: mean rate over the last 8 RR intervals, beats a minute; None if unknown.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        kept = max(_KEPT_BEATS, *(book.limits(kind).beats + 1 for kind in _KINDS))
        self._recent: deque[ScoredBeat] = deque(maxlen=kept)
        self._intervals: deque[float] = deque(maxlen=kept)  # RR before each beat, s; the first may have none
        self.heart_rate_bpm: float | None = None

    def regular(self) -> bool:
        """Whether the last 4 RR intervals lie within 20 % of their median."""
        intervals = list(self._intervals)[-_REGULAR_BEATS:]
        if len(intervals) < _REGULAR_BEATS:
            return False
        usual = median(intervals)
        return all(abs(interval - usual) <= _REGULAR_SHARE * usual for interval in intervals)

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not."""
        rr_s = scored.beat.rr_s
        if scored.score is None or rr_s is None:
            self._forget()
        self._recent.append(scored)
        if rr_s is not None:
            self._intervals.append(rr_s)
        intervals = list(self._intervals)
        latest = intervals[-_HEART_RATE_BEATS:]
        self.heart_rate_bpm = round(_mean_bpm(latest), 1) if len(latest) >= 2 else None
        for kind in _KINDS:
            self._judge(kind, intervals)

    def interrupt(self) -> None:
        """Signal is missing: start again."""
        self._forget()
        for kind in _KINDS:
            self._book.clear(kind)

    def _forget(self) -> None:
        self._recent.clear()
        self._intervals.clear()
        self.heart_rate_bpm = None

    def _judge(self, kind: str, intervals: list[float]) -> None:
        book, limits = self._book, self._book.limits(kind)
        slow, up = kind.endswith("bradycardia"), book.up(kind) is not None
        if len(self._recent) < limits.beats:
            if self._recent[-1].score is None:
                book.condition_cleared(kind)
            return
        intervals = intervals[1 - limits.beats :]
        limit = limits.limit + (limits.relief if slow else -limits.relief) * up
        if kind in _EXTREME:
            edges = up or (_crosses(60.0 / intervals[0], limit, slow) and _crosses(60.0 / intervals[-1], limit, slow))
            holds = edges and sum(not _crosses(60.0 / rr_s, limit, slow) for rr_s in intervals) <= len(intervals) // 16
        else:
            holds = _crosses(_mean_bpm(intervals), limit, slow)
        if not holds:
            book.condition_cleared(kind)
            return
        # The one interval that may be off must not change the rate in the text either: hence the median.
        rate = 60.0 / median(intervals) if kind in _EXTREME else _mean_bpm(intervals)
        beats = list(self._recent)[-limits.beats :]
        text = f"heart rate {rate:.0f} bpm over {limits.beats} beats"
        evidence = measured(beat_evidence(beats), rate, limits.limit, "bpm")
        book.cause(kind, beats[0].beat.r_sample, text, evidence)


def _mean_bpm(intervals: list[float]) -> float:
    """Mean rate over RR intervals (s), beats a minute."""
    return 60.0 * len(intervals) / sum(intervals)


def _crosses(rate_bpm: float, limit_bpm: float, slow: bool) -> bool:
    return rate_bpm < limit_bpm if slow else rate_bpm > limit_bpm
