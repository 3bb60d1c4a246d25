"""Sample clock of one bed as a subscriber sees it: how far it has come, and when each stream last arrived. Pure.

All `..._s` are readings of the subscriber's monotonic clock, s. They only answer how long a stream has been silent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["CLOCK_STILL_S", "NO_DATA_AFTER_S", "StreamClock"]

NO_DATA_AFTER_S = 2.0  # a source that stops is `no_data` within 2 s on every screen
CLOCK_STILL_S = 3.0  # the same without waves, from the status once a second


@dataclass
class StreamClock:
    """Sample clock and arrival times.

    Attributes:
        sample: newest sample index in any message of the bed.
        time: ISO 8601 time of the newest message that has one.
        advanced_at_s: when `sample` last grew.
        wave_at_s: when the last wave message arrived.
        status_at_s: when the last status arrived.
        waves_from_s: since when wave messages are subscribed; None = they are not subscribed.
    """

    sample: int = 0
    time: str = ""
    advanced_at_s: float | None = None
    wave_at_s: float | None = None
    status_at_s: float | None = None
    waves_from_s: float | None = -math.inf

    def advance(self, sample: int, time: str, now_s: float) -> None:
        """Take over the sample clock of a message; a message of the past changes nothing."""
        if sample > self.sample:
            self.sample = sample
            self.advanced_at_s = now_s
            self.time = time or self.time

    def still_s(self, now_s: float) -> float:
        """Time since the sample clock last advanced, s; 0 before its first step."""
        return 0.0 if self.advanced_at_s is None else now_s - self.advanced_at_s

    def silent_s(self, now_s: float) -> float:
        """Time since the last wave message, s; without any, since the sample clock last advanced."""
        return max(0.0, self.still_s(now_s) if self.wave_at_s is None else now_s - self.wave_at_s)

    def flows(self, now_s: float) -> bool:
        """Whether signal arrives: by the waves, or by the sample clock where no wave has arrived."""
        if self.wave_at_s is not None:
            return self.silent_s(now_s) <= NO_DATA_AFTER_S
        if self.waves_from_s is not None and now_s - self.waves_from_s > NO_DATA_AFTER_S:
            return False
        return self.advanced_at_s is not None and self.still_s(now_s) <= CLOCK_STILL_S
