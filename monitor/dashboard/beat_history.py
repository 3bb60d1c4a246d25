"""The latest beats of a bed, of bounded size. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.messages import BeatMessage

__all__ = ["BeatHistory", "RPeak", "TrendPoint"]

TREND_BEATS = 240
R_PEAKS = 96  # over 12.5 s at 400 bpm


class RPeak(NamedTuple):
    """An R-peak for the marker under the waveform."""

    sample: int
    anomalous: bool
    scored: bool


class TrendPoint(NamedTuple):
    """One beat of the score trend; None = not scored, no threshold yet."""

    score: float | None
    threshold: float | None
    anomalous: bool


@dataclass
class BeatHistory:
    """The latest beats of a bed.

    Attributes:
        r_peaks, trend: newest last.
        last: the newest beat.
        last_anomalous: the newest anomalous beat.
    """

    r_peaks: deque[RPeak] = field(default_factory=lambda: deque(maxlen=R_PEAKS))
    trend: deque[TrendPoint] = field(default_factory=lambda: deque(maxlen=TREND_BEATS))
    last: BeatMessage | None = None
    last_anomalous: BeatMessage | None = None

    def add(self, beat: BeatMessage) -> bool:
        """Add a beat; False if it is known already (sent again for a new subscriber)."""
        if self.last is not None and beat.r_sample <= self.last.r_sample:
            return False
        self.last = beat
        if beat.anomalous:
            self.last_anomalous = beat
        self.r_peaks.append(RPeak(beat.r_sample, beat.anomalous, beat.score is not None))
        self.trend.append(TrendPoint(beat.score, beat.threshold, beat.anomalous))
        return True
