"""Control: answers the requests of operators and displays."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.bus.requests import ControlRequest
from monitor.bus.server import Bus
from monitor.engine.bed import Bed, Output
from monitor.engine.display_feed import DisplayFeed
from monitor.engine.strips import strip_data
from monitor.journal import Journal, OperatorAction
from monitor.messages import Reply

__all__ = ["Control"]


class Control:
    """Serves the requests that need beds or journal; the bus serves the others.

    Args:
        beds: name -> bed.
        bus: receives requests and sends replies.
        journal: stored strips, and the record of operator actions.
        output: receives the messages of the beds.
        feed: publishes the new status after an action.
    """

    def __init__(self, beds: Mapping[str, Bed], bus: Bus, journal: Journal, output: Output, feed: DisplayFeed) -> None:
        self._beds = beds
        self._bus = bus
        self._journal = journal
        self._out = output
        self._feed = feed

    def serve(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for requests, and answer them."""
        for request in self._bus.service(timeout_s):
            try:
                reply = self._answer(request)
            except Exception as error:  # no request may end the monitor
                self._bus.counters["internal_errors"] += 1
                reply = Reply(ok=False, error=f"internal error: {error}")
            request.reply(reply)

    def _answer(self, waiting: ControlRequest) -> Reply:
        request = waiting.request
        if request.op == "snapshot" and (not request.bed or request.bed in self._beds):
            return self._bus.snapshot(request.bed)
        if request.op == "strip" and request.alarm_id:
            return self._stored_strip(request.alarm_id, request.epoch)
        only = next(iter(self._beds)) if len(self._beds) == 1 else ""
        bed_name = request.bed or request.alarm_id.partition("/")[0] or only
        bed = self._beds.get(bed_name)
        if bed is None:
            return Reply(ok=False, error=f"no bed {bed_name!r}; there are {', '.join(self._beds)}")
        reply = bed.answer(request, self._out)
        if reply.ok and request.op != "strip":
            detail = f"{reply.data['seconds']:g} s" if request.op == "pause_audio" else ""
            action = OperatorAction(request.who, request.op, bed.name, request.alarm_id, bed.now, detail)
            self._journal.put_action(action)
            bed.view.show_status_at_once()
            self._feed.publish([bed])
        return reply

    def _stored_strip(self, alarm_id: str, epoch: str) -> Reply:
        strip = self._journal.get_strip(alarm_id, epoch)
        if strip is None:
            return Reply(ok=False, error=f"no strip of alarm {alarm_id!r}: unknown, or no longer kept")
        return Reply(ok=True, data=strip_data(strip.first_sample, strip.fs_hz, strip.samples))
