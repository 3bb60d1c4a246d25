"""When the bell of the terminal rings: at the begin of an alarm, then at the interval of its priority. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

from monitor.messages import PRIORITY_RANK, Priority

__all__ = ["APART_S", "EVERY_S", "Bell"]

# Between two bells while an alarm sounds, s. IEC 60601-1-8 allows 2.5 to 15 s for high, 2.5 to 30 s for medium alarms,
# and a low alarm without a repeat.
EVERY_S: dict[Priority, float] = {"high": 8.0, "medium": 20.0, "low": math.inf}
APART_S = 1.0  # alarms that begin together share one bell


class Bell:
    """Decides when to ring; remembers only the alarms that sound now."""

    def __init__(self) -> None:
        self._rung: dict[Hashable, Priority] = {}
        self._last_s = -math.inf

    def rings(self, sounding: Mapping[Hashable, Priority], now_s: float) -> bool:
        """Whether to ring now.

        Args:
            sounding: alarm -> priority, of all that are not acknowledged and whose audio is not paused.
            now_s: monotonic clock, s.
        """
        rung = {key: priority for key, priority in self._rung.items() if key in sounding}
        begins = any(
            key not in rung or PRIORITY_RANK[priority] > PRIORITY_RANK[rung[key]] for key, priority in sounding.items()
        )
        every_s = min((EVERY_S[priority] for priority in sounding.values()), default=math.inf)
        since_s = now_s - self._last_s
        if not sounding or since_s < APART_S or not (begins or since_s >= every_s):
            self._rung = rung
            return False
        self._rung, self._last_s = dict(sounding), now_s
        return True
