"""Workers of a Ray cluster. Every node must see the records and --out at the same paths, e.g. on a network file system.

Ray finds free cores on all nodes, and restarts a record whose node died. A result is put in place as a whole and under
a lock, so a restarted record still has one result.
"""

from __future__ import annotations

import os
from typing import Any, Final

from monitor.archive.scoring import score_record
from monitor.archive.task import RecordOutcome, Task
from monitor.archive.workers import usable_cores
from monitor.errors import ConfigError, first_line

__all__ = ["RayWorkers"]

_STORE_BYTES: Final = 80 * 1024 * 1024  # Ray's least: an outcome is one line


class RayWorkers:
    """Records as Ray tasks of one core each; a context.

    The cluster is that of `RAY_ADDRESS` (`auto`: the one running on this machine). Without it, a cluster on this
    machine is started for the run.

    Args:
        n: tasks at once; 0 = one per core of the cluster.

    Raises:
        ConfigError: Ray is not installed, or its cluster does not answer.
    """

    def __init__(self, n: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise ConfigError(f"score --ray needs Ray ({error}); pip install 'ecg-monitor[cluster]'") from None
        self._ray: Any = ray
        self._given = n
        self.slots = 0
        self._tasks: dict[Any, Task] = {}  # Ray's reference of the result -> task

    def __enter__(self) -> RayWorkers:
        ray = self._ray
        options: dict[str, Any] = {}  # none for a running cluster
        if not os.environ.get("RAY_ADDRESS"):
            cores = self._given or usable_cores()
            options = {"address": "local", "num_cpus": cores, "object_store_memory": _STORE_BYTES}
            options |= {"include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level="error", configure_logging=True, **options)
        except Exception as error:  # Ray passes on any error of its transport
            raise ConfigError(
                f"score --ray: the cluster does not answer ({first_line(error)}); see RAY_ADDRESS"
            ) from None
        self.slots = self._given or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._score = ray.remote(num_cpus=1)(score_record)
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the running tasks and disconnect."""
        for answer in self._tasks:
            self._ray.cancel(answer, force=True)
        self._tasks.clear()
        self._ray.shutdown()

    @property
    def free(self) -> int:
        """Number of further tasks that can be submitted now."""
        return self.slots - len(self._tasks)

    def submit(self, task: Task) -> None:
        """Start a task."""
        self._tasks[self._score.remote(task)] = task

    def done(self, timeout_s: float) -> list[RecordOutcome]:
        """Outcomes that arrived, after at most `timeout_s`."""
        ready, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=timeout_s)
        outcomes = []
        for answer in ready:
            task = self._tasks.pop(answer)
            try:
                outcomes.append(self._ray.get(answer))
            except Exception as error:
                text = f"{task.spec}: Ray could not score it ({first_line(error)})"
                outcomes.append(RecordOutcome(task.name, "failed", text))
        return outcomes
