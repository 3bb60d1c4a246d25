"""A worker: the shards of one core, in one process. Ray starts it, and starts it again where it was killed."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from monitor.fleet.shard import Shard, ShardOrder, ShardReport

__all__ = ["Worker", "WorkerReport"]

_STOP_S = 10.0


@dataclass(frozen=True)
class WorkerReport:
    """How a worker is.

    Attributes:
        pid: of its process.
        shards: by name.
    """

    pid: int
    shards: dict[str, ShardReport]


class Worker:
    """Holds shards; what it is told to do twice it does once."""

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then tells us
        self._shards: dict[str, Shard] = {}
        self._warm_up()

    def start(self, order: ShardOrder) -> None:
        """Have a shard run here."""
        held = self._shards.get(order.name)
        if held is None or held.report().state in ("stopped", "failed"):
            self._shards[order.name] = Shard(order)

    def stop(self, name: str) -> None:
        """Have a shard end in order; it is gone from the report when it has."""
        if name in self._shards:
            self._shards[name].stop()

    def report(self) -> WorkerReport:
        """How it is now; a shard that has stopped is told of no more."""
        reports = {name: shard.report() for name, shard in self._shards.items()}
        for name, report in list(reports.items()):
            if report.state == "stopped":
                del self._shards[name], reports[name]
        return WorkerReport(os.getpid(), reports)

    def stop_all(self) -> None:
        """End in order, and wait for it."""
        for shard in self._shards.values():
            shard.stop()
        for shard in self._shards.values():
            shard.join(_STOP_S)

    def _warm_up(self) -> None:
        """What the first window imports: a shard that comes here from a dead worker must not wait for it."""
        import numpy as np

        from detector import Detector

        Detector(100.0).push(np.tile(np.hanning(100), 12))
