"""The hub in a process of its own: Ray starts it, and restarts it after a kill."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable

from monitor.bus.endpoints import BusEndpoints
from monitor.errors import BusError, JournalInUse, PortInUse
from monitor.fleet.hub import Hub, HubOrder, HubReport
from monitor.fleet.link import LinkOrder
from monitor.fleet.ray_cluster import ActorLost, Node, RayCluster

__all__ = ["HubActor", "RemoteHub"]

_REPEAT_S = 2.0  # a hub that was restarted before it reports learns the links again after this time
_STOP_S = 15.0
_TRIES_S = 10.0  # the ports and the journal of a killed hub are free soon


class HubActor:
    """In the process: runs the hub in a thread."""

    def __init__(self, order: HubOrder) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then stops the hub
        self._order = order
        self._stop = threading.Event()
        self._hub: Hub | None = None
        self._failed = ""
        self._thread = threading.Thread(target=self._work, name="hub", daemon=True)
        self._thread.start()

    def follow(self, orders: tuple[LinkOrder, ...]) -> None:
        """As Hub.follow."""
        if self._hub is not None:
            self._hub.follow(orders)

    def report(self) -> HubReport | str:
        """The state now; before the start an empty text, after a failed start one line with the reason."""
        return self._failed if self._failed or self._hub is None else self._hub.report()

    def stop(self, timeout_s: float) -> None:
        """Publish the goodbye, and wait for it."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            hub = self._hub = self._open()
        except Exception as error:  # the command prints it
            self._failed = str(error) if isinstance(error, BusError) else f"{type(error).__name__}: {error}"
            return
        try:
            hub.run(self._stop.is_set)
        except BaseException:  # restart as after a kill: the next hub continues from the positions
            traceback.print_exc()
            os._exit(1)

    def _open(self) -> Hub:
        until_s = time.monotonic() + _TRIES_S
        while True:
            try:
                return Hub(self._order)
            except (PortInUse, JournalInUse):
                again = self._order.journal.exists() and time.monotonic() < until_s
                if not again or self._stop.wait(0.1):
                    raise


class RemoteHub:
    """The hub as the fleet sees it.

    Args:
        report: called with one line for a person.

    Attributes:
        endpoints: where it listens; None before its first report.
        state: its last report; None while it does not run.
        links: as last sent to it.
    """

    def __init__(self, cluster: RayCluster, node: Node, order: HubOrder, report: Callable[[str], None]) -> None:
        self.endpoints: BusEndpoints | None = None
        self.state: HubReport | None = None
        self._report = report
        self._actor = cluster.actor(HubActor, node, 0, order)
        self.links: tuple[LinkOrder, ...] = ()
        self._epoch = ""  # of the hub that they were sent to
        self._sent_s = float("-inf")

    def read_report(self) -> None:
        """Take a report that has arrived.

        Raises:
            BusError: the hub could not start.
        """
        try:
            report = self._actor.report()
        except ActorLost:
            if self.state is not None:
                self._report("the hub was lost; subscribers reconnect by themselves when it is back")
            self.state = None
            return
        if isinstance(report, str) and report:
            raise BusError(report)
        if isinstance(report, HubReport):
            if self.state is None:
                self._report(f"listening on {report.endpoints.alarms}")
            elif report.notice and report.notice != self.state.notice:
                self._report(report.notice)
            self.state, self.endpoints = report, report.endpoints

    def follow(self, links: tuple[LinkOrder, ...], now_s: float) -> None:
        """Send the links where they or the hub changed, and again after a while."""
        if self.state is None:
            return
        changed = (self.state.epoch, links) != (self._epoch, self.links)
        if changed or now_s - self._sent_s >= _REPEAT_S:
            self._epoch, self.links, self._sent_s = self.state.epoch, links, now_s
            self._actor.send("follow", links)

    def stop(self) -> None:
        """End it in order: it publishes the rest and the goodbye."""
        try:
            self._actor.call("stop", _STOP_S, timeout_s=_STOP_S + 1)
        except ActorLost:
            self._report("the hub did not end in time")

    def kill(self) -> None:
        """End its process."""
        self._actor.kill()
