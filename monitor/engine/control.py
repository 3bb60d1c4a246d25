"""Control: answers the requests of operators and displays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.bus.requests import ControlRequest
from monitor.bus.server import Bus
from monitor.engine.bed import Bed
from monitor.engine.display_feed import DisplayFeed
from monitor.engine.output import Output
from monitor.engine.strips import strip_data
from monitor.errors import plain_line
from monitor.journal import Journal, OperatorAction
from monitor.messages import Reply

__all__ = ["Control"]


@dataclass(eq=False)
class Control:
    """Serves the requests that need beds or journal; the bus serves the others."""

    beds: Mapping[str, Bed]
    bus: Bus
    journal: Journal
    output: Output
    feed: DisplayFeed

    def serve(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for requests, and answer them."""
        for request in self.bus.service(timeout_s):
            try:
                reply = self._answer(request)
            except Exception as error:  # no request may end the monitor
                self.bus.counters["internal_errors"] += 1
                reply = Reply(ok=False, error=f"internal error: {plain_line(error)}")
            request.reply(reply)

    def _answer(self, waiting: ControlRequest) -> Reply:
        request = waiting.request
        if request.op == "snapshot" and (not request.bed or request.bed in self.beds):
            return self.bus.snapshot(request.bed)
        if request.op == "strip" and request.alarm_id:
            strip = self.journal.get_strip(request.alarm_id, request.epoch)
            if strip is None:
                return Reply(ok=False, error=f"no strip of alarm {request.alarm_id!r}: unknown, or no longer kept")
            return Reply(ok=True, data=strip_data(strip.first_sample, strip.fs_hz, strip.samples))
        only = next(iter(self.beds)) if len(self.beds) == 1 else ""
        bed_name = request.bed or request.alarm_id.partition("/")[0] or only
        if (bed := self.beds.get(bed_name)) is None:
            return Reply(ok=False, error=f"no bed {bed_name!r}; there are {', '.join(self.beds)}")
        reply = bed.answer(request, self.output)
        if reply.ok and request.op != "strip":
            detail = f"{reply.data['seconds']:g} s" if request.op == "pause_audio" else ""
            action = OperatorAction(request.who, request.op, bed.name, request.alarm_id, bed.now, detail)
            self.journal.put_action(action)
            bed.view.status_due_s = -math.inf
            self.feed.publish([bed])
        return reply
