"""How long a bed has not been watched: no second in which beats could be judged."""

from __future__ import annotations

from detector import Gap, Quality, QualitySpan, Tick

__all__ = ["NotWatched"]

_WATCHED_WEIGHT = 9.0  # one good second makes up for 9: the time grows while under a tenth of the signal can be judged
_NO_SIGNAL = frozenset((Quality.LEADS_OFF, Quality.FLAT, Quality.UNIT, Quality.CALIBRATION))  # each has its own alarm
_AWAY_S = 10.0  # after this time without any signal the count starts again


class NotWatched:
    """Time without a second in which beats can be judged, by noise, by losses, or by both in turn.

    A second counts as watched when its quality is good and its R-peaks are decided: of stretches of under 2 s between
    two losses the detector decides none. Each watched second takes nine off, so that one good second in a minute of
    noise changes little, and after seven good ones all is well. Time without any signal is not counted (leads off).

    Args:
        fs_hz: sampling rate, Hz.
        most_s: the time does not grow beyond this, s.

    Attributes:
        time_s: that time, s; 0 while the bed is watched.
        since: where it began, sample.
        quality: of the last second that could not be judged.
    """

    def __init__(self, fs_hz: float, most_s: float) -> None:
        self.time_s = 0.0
        self.since = 0
        self.quality = Quality.GOOD
        self._fs_hz = fs_hz
        self._most_s = most_s
        self._now: int | None = None  # sample up to which the time is counted
        self._span = Quality.GOOD  # of the present second
        self._decided = 0
        self._undecided_s = 0.0  # good signal whose R-peaks are not decided
        self._away_s = 0.0  # without any signal, up to now

    def on_quality(self, span: QualitySpan) -> None:
        """Take the quality of the next stretch of signal."""
        if self._now is None:
            self._now = self._decided = span.first_sample
        self._span = span.quality

    def on_gap(self, gap: Gap) -> None:
        """Samples are missing."""
        if gap.effect != "restart" or self._now is None:
            return  # a shorter one is part of a second that has a quality
        end = gap.first_sample + gap.n_samples
        self._lose(gap.first_sample, self._undecided_s + gap.n_samples / self._fs_hz, Quality.GAP)
        if gap.n_samples >= _AWAY_S * self._fs_hz:
            self._reset()
        self._now = self._decided = max(self._now, end)

    def on_tick(self, tick: Tick) -> None:
        """A second is over."""
        if self._now is None:
            self._now = self._decided = tick.sample
        first, self._now = self._now, max(self._now, tick.sample)
        passed_s = (self._now - first) / self._fs_hz
        decided, self._decided = self._decided, max(self._decided, tick.decided_until)
        if self._span in _NO_SIGNAL:
            self._away_s += passed_s
            self._decided = self._now
            if self._away_s >= _AWAY_S:
                self._reset()
            return
        self._away_s = 0.0
        if self._span is not Quality.GOOD:
            self._lose(first, passed_s, self._span)
        elif tick.decided_until > decided:
            self.time_s = max(0.0, self.time_s - _WATCHED_WEIGHT * (passed_s + self._undecided_s))
            self._undecided_s = 0.0
        else:
            self._undecided_s += passed_s

    def _lose(self, first: int, seconds: float, quality: Quality) -> None:
        if self.time_s == 0.0:
            self.since = first
        self.time_s = min(self._most_s, self.time_s + seconds)
        self.quality = quality
        self._undecided_s = 0.0

    def _reset(self) -> None:
        self.time_s = self._undecided_s = 0.0
