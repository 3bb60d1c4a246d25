"""A fleet: keeps every shard running on some worker, and sends the hub their addresses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monitor.bus.keys import add_client, make_server_keys
from monitor.config import Config
from monitor.engine.bed_plan import BedPlan
from monitor.errors import SourceError
from monitor.fleet.hub import HubOrder
from monitor.fleet.link import LinkOrder
from monitor.fleet.placement import place, split
from monitor.fleet.ray_cluster import Node, RayCluster
from monitor.fleet.remote_hub import RemoteHub
from monitor.fleet.shard import ShardOrder, ShardReport
from monitor.fleet.worker_pool import WorkerPool

__all__ = ["SHARDS_PER_CORE", "Fleet"]

SHARDS_PER_CORE = 4  # where machines may join: some shards can move, each alone; else one per core costs least
_MACHINES_S = 0.5  # between checks which machines there are
_START_S = 60.0  # at the start wait this long for all workers, so that shards do not move at once
_REPEAT_S = 2.0  # an order without effect is repeated after this time
_STOP_S = 15.0


@dataclass
class _PlacedShard:
    """A shard as the fleet sees it."""

    order: ShardOrder
    link: LinkOrder
    worker: str = ""  # where it runs, or ran last
    goal: str = ""  # worker that should have it
    state: str = ""
    sent: tuple[str, str] = ("", "")  # last order, and the worker that got it
    sent_s: float = float("-inf")
    lost_s: float | None = None  # since when it does not run
    reason: str = ""  # why it does not run


class Fleet:
    """Watch beds on all cores of a Ray cluster.

    Args:
        cluster: connected; closed by the caller.
        folder: for journals and position files; every machine must see it under the same path.
        shards: number of shards; 0 = one per core of a cluster started here, else SHARDS_PER_CORE per core.
        report: called with one line for a person.
        clock: monotonic, s.

    Attributes:
        hub, workers: in processes of their own.
        incomplete: what shards could not keep, one line each.

    Raises:
        ConfigError: keys cannot be created.
    """

    def __init__(
        self,
        cluster: RayCluster,
        plans: Sequence[BedPlan],
        config: Config,
        folder: Path,
        *,
        shards: int = 0,
        report: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.incomplete: list[str] = []
        self._report = report
        self._clock = clock
        here = cluster.here()
        self._keys = _ShardKeys(folder / "keys", here)
        per_core = 1 if cluster.alone else SHARDS_PER_CORE
        parts = split(plans, shards or per_core * max(1, sum(node.cores for node in cluster.nodes())))
        self._shards: dict[str, _PlacedShard] = {}
        for number, part in enumerate(parts, 1):
            order = ShardOrder(f"s{number:03}", part, config, folder)
            link = LinkOrder(order.name, tuple(plan.name for plan in part), str(order.journal))
            self._shards[order.name] = _PlacedShard(order, link)
        hub_order = HubOrder(config, folder, tuple(plan.name for plan in plans), time.time())
        self.hub = RemoteHub(cluster, here, hub_order, report)
        self.workers = WorkerPool(cluster, report, clock)
        self._started_s = self._machines_due_s = clock()
        self._began = False
        self._home: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        """Whether all sources have ended and the hub has published all messages."""
        drained = self.hub.state.drained if self.hub.state else frozenset()
        return self._began and all(s.state == "ended" and name in drained for name, s in self._shards.items())

    def run(self, stop: Callable[[], bool], pause: Callable[[float], object] = time.sleep) -> None:
        """Run until all sources have ended or `stop()` is true; then end everything in order.

        Raises:
            BusError, SourceError: the hub or a bed could not start.
        """
        try:
            while not stop() and not self.ended:
                self.turn()
                pause(0.1)
        finally:
            self.close()

    def turn(self) -> None:
        """One turn of the loop: read all reports, then place the shards."""
        now_s = self._clock()
        if now_s >= self._machines_due_s:
            self._machines_due_s = now_s + _MACHINES_S
            self.workers.update_machines()
        self.workers.read_reports(now_s)
        self.hub.read_report()
        self._read_shards(now_s)
        self._place(now_s)
        self.hub.follow(tuple(shard.link for shard in self._shards.values()), now_s)

    def close(self) -> None:
        """End everything in order: the shards, then the hub, which publishes the goodbye."""
        self.workers.stop_shards(_STOP_S)
        self.hub.stop()
        self.workers.kill()
        self.hub.kill()

    # -- states ----------------------------------------------------------------------------------------------

    def _read_shards(self, now_s: float) -> None:
        """Update every shard from the reports of the workers."""
        for name, shard in self._shards.items():
            if shard.state == "ended":
                continue
            found = self.workers.with_shard(name)
            running = next(((w, report) for w, report in found if report.state in ("running", "ended")), None)
            if running is None:
                self._not_running(name, shard, [report for _, report in found], now_s)
                continue
            worker, report = running
            if shard.lost_s is not None:
                took = f"{now_s - shard.lost_s:.1f} s after it was {shard.reason}"
                self._report(f"shard {name} runs on {worker} again, {took}; {report.resumed} beds continue")
                shard.lost_s = None
            shard.worker, shard.state = worker, report.state
            shard.link = replace(
                shard.link,
                endpoints=report.endpoints,
                first_epoch=report.first_epoch,
                ended=report.state == "ended",
                leaving=bool(shard.goal) and shard.goal != worker,
            )
            if report.state == "ended" and report.text:
                self.incomplete.append(report.text)

    def _not_running(self, name: str, shard: _PlacedShard, reports: list[ShardReport], now_s: float) -> None:
        failed = next((report.text for report in reports if report.state == "failed"), "")
        if failed and not shard.link.first_epoch:  # it never ran: the configuration is wrong
            raise SourceError(failed)
        if failed and failed != shard.reason:
            self._report(f"shard {name} failed, and is started again: {failed}")
        if shard.state == "running":
            worker = self.workers.all.get(shard.worker)
            shard.state, shard.lost_s = "", now_s
            shard.reason = failed or ("moved" if worker is not None and worker.answers else "lost")
            shard.link = replace(shard.link, leaving=True)

    # -- orders ----------------------------------------------------------------------------------------------

    def _place(self, now_s: float) -> None:
        """Start and stop shards so that each runs on its worker."""
        ready = self.workers.ready
        if not self._began and len(ready) < len(self.workers.all) and now_s - self._started_s < _START_S:
            return
        self._began = self._began or bool(ready)
        active = [name for name, shard in self._shards.items() if shard.state != "ended"]
        goals = place(active, ready, {name: self._shards[name].goal for name in active}, self._home)
        self._home = self._home or goals
        for name in active:
            shard = self._shards[name]
            shard.goal = goals.get(name, "")
            holders = [worker for worker in ready if name in self.workers.all[worker].shards]
            others = [worker for worker in holders if worker != shard.goal]
            if others:
                # The hub must know that the shard is leaving before it stops.
                if self.hub.state is None or (shard.link.leaving and shard.link in self.hub.links):
                    for worker in others:
                        self._send(shard, worker, "stop", name, now_s)
            elif shard.goal and (not holders or self.workers.all[shard.goal].shards[name].state == "failed"):
                order, key = self._keys.order_on(self.workers.all[shard.goal].actor.node, shard.order)
                shard.link = replace(shard.link, key=key)
                self._send(shard, shard.goal, "start", order, now_s)

    def _send(self, shard: _PlacedShard, worker: str, method: str, argument: object, now_s: float) -> None:
        """Send an order; the same one again only after `_REPEAT_S` without effect."""
        if shard.sent != (method, worker) or now_s - shard.sent_s >= _REPEAT_S:
            shard.sent, shard.sent_s = (method, worker), now_s
            self.workers.all[worker].actor.send(method, argument)


class _ShardKeys:
    """Shards listen on loopback on the hub's machine, and with CURVE keys on others; keys are created when needed."""

    def __init__(self, folder: Path, here: Node) -> None:
        self._folder = folder
        self._here = here
        self._created = False

    def order_on(self, node: Node, order: ShardOrder) -> tuple[ShardOrder, str]:
        """The order of a shard on a machine, and the file of the hub's key to it; empty = none."""
        if node.address == self._here.address:
            return order, ""
        if not self._created:
            make_server_keys(self._folder)
            add_client(self._folder, "hub", "operator")
            self._created = True
        order = replace(order, listen=f"tcp://{node.address}:*", keys=str(self._folder))
        return order, str(self._folder / "hub.key")
