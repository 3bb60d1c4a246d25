"""Heartbeats: one message a second, by which a subscriber knows that the monitor runs."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from typing import Literal

from monitor import VERSION
from monitor.bus.server import Bus
from monitor.engine.bed import Bed
from monitor.engine.counters import Counters
from monitor.engine.scheduler import Scheduler
from monitor.messages import HeartbeatMessage

__all__ = ["Heartbeats"]

_HEARTBEAT_S = 1.0


class Heartbeats:
    """Publishes heartbeats.

    Args:
        beds: name -> bed.
        scheduler: knows the start, the lateness and the thinning.
        bus: receives the heartbeats.
        counters: notes the time of the last one.
        clock: monotonic, s.
        wall: wall time now.
    """

    def __init__(
        self,
        beds: Mapping[str, Bed],
        scheduler: Scheduler,
        bus: Bus,
        counters: Counters,
        clock: Callable[[], float],
        wall: Callable[[], datetime.datetime],
    ) -> None:
        self._beds = beds
        self._scheduler = scheduler
        self._bus = bus
        self._counters = counters
        self._clock = clock
        self._wall = wall
        self._due_s = -math.inf

    def publish_due(self) -> None:
        """Publish a heartbeat if a second has passed since the last one."""
        now_s = self._clock()
        if now_s >= self._due_s:
            self._due_s = now_s + _HEARTBEAT_S
            self.publish("running")

    def publish(self, state: Literal["running", "goodbye"]) -> None:
        """Publish a heartbeat."""
        now = self._wall()
        self._counters.heartbeat_s = now.timestamp()
        self._bus.heartbeat(
            HeartbeatMessage(
                time=now.isoformat(timespec="milliseconds"),
                state=state,
                beds=tuple(self._beds),
                uptime_s=round(self._clock() - self._scheduler.started_s, 3),
                version=VERSION,
                late_s=round(self._scheduler.take_late_s(), 3),
                thinned=self._scheduler.thinning.thinned,
            )
        )
