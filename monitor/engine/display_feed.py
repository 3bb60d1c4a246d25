"""Display feed: status and waves of the beds, each at its own rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from monitor.bus.server import Bus
from monitor.engine.bed import Bed
from monitor.engine.bed_view import STATUS_S
from monitor.engine.scheduler import Thinning
from monitor.messages import bed_topic

__all__ = ["DisplayFeed"]

_SELDOM_STATUS_S = 5.0  # of unchanged beds while status is thinned


@dataclass(eq=False)
class DisplayFeed:
    """Publishes status and waves.

    Attributes:
        bus: receives the messages, and knows which beds a display shows.
        thinning: what is left out now.
        wave_s: time between two wave messages of a bed, s.
        clock: monotonic, s.
    """

    bus: Bus
    thinning: Thinning
    wave_s: float
    clock: Callable[[], float]

    def publish(self, beds: Iterable[Bed]) -> None:
        """Publish what is due: status once a second and when the condition changes, waves many times a second."""
        now_s = self.clock()
        least_s = _SELDOM_STATUS_S if "status" in self.thinning.thinned else STATUS_S / 2
        for bed in beds:
            with bed.guard():
                self._publish(bed, now_s, least_s)

    def _publish(self, bed: Bed, now_s: float, least_s: float) -> None:
        view = bed.view
        if not self.bus.has_viewers(bed.name):
            view.skip_wave(counted=False)
        elif view.wave_due(now_s, self.wave_s):
            if "waves" in self.thinning.thinned:
                view.skip_wave(counted=True)
            elif (wave := view.wave()) is not None:
                self.bus.publish_wave(*wave)
        if view.status_due(now_s, bed.condition, least_s):
            self.bus.publish(bed_topic(bed.name, "status"), bed.status())
