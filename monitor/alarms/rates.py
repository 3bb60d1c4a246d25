"""Heart rate, and its alarms: bradycardia, tachycardia, and the extremes of both."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from detector import Beat, Quality, Tick
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import ScoredBeat, beat_evidence, measured

__all__ = ["Rates"]

# Shown is the mean of the last 8 RR intervals; where RR exceeds 1.2 s, of the last 4 (the same limit and number as in
# Mindray's declaration after IEC 60601-2-27, 201.7.9.2.9.101 b) 3), BeneHeart D60). 6 s joins both without a jump.
_RATE_INTERVALS, _SLOW_INTERVALS, _RATE_S = 8, 4, 6.0
_STALE_S = 5.0  # time without a beat after which no rate is known; asystole ends it before
_REGULAR_BEATS, _REGULAR_SHARE = 4, 0.2  # few: a tachycardia is not regular from its first beat on
_FEW, _LONGER = 3, 1.2  # intervals, and their share of the usual time, that make a very slow heart extreme
# A tachycardia needs twice its beats after 3 beats of noise within 30 s, as `ventricular_run` does: a moving electrode
# makes peaks that are R-peaks by every measure (nstdb, record 118 at 6 and 12 dB).
_NOISY_BEATS, _NOISY_S = 3, 30.0
_KEPT_BEATS = 32
_KEPT_PEAKS = 16  # R-peaks whose beats are not complete: those of 1.5 s
_EXTREME = ("extreme_bradycardia", "extreme_tachycardia")
_KINDS = (*_EXTREME, "bradycardia", "tachycardia")  # the higher first: it covers the lower
# Beats that alarms count: their R-peak is as sure as any, the model may be unable to judge them.
_SURE = frozenset((Quality.GOOD, Quality.GAP, Quality.TRUNCATED))
_COUNTED = _SURE | {Quality.HUM, Quality.MUSCLE}  # beats of the rate that is shown


class _Interval(NamedTuple):
    """RR interval: R-peak at its begin, sample; length, s."""

    first: int
    rr_s: float


class Rates:
    """Rules on RR intervals between beats, scored or not, in good signal.

    A rate is extreme if every interval crosses the limit (2015 PhysioNet/CinC Challenge), so that one pause is no
    bradycardia; one interval in sixteen may be off because of a missed QRS. Tachycardia and bradycardia are rules on
    the mean rate, where half of the intervals cross the limit themselves. An alarm that is up ends only once the rate
    is clear of the limit by the configured `relief`.

    A heart that is slower still must not be reported later, only because beats are counted: three intervals that all
    cross the limit are extreme, too, where they take a fifth longer than the beats that are counted would at the limit.

    The interval that still lasts counts as soon as it makes the rate lower, because it can only become longer. An
    interval across missing samples counts if it is within 20 % of those before: then no beat was missed in it.

    Attributes:
        heart_rate_bpm: mean rate over the last 8 RR intervals, of fewer (at least 4) where they take over 6 s, beats a
            minute; None if unknown: fewer than 2, or no beat for 5 s.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        kept = max(_KEPT_BEATS, *(2 * book.limits(kind).beats + 1 for kind in _KINDS))
        self._beats: deque[ScoredBeat] = deque(maxlen=kept)  # consecutive sure ones
        self._intervals: deque[_Interval] = deque(maxlen=kept)  # between them
        self._shown: deque[float] = deque(maxlen=_RATE_INTERVALS)  # RR of beats that are counted, s
        self._noisy: deque[int] = deque(maxlen=_NOISY_BEATS)  # R-peaks of the last beats in noise
        self._last: Beat | None = None  # the last beat, if it was counted
        self._peaks: deque[int] = deque(maxlen=_KEPT_PEAKS)  # the newest R-peaks; their beats follow
        self._newest = 0  # R-peak of the last counted beat
        self._unbroken = 0  # no sample is missing from here on
        self._in_asystole = False
        self.heart_rate_bpm: float | None = None

    def regular(self) -> bool:
        """Whether the last 4 RR intervals lie within 20 % of their median."""
        intervals = [interval.rr_s for interval in self._intervals][-_REGULAR_BEATS:]
        return len(intervals) == _REGULAR_BEATS and all(_alike(rr_s, intervals) for rr_s in intervals)

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not."""
        beat, last = scored.beat, self._last
        rr_s = None if last is None else self._rr_s(last, beat)
        self._last = beat if beat.quality in _COUNTED else None
        if self._last is not None:
            self._newest = beat.r_sample
            if rr_s is not None:
                self._shown.append(rr_s)
        self.heart_rate_bpm = _shown_bpm(self._shown)
        if beat.quality not in _SURE:
            self._noisy.append(beat.r_sample)
            self._forget()
            return
        self._beats.append(scored)
        if last is not None and last.quality in _SURE and rr_s is not None:
            self._intervals.append(_Interval(last.r_sample, rr_s))
        for kind in _KINDS:
            self._judge(kind, list(self._intervals))

    def on_tick(self, tick: Tick, silent_s: float) -> None:
        """Take the R-peaks of the last second, or that there are none.

        Args:
            silent_s: time watched since the last R-peak; 0 where noise is watched.
        """
        self._peaks.extend(tick.r_samples)
        asystole = self._book.holds("asystole")
        if asystole and not self._in_asystole:
            self._end_rate()  # it is that of the time before
        self._in_asystole = asystole
        last, fs_hz = self._last, self._book.fs_hz
        peaks = [] if last is None else [last.r_sample, *(peak for peak in self._peaks if peak > last.r_sample)]
        if tick.decided_until - max([self._newest, *peaks[-1:]]) > _STALE_S * fs_hz:
            self._end_rate()
            self._forget()
            return
        if last is None or self._unbroken > last.r_sample:
            return
        coming = [_Interval(r, (after - r) / fs_hz) for r, after in pairwise(peaks)]
        coming.append(_Interval(peaks[-1], silent_s))
        bound = _shown_bpm([*self._shown, *(interval.rr_s for interval in coming)])
        if self.heart_rate_bpm is not None and bound is not None:
            self.heart_rate_bpm = min(self.heart_rate_bpm, bound)
        if last.quality in _SURE and silent_s > 0:
            for kind in ("extreme_bradycardia", "bradycardia"):
                self._judge(kind, [*self._intervals, *coming], lasting=True)

    def on_gap(self, end: int) -> None:
        """Samples are missing before `end`, so few that the rhythm is the same after them."""
        self._unbroken = end

    def interrupt(self) -> None:
        """Nothing is known of the heart: start again."""
        self._end_rate()
        self._beats.clear()
        self._intervals.clear()
        self._peaks.clear()
        for kind in _KINDS:
            self._book.clear(kind)

    def _rr_s(self, last: Beat, beat: Beat) -> float | None:
        """RR interval between two counted beats, s; None where a beat may have been missed in between."""
        if beat.rr_s is not None:
            return beat.rr_s
        before = list(self._shown)[-_SLOW_INTERVALS:]
        rr_s = (beat.r_sample - last.r_sample) / self._book.fs_hz
        return rr_s if before and _alike(rr_s, before) else None

    def _end_rate(self) -> None:
        self._shown.clear()
        self._last = None
        self.heart_rate_bpm = None

    def _forget(self) -> None:
        """Beats before and after noise are not judged together."""
        self._beats.clear()
        self._intervals.clear()
        for kind in _KINDS:
            self._book.condition_cleared(kind)

    def _doubtful(self) -> bool:
        """Whether there was noise shortly before."""
        many = len(self._noisy) == _NOISY_BEATS
        return many and self._newest - self._noisy[0] <= _NOISY_S * self._book.fs_hz

    def _judge(self, kind: str, intervals: list[_Interval], lasting: bool = False) -> None:
        """Judge the newest intervals; with one that is `lasting`, an alarm can begin and not end."""
        book, limits = self._book, self._book.limits(kind)
        slow, up = kind.endswith("bradycardia"), book.up(kind) is not None
        n = limits.beats - 1
        if kind == "extreme_bradycardia" and _lasts_s(intervals[-_FEW:]) >= _LONGER * n * 60.0 / max(limits.limit, 1.0):
            n = min(n, _FEW)
        if kind == "tachycardia" and not up and self._doubtful():
            n *= 2
        if len(intervals) < n:
            return
        first = intervals[-n].first
        rr_s = [interval.rr_s for interval in intervals[-n:]]
        limit = limits.limit + (limits.relief if slow else -limits.relief) * up

        def crosses(each_s: float) -> bool:
            return _crosses(60.0 / max(each_s, 1e-3), limit, slow)

        if kind in _EXTREME:
            holds = up or (crosses(rr_s[0]) and crosses(rr_s[-1]))
            holds = holds and n - sum(map(crosses, rr_s)) <= n // 16
        else:
            holds = _crosses(_mean_bpm(rr_s), limit, slow) and (up or 2 * sum(map(crosses, rr_s)) >= n)
        if not holds:
            if not lasting:
                book.condition_cleared(kind)
            return
        # The one interval that may be off must not change the rate in the text either: hence the median.
        rate = 60.0 / median(rr_s) if kind in _EXTREME else _mean_bpm(rr_s)
        text = f"heart rate {rate:.0f} bpm over {n + 1} beats"
        evidence = measured(beat_evidence(list(self._beats)[-n - 1 :]), rate, limits.limit, "bpm")
        book.cause(kind, first, text, evidence)


def _shown_bpm(intervals: Sequence[float]) -> float | None:
    """Rate over the newest RR intervals (s), beats a minute; None for fewer than 2."""
    newest = list(intervals)[-_RATE_INTERVALS:]
    while len(newest) > _SLOW_INTERVALS and sum(newest) > _RATE_S:
        del newest[0]
    return round(_mean_bpm(newest), 1) if len(newest) > 1 else None


def _lasts_s(intervals: Sequence[_Interval]) -> float:
    return sum(interval.rr_s for interval in intervals)


def _mean_bpm(intervals: Sequence[float]) -> float:
    """Mean rate over RR intervals (s), beats a minute."""
    return 60.0 * len(intervals) / sum(intervals)


def _alike(rr_s: float, others: Sequence[float]) -> bool:
    """Whether an RR interval lies within 20 % of the median of others."""
    usual = median(others)
    return abs(rr_s - usual) <= _REGULAR_SHARE * usual


def _crosses(rate_bpm: float, limit_bpm: float, slow: bool) -> bool:
    return rate_bpm < limit_bpm if slow else rate_bpm > limit_bpm
