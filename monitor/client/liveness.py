"""Whether the monitor is alive, by its heartbeats alone: only a heartbeat proves that the whole monitor works."""

from __future__ import annotations

from typing import Literal

from monitor.messages import HeartbeatMessage

__all__ = ["LOST_AFTER_S", "STALE_AFTER_S", "ConnectionState", "Liveness"]

STALE_AFTER_S = 2.0  # two heartbeats missed
LOST_AFTER_S = 5.0

ConnectionState = Literal["connecting", "connected", "stale", "lost", "ended"]


class Liveness:
    """Time since the last heartbeat, and the connection state that follows from it; times are monotonic."""

    def __init__(self, now_s: float) -> None:
        self._started_s = now_s
        self._last: HeartbeatMessage | None = None
        self._last_s: float | None = None

    def accept(self, body: HeartbeatMessage, now_s: float) -> bool:
        """Take a heartbeat; False for a repetition for another new subscriber, which proves nothing."""
        if self._last is not None and body.epoch == self._last.epoch and body.seq <= self._last.seq:
            return False
        self._last, self._last_s = body, now_s
        return True

    def silent_s(self, now_s: float) -> float | None:
        """Time since the last heartbeat, s; None before the first."""
        return None if self._last_s is None else now_s - self._last_s

    def state(self, now_s: float) -> ConnectionState:
        """Return `connecting` before the first heartbeat, `ended` after a goodbye, else the state by age."""
        if self._last is not None and self._last.state == "goodbye":
            return "ended"
        silent_s = now_s - (self._started_s if self._last_s is None else self._last_s)
        if silent_s >= LOST_AFTER_S:
            return "lost"
        if self._last_s is None:
            return "connecting"
        return "stale" if silent_s >= STALE_AFTER_S else "connected"
