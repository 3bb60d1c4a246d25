"""Heart rate, and the alarms of a rate: slow, fast, and so slow or fast that every beat counts."""

from __future__ import annotations

from collections import deque
from statistics import median

from monitor.alarms.book import AlarmBook
from monitor.evidence import ScoredBeat, beat_evidence, measured

__all__ = ["Rates"]

_HEART_RATE_BEATS = 8
_REGULAR_BEATS, _REGULAR_SHARE = 4, 0.2  # a tachycardia that begins is not all regular yet
_KEPT_BEATS = 32
_EXTREME = ("extreme_bradycardia", "extreme_tachycardia")
_KINDS = (*_EXTREME, "bradycardia", "tachycardia")  # the higher first: it covers the lower


class Rates:
    """Rules on RR intervals between beats that could be scored.

    An extreme rate is one in which every interval crosses the limit (2015 PhysioNet/CinC Challenge), so that one
    pause is no bradycardia; but one in sixteen may be off, for a missed QRS. Tachycardia and bradycardia are of the
    mean, which is what a screen shows. An alarm that is up ends only clear of its limit.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        kept = max(_KEPT_BEATS, *(book.limits(kind).beats + 1 for kind in _KINDS))
        self._recent: deque[ScoredBeat] = deque(maxlen=kept)

    @property
    def heart_rate_bpm(self) -> float | None:
        """Mean rate over the last 8 RR intervals, beats a minute; None where not known."""
        intervals = [s.beat.rr_s for s in list(self._recent)[-_HEART_RATE_BEATS:] if s.beat.rr_s is not None]
        return round(60.0 * len(intervals) / sum(intervals), 1) if len(intervals) >= 2 else None

    def regular(self) -> bool:
        """Whether the last 4 RR intervals lie within 20 % of their median."""
        intervals = [s.beat.rr_s for s in list(self._recent)[-_REGULAR_BEATS:] if s.beat.rr_s is not None]
        if len(intervals) < _REGULAR_BEATS:
            return False
        usual = median(intervals)
        return all(abs(interval - usual) <= _REGULAR_SHARE * usual for interval in intervals)

    def on_beat(self, scored: ScoredBeat) -> None:
        """The next beat, scored or not."""
        if scored.score is None or scored.beat.rr_s is None:
            self._recent.clear()
        self._recent.append(scored)
        for kind in _KINDS:
            self._judge(kind)

    def interrupt(self) -> None:
        """What the heart did while nobody looked is not known."""
        self._recent.clear()
        for kind in _KINDS:
            self._book.end(kind)

    def _judge(self, kind: str) -> None:
        book, limits = self._book, self._book.limits(kind)
        slow, up = kind.endswith("bradycardia"), book.up(kind) is not None
        beats = list(self._recent)[-limits.beats :]
        intervals = [scored.beat.rr_s for scored in beats[1:] if scored.beat.rr_s is not None]
        if len(intervals) < limits.beats - 1:
            if beats[-1].score is None:
                book.rest(kind)
            return
        limit = limits.limit + (limits.relief if slow else -limits.relief) * up
        rate = 60.0 * len(intervals) / sum(intervals)
        if kind in _EXTREME:
            rate = 60.0 / median(intervals)  # the one that is off must not count in what is told either
            crossed = [(60.0 / interval < limit) if slow else (60.0 / interval > limit) for interval in intervals]
            holds = crossed.count(False) <= len(intervals) // 16 and (up or (crossed[0] and crossed[-1]))
        else:
            holds = rate < limit if slow else rate > limit
        if not holds:
            book.rest(kind)
            return
        text = f"heart rate {rate:.0f} bpm over {limits.beats} beats"
        evidence = measured(beat_evidence(beats), rate, limits.limit, "bpm")
        book.cause(kind, beats[0].beat.r_sample, text, evidence)
