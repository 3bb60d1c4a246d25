"""Score a whole archive: give records to workers, report the outcomes, until all are done or `stop` is true."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from monitor.archive.results import Results
from monitor.archive.task import RecordOutcome, Task, valid_result
from monitor.errors import SourceError

__all__ = ["ArchiveOutcome", "Workers", "score_all"]

_POLL_S: Final = 0.2  # between checks of `stop`
_RETRY_S: Final = 1.0  # for a record that another run scores


class Workers(Protocol):
    """Processes on this machine, or a cluster."""

    @property
    def free(self) -> int:
        """Number of further tasks that can be submitted now."""

    def submit(self, task: Task) -> None:
        """Start a task; only while `free` is above 0."""

    def done(self, timeout_s: float) -> list[RecordOutcome]:
        """Outcomes that arrived, after at most `timeout_s`."""


@dataclass(slots=True)
class ArchiveOutcome:
    """Result of a run.

    Attributes:
        scored, kept: names of records that were scored now, and whose earlier result is valid.
        failed: one line each.
        left: names of records that were not scored before `stop`.
    """

    scored: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def score_all(
    tasks: Iterable[Task],
    results: Results,
    workers: Workers,
    report: Callable[[Task, RecordOutcome], None],
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> ArchiveOutcome:
    """Score every record without a valid result.

    A record that another run scores is retried, until that run has finished or dropped it.

    Args:
        tasks: of distinct names.
        report: called with the outcome of each record, once.
        stop: polled several times a second.
        clock: monotonic, s.
    """
    waiting = deque(tasks)
    busy: deque[tuple[float, Task]] = deque()  # scored by another run: when to retry
    running: dict[str, Task] = {}
    total = ArchiveOutcome()

    def finish(task: Task, outcome: RecordOutcome) -> None:
        if outcome.state == "scored":
            total.scored.append(task.name)
        elif outcome.state == "kept":
            total.kept.append(task.name)
        else:
            total.failed.append(outcome.text)
        report(task, outcome)

    while (waiting or busy or running) and not stop():
        while busy and busy[0][0] <= clock():
            waiting.append(busy.popleft()[1])
        while waiting and workers.free > 0 and not stop():
            task = waiting.popleft()
            if _has_valid_result(task, results):  # found here: no process is started for it
                finish(task, RecordOutcome(task.name, "kept"))
                continue
            workers.submit(task)
            running[task.name] = task
        if not running:
            if busy and not waiting:
                time.sleep(min(_POLL_S, max(0.0, busy[0][0] - clock())))
            continue
        for outcome in workers.done(_POLL_S):
            task = running.pop(outcome.name)
            if outcome.state == "busy":
                busy.append((clock() + _RETRY_S, task))
            else:
                finish(task, outcome)
    total.left = [task.name for task in (*waiting, *(task for _, task in busy), *running.values())]
    return total


def _has_valid_result(task: Task, results: Results) -> bool:
    try:
        return valid_result(task, results) is not None
    except SourceError:
        return False  # the worker reports the reason
