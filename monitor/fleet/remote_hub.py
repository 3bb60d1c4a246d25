"""The hub of a fleet, in the process that Ray keeps alive."""

from __future__ import annotations

from collections.abc import Callable

from monitor.bus.endpoints import BusEndpoints
from monitor.errors import BusError
from monitor.fleet.hub import HubOrder, HubReport
from monitor.fleet.hub_actor import HubActor
from monitor.fleet.link import LinkOrder
from monitor.fleet.ray_cluster import ActorLost, Node, RayCluster

__all__ = ["RemoteHub"]

_REPEAT_S = 2.0  # a hub that was restarted before it reports learns the links again after this time
_STOP_S = 15.0


class RemoteHub:
    """The hub as the fleet sees it.

    Args:
        cluster: connected.
        node: machine of the hub.
        order: configuration.
        report: called with one line for a person.

    Attributes:
        endpoints: where it listens; None before its first report.
        state: its last report; None while it does not run.
    """

    def __init__(self, cluster: RayCluster, node: Node, order: HubOrder, report: Callable[[str], None]) -> None:
        self.endpoints: BusEndpoints | None = None
        self.state: HubReport | None = None
        self._report = report
        self._actor = cluster.actor(HubActor, node, 0, order)
        self._links: tuple[LinkOrder, ...] = ()  # as last sent
        self._epoch = ""  # of the hub that they were sent to
        self._sent_s = float("-inf")

    def knows(self, link: LinkOrder) -> bool:
        """Whether this link was sent to it."""
        return link in self._links

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
        changed = (self.state.epoch, links) != (self._epoch, self._links)
        if changed or now_s - self._sent_s >= _REPEAT_S:
            self._epoch, self._links, self._sent_s = self.state.epoch, links, now_s
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
