"""A worker: the shards of one core, in one process. Ray starts it, and restarts it after a kill."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from monitor.fleet.shard import Shard, ShardOrder, ShardReport

__all__ = ["Worker", "WorkerReport"]

_STOP_S = 10.0


@dataclass(frozen=True)
class WorkerReport:
    """State of a worker.

    Attributes:
        pid: process id.
        shards: name -> state of the shard.
    """

    pid: int
    shards: dict[str, ShardReport]


class Worker:
    """Holds shards; a repeated order has no further effect."""

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then stops the worker
        self._shards: dict[str, Shard] = {}
        self._warm_up()

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
        for name, report in list(reports.items()):
            if report.state == "stopped":
                del self._shards[name], reports[name]
        return WorkerReport(os.getpid(), reports)

    def stop_all(self) -> None:
        """End all shards in order, and wait for it."""
        for shard in self._shards.values():
            shard.stop()
        for shard in self._shards.values():
            shard.join(_STOP_S)

    def _warm_up(self) -> None:
        """Import all that the first window needs: a shard that moves here from a dead worker must not wait."""
        import numpy as np

        from detector import Detector

        Detector(100.0).push(np.tile(np.hanning(100), 12))
