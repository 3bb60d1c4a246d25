"""A fleet: keeps every shard running on some worker, and tells the hub where."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitor.bus.endpoints import BusEndpoints
from monitor.config import Config
from monitor.engine.bed_plan import BedPlan
from monitor.errors import BusError, SourceError
from monitor.fleet.engine import Actor, Engine, Lost, Node
from monitor.fleet.hub import HubOrder, HubReport
from monitor.fleet.hub_actor import HubActor
from monitor.fleet.link import LinkOrder
from monitor.fleet.placement import place, split
from monitor.fleet.shard import ShardOrder, ShardReport
from monitor.fleet.worker import Worker, WorkerReport

__all__ = ["SHARDS_A_CORE", "Fleet"]

SHARDS_A_CORE = 4  # where machines join and leave, so that some can move, and each moves alone; else one costs least
_NODES_S = 0.5  # between looks at the machines
_SILENT_S = 10.0  # a worker that has not answered for so long has its shards taken away: their journals' locks decide
_START_S = 60.0  # at the start workers are waited for, so that shards are not moved at once
_AGAIN_S = 2.0  # an order is given again where it shows no effect
_END_S = 15.0


@dataclass
class _Working:
    """A worker, as the fleet sees it."""

    actor: Actor
    heard_s: float
    answers: bool = False  # it reported since it was last lost
    pid: int = 0
    shards: dict[str, ShardReport] = field(default_factory=dict)


@dataclass
class _Placed:
    """A shard, as the fleet sees it."""

    order: ShardOrder
    link: LinkOrder
    worker: str = ""  # where it runs, or ran last
    goal: str = ""  # the worker that is to have it
    state: str = ""
    given: tuple[str, str] = ("", "")  # the last order, and the worker that was given it
    given_s: float = -1e9
    lost_s: float | None = None  # since when it does not run
    why: str = ""


class Fleet:
    """Watch beds on all cores of a Ray cluster.

    Args:
        engine: connected; closed by the caller.
        plans: the beds, in order.
        config: of all of them.
        folder: journals and positions lie there; every machine must see it under the same path.
        shards: how many; 0 = one a core of an engine that is alone, else SHARDS_A_CORE.
        tell: told one line for a person.
        clock: monotonic, s.
        keyed: whether shards ask for keys though no other machine takes part.

    Raises:
        ConfigError: keys cannot be made.
    """

    def __init__(
        self,
        engine: Engine,
        plans: Sequence[BedPlan],
        config: Config,
        folder: Path,
        *,
        shards: int = 0,
        tell: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        keyed: bool = False,
    ) -> None:
        self.endpoints: BusEndpoints | None = None
        self.incomplete: list[str] = []
        self._engine = engine
        self._tell = tell
        self._clock = clock
        self._folder = folder
        self._keyed = keyed
        self._keys = ""
        self._here = engine.here()
        nodes = engine.nodes()
        a_core = 1 if engine.alone else SHARDS_A_CORE
        parts = split(plans, shards or a_core * max(1, sum(node.cores for node in nodes)))
        self._shards = {
            f"s{number:03}": _Placed(
                ShardOrder(f"s{number:03}", its, config, folder),
                LinkOrder(
                    f"s{number:03}", tuple(plan.name for plan in its), str(folder / f"s{number:03}.sqlite")
                ),
            )
            for number, its in enumerate(parts, 1)
        }  # fmt: skip
        order = HubOrder(config, folder, tuple(plan.name for plan in plans), time.time())
        self._hub = engine.actor(HubActor, self._here, 0, order)
        self._hub_report: HubReport | None = None
        self._hub_knows: tuple[str, tuple[LinkOrder, ...]] = ("", ())
        self._hub_told_s = -1e9
        self._workers: dict[str, _Working] = {}
        self._nodes_due_s = self._clock()
        self._started_s = clock()
        self._began = False
        self._home: dict[str, str] = {}

    # -- what it knows ---------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether all sources have ended and the hub has published all."""
        drained = self._hub_report.drained if self._hub_report is not None else frozenset()
        return self._began and all(s.state == "ended" and name in drained for name, s in self._shards.items())

    @property
    def hub_pid(self) -> int:
        """Process of the hub.

        Raises:
            Lost: it does not answer.
        """
        return int(self._hub.call("pid", timeout_s=_END_S))

    @property
    def workers(self) -> dict[str, tuple[int, Node, tuple[str, ...]]]:
        """Process, machine and running shards of each worker that answers."""
        return {
            name: (w.pid, w.actor.node, tuple(n for n, r in w.shards.items() if r.state == "running"))
            for name, w in self._workers.items()
            if w.answers
        }

    # -- the loop --------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool], pause: Callable[[float], object] = time.sleep) -> None:
        """Go on until all sources have ended or `stop()` says so; then end everything in order.

        Raises:
            BusError, SourceError: the hub or a bed could not begin.
        """
        try:
            while not stop() and not self.ended:
                self.turn()
                pause(0.1)
        finally:
            self._end()

    def turn(self) -> None:
        """Look at all there is, and put right what is not."""
        now_s = self._clock()
        if now_s >= self._nodes_due_s:
            self._nodes_due_s = now_s + _NODES_S
            self._look_at_nodes()
        self._hear_workers(now_s)
        self._hear_hub()
        self._hear_shards(now_s)
        self._place(now_s)
        self._tell_hub(now_s)

    # -- hearing ---------------------------------------------------------------------------------------------

    def _look_at_nodes(self) -> None:
        """Machines come and go; each core of one has a worker."""
        nodes = {node.name: node for node in self._engine.nodes()}
        for name, worker in list(self._workers.items()):
            if worker.actor.node.name not in nodes:
                self._tell(f"worker {name} is gone with its machine {worker.actor.node.address}")
                worker.actor.kill()
                del self._workers[name]
        for node in nodes.values():
            for core in range(node.cores):
                name = f"{node.name[:8]}.{core}"
                if name not in self._workers:
                    self._workers[name] = _Working(self._engine.actor(Worker, node, 1), self._clock())

    def _hear_workers(self, now_s: float) -> None:
        for name, worker in self._workers.items():
            try:
                report = worker.actor.report()
            except Lost:
                if worker.answers:
                    self._tell(f"worker {name} (process {worker.pid}) was lost with {len(worker.shards)} shards")
                worker.answers, worker.shards = False, {}
                continue
            if isinstance(report, WorkerReport):
                if not worker.answers:
                    self._tell(f"worker {name} is ready: process {report.pid} on {worker.actor.node.address}")
                worker.answers, worker.heard_s, worker.pid = True, now_s, report.pid
                worker.shards = report.shards
                for shard in report.shards.values():
                    for line in shard.notices:
                        self._tell(line)
            elif worker.answers and now_s - worker.heard_s > _SILENT_S:
                self._tell(f"worker {name} (process {worker.pid}) has not answered for {_SILENT_S:.0f} s")
                worker.answers, worker.shards = False, {}

    def _hear_hub(self) -> None:
        try:
            report = self._hub.report()
        except Lost:
            if self._hub_report is not None:
                self._tell("the hub was lost; subscribers go on by themselves when it is back")
            self._hub_report = None
            return
        if isinstance(report, str) and report:
            raise BusError(report)
        if isinstance(report, HubReport):
            if self._hub_report is None:
                self._tell(f"listening on {report.endpoints.alarms}")
            elif report.refused and report.refused != self._hub_report.refused:
                self._tell(report.refused)
            self._hub_report, self.endpoints = report, report.endpoints

    def _hear_shards(self, now_s: float) -> None:
        """What has become of each."""
        for name, shard in self._shards.items():
            if shard.state == "ended":
                continue
            found = [(w, worker.shards[name]) for w, worker in self._workers.items() if name in worker.shards]
            running = next(((w, report) for w, report in found if report.state in ("running", "ended")), None)
            if running is None:
                self._not_running(name, shard, [report for _, report in found], now_s)
                continue
            worker, report = running
            if shard.lost_s is not None:
                took = f"{now_s - shard.lost_s:.1f} s after it was {shard.why}"
                self._tell(f"shard {name} runs on {worker} again, {took}; {report.resumed} beds go on")
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

    def _not_running(self, name: str, shard: _Placed, reports: list[ShardReport], now_s: float) -> None:
        failed = next((report.text for report in reports if report.state == "failed"), "")
        if failed and not shard.link.first_epoch:  # it never ran: a mistake of who started us
            raise SourceError(failed)
        if failed and failed != shard.why:
            self._tell(f"shard {name} failed, and is started again: {failed}")
        if shard.state == "running":
            there = self._workers.get(shard.worker)
            shard.state, shard.lost_s = "", now_s
            shard.why = failed or ("moved" if there is not None and there.answers else "lost")
            shard.link = replace(shard.link, leaving=True)

    # -- telling ---------------------------------------------------------------------------------------------

    def _place(self, now_s: float) -> None:
        """Have every shard run where it should."""
        ready = [name for name, worker in self._workers.items() if worker.answers]
        if not self._began and (len(ready) < len(self._workers) and now_s - self._started_s < _START_S):
            return
        self._began = self._began or bool(ready)
        going = [name for name, shard in self._shards.items() if shard.state != "ended"]
        goals = place(going, ready, {name: self._shards[name].goal for name in going}, self._home)
        self._home = self._home or goals
        for name in going:
            shard = self._shards[name]
            shard.goal = goals.get(name, "")
            here = [worker for worker in ready if name in self._workers[worker].shards]
            elsewhere = [worker for worker in here if worker != shard.goal]
            if elsewhere:
                # The hub is to know before the shard goes.
                if self._hub_report is None or (shard.link.leaving and shard.link in self._hub_knows[1]):
                    for worker in elsewhere:
                        self._give(shard, worker, "stop", name, now_s)
            elif shard.goal and (not here or self._workers[shard.goal].shards[name].state == "failed"):
                order = self._order(shard, self._workers[shard.goal].actor.node)
                self._give(shard, shard.goal, "start", order, now_s)

    def _give(self, shard: _Placed, worker: str, what: str, argument: object, now_s: float) -> None:
        """An order; the same again only where it has shown no effect for a while."""
        if shard.given != (what, worker) or now_s - shard.given_s >= _AGAIN_S:
            shard.given, shard.given_s = (what, worker), now_s
            self._workers[worker].actor.tell(what, argument)

    def _order(self, shard: _Placed, node: Node) -> ShardOrder:
        """What a shard is on a machine: on ours it listens on loopback, elsewhere with keys."""
        if node.address == self._here.address and not self._keyed:
            shard.link = replace(shard.link, key="")
            return shard.order
        if not self._keys:
            from monitor.bus.keys import add_client, make_server_keys

            make_server_keys(self._folder / "keys")
            add_client(self._folder / "keys", "hub", "operator")
            self._keys = str(self._folder / "keys")
        shard.link = replace(shard.link, key=str(self._folder / "keys" / "hub.key"))
        return replace(shard.order, listen=f"tcp://{node.address}:*", keys=self._keys)

    def _tell_hub(self, now_s: float) -> None:
        if self._hub_report is None:
            return
        links = tuple(shard.link for shard in self._shards.values())
        knows = (self._hub_report.epoch, links)
        if knows != self._hub_knows or now_s - self._hub_told_s >= _AGAIN_S:
            self._hub_knows, self._hub_told_s = knows, now_s
            self._hub.tell("follow", links)

    def _end(self) -> None:
        """Everything in order: shards, then the hub, which says goodbye."""
        for worker in self._workers.values():
            worker.actor.tell("stop_all")
        until_s = self._clock() + _END_S
        for worker in self._workers.values():
            if worker.answers:
                try:
                    worker.actor.call("report", timeout_s=max(0.1, until_s - self._clock()))
                except Lost:
                    self._tell("a worker did not end in time")
        try:
            self._hub.call("stop", _END_S, timeout_s=_END_S + 1)
        except Lost:
            self._tell("the hub did not end in time")
        for worker in self._workers.values():
            worker.actor.kill()
        self._hub.kill()
