"""Display feed: status and waves of the beds, each at its own rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monitor.bus.server import Bus
from monitor.engine.bed import Bed
from monitor.engine.thinning import Thinning
from monitor.messages import bed_topic

__all__ = ["DisplayFeed"]

_STATUS_S = 1.0
_SELDOM_STATUS_S = 5.0  # of unchanged beds while status is thinned


class DisplayFeed:
    """Publishes status and waves.

    Args:
        bus: receives the messages, and knows which beds a display shows.
        thinning: what is left out now.
        waves_hz: wave messages per second and bed.
        clock: monotonic, s.
    """

    def __init__(self, bus: Bus, thinning: Thinning, waves_hz: float, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._thinning = thinning
        self._wave_s = 1.0 / waves_hz
        self._clock = clock

    def publish(self, beds: Iterable[Bed]) -> None:
        """Publish what is due: status once a second and when the condition changes, waves many times a second."""
        now_s = self._clock()
        thinned = self._thinning.thinned
        least_s = _SELDOM_STATUS_S if "status" in thinned else _STATUS_S / 2
        for bed in beds:
            view = bed.view
            if not self._bus.has_viewers(bed.name):
                view.skip_wave(counted=False)
            elif view.wave_due(now_s, self._wave_s):
                if "waves" in thinned:
                    view.skip_wave(counted=True)
                elif (wave := view.wave(bed.input.history.capacity)) is not None:
                    self._bus.publish_wave(*wave)
            if view.status_due(now_s, bed.condition, _STATUS_S, least_s):
                self._bus.publish(bed_topic(bed.name, "status"), bed.status())
