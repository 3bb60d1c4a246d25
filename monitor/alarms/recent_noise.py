"""Noise shortly before: beats beside those that were not scored for it may look anomalous for the same reason."""

from __future__ import annotations

from collections import deque

from detector import Quality
from monitor.alarms.evidence import ScoredBeat

__all__ = ["RecentNoise"]

_NOISE = frozenset((Quality.HUM, Quality.MUSCLE, Quality.WANDER, Quality.MOTION, Quality.CLIPPED))
# Doubtful after 3 beats within 30 s that were not scored for noise, until 5 usual beats followed.
_NOISY_BEATS = 3
_NOISY_S = 30.0
_USUAL_BEATS = 5


class RecentNoise:
    """Noise among the last beats of one bed."""

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
        """Whether anomalous beats up to this R-peak may be noise."""
        many = len(self._noisy) == _NOISY_BEATS and r_sample - self._noisy[0] <= self._reach
        return many and self._usual < _USUAL_BEATS
