"""The workers of a fleet, one on each core of the cluster, as machines join and leave."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from monitor.fleet.ray_cluster import Actor, ActorLost, RayCluster
from monitor.fleet.shard import Shard, ShardOrder, ShardReport

__all__ = ["PooledWorker", "Worker", "WorkerPool", "WorkerReport"]

_SILENT_S = 10.0  # a worker without a report for this time loses its shards: the locks of their journals decide
_STOP_S = 10.0


@dataclass(frozen=True)
class WorkerReport:
    """State of a worker: process id; name -> state of the shard."""

    pid: int
    shards: dict[str, ShardReport]


class Worker:
    """The shards of one core, in a process that Ray restarts after a kill; a repeated order has no further effect."""

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then stops the worker
        self._shards: dict[str, Shard] = {}
        # Import all that the first window needs: a shard that moves here from a dead worker must not wait.
        import numpy as np

        from detector import Detector

        Detector(100.0).push(np.tile(np.hanning(100), 12))

    def start(self, order: ShardOrder) -> None:
        """Run a shard here."""
        held = self._shards.get(order.name)
        if held is None or held.report().state in ("stopped", "failed"):
            self._shards[order.name] = Shard(order)

    def stop(self, name: str) -> None:
        """Make a shard end in order; then it is no longer in the report."""
        if name in self._shards:
            self._shards[name].stop()

    def report(self) -> WorkerReport:
        """The state now, without shards that have stopped."""
        reports = {name: shard.report() for name, shard in self._shards.items()}
        self._shards = {name: shard for name, shard in self._shards.items() if reports[name].state != "stopped"}
        return WorkerReport(os.getpid(), {name: reports[name] for name in self._shards})

    def stop_all(self) -> None:
        """End all shards in order, and wait for it."""
        for shard in self._shards.values():
            shard.stop()
        for shard in self._shards.values():
            shard.join(_STOP_S)


@dataclass
class PooledWorker:
    """A worker as the fleet sees it.

    Attributes:
        actor: its process.
        reported_s: time of its last report, monotonic, s.
        answers: it has reported since it was last lost.
        pid, shards: as it reported.
    """

    actor: Actor
    reported_s: float
    answers: bool = False
    pid: int = 0
    shards: Mapping[str, ShardReport] = field(default_factory=dict)


class WorkerPool:
    """One worker on each core; `all` has them by name.

    Args:
        cluster: connected.
        report: called with one line for a person.
        clock: monotonic, s.
    """

    def __init__(self, cluster: RayCluster, report: Callable[[str], None], clock: Callable[[], float]) -> None:
        self.all: dict[str, PooledWorker] = {}
        self._cluster = cluster
        self._report = report
        self._clock = clock

    @property
    def ready(self) -> list[str]:
        """Names of the workers that answer."""
        return [name for name, worker in self.all.items() if worker.answers]

    def with_shard(self, shard: str) -> list[tuple[str, ShardReport]]:
        """Workers that hold a shard, with its state there."""
        return [(name, w.shards[shard]) for name, w in self.all.items() if shard in w.shards]

    def update_machines(self) -> None:
        """Start workers on machines that joined; forget those of machines that left."""
        nodes = {node.name: node for node in self._cluster.nodes()}
        for name, worker in list(self.all.items()):
            if worker.actor.node.name not in nodes:
                self._report(f"worker {name} is gone with its machine {worker.actor.node.address}")
                worker.actor.kill()
                del self.all[name]
        for node in nodes.values():
            for core in range(node.cores):
                name = f"{node.name[:8]}.{core}"
                if name not in self.all:
                    self.all[name] = PooledWorker(self._cluster.actor(Worker, node, 1), self._clock())

    def read_reports(self, now_s: float) -> None:
        """Take the reports that have arrived; find workers that are lost or silent."""
        for name, worker in self.all.items():
            try:
                report = worker.actor.report()
            except ActorLost:
                if worker.answers:
                    self._report(f"worker {name} (process {worker.pid}) was lost with {len(worker.shards)} shards")
                worker.answers, worker.shards = False, {}
                continue
            if isinstance(report, WorkerReport):
                if not worker.answers:
                    self._report(f"worker {name} is ready: process {report.pid} on {worker.actor.node.address}")
                worker.answers, worker.reported_s, worker.pid = True, now_s, report.pid
                worker.shards = report.shards
                for shard in report.shards.values():
                    for line in shard.notices:
                        self._report(line)
            elif worker.answers and now_s - worker.reported_s > _SILENT_S:
                self._report(f"worker {name} (process {worker.pid}) has not answered for {_SILENT_S:.0f} s")
                worker.answers, worker.shards = False, {}

    def stop_shards(self, timeout_s: float) -> None:
        """End all shards in order."""
        for worker in self.all.values():
            worker.actor.send("stop_all")
        until_s = self._clock() + timeout_s
        for name in self.ready:
            try:
                self.all[name].actor.call("report", timeout_s=max(0.1, until_s - self._clock()))
            except ActorLost:
                self._report("a worker did not end in time")

    def kill(self) -> None:
        """End the processes."""
        for worker in self.all.values():
            worker.actor.kill()
