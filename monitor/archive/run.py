"""A whole archive: records to workers, what came of them to whoever looks, until all are done or somebody stops it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from monitor.archive.results import Results
from monitor.archive.task import Outcome, Task, still_stands
from monitor.errors import SourceError

__all__ = ["Done", "Workers", "score_all"]

_LOOK_S: Final = 0.2  # at whether it is time to stop
_ASK_AGAIN_S: Final = 1.0  # for a record that another run scores


class Workers(Protocol):
    """Who scores: processes here, or a cluster."""

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""

    def submit(self, task: Task) -> None:
        """Begin with a task; only while one is free."""

    def done(self, timeout_s: float) -> list[Outcome]:
        """Outcomes that came, after at most `timeout_s`."""


@dataclass(slots=True)
class Done:
    """What came of a run.

    Attributes:
        scored, there: records that were scored now, and whose result stood.
        failed: one line each.
        left: names of records that were not come to.
    """

    scored: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def score_all(
    tasks: Iterable[Task],
    results: Results,
    workers: Workers,
    tell: Callable[[Task, Outcome], None],
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Done:
    """Score every record that has no result that stands.

    A record that another run is at is come back to, until that run has done or left it.

    Args:
        tasks: of distinct names.
        results: where they are written.
        workers: open.
        tell: told what became of each record, once.
        stop: asked several times a second.
        clock: monotonic, s.
    """
    waiting = deque(tasks)
    taken: deque[tuple[float, Task]] = deque()  # by another run: when to ask again
    running: dict[str, Task] = {}
    done = Done()

    def settle(task: Task, outcome: Outcome) -> None:
        if outcome.state == "scored":
            done.scored.append(task.name)
        elif outcome.state == "there":
            done.there.append(task.name)
        else:
            done.failed.append(outcome.text)
        tell(task, outcome)

    while (waiting or taken or running) and not stop():
        while taken and taken[0][0] <= clock():
            waiting.append(taken.popleft()[1])
        while waiting and workers.free > 0 and not stop():
            task = waiting.popleft()
            if _stands(task, results):  # no process need be started to see that nothing is to be done
                settle(task, Outcome(task.name, "there"))
                continue
            workers.submit(task)
            running[task.name] = task
        if not running:
            if taken and not waiting:
                time.sleep(min(_LOOK_S, max(0.0, taken[0][0] - clock())))
            continue
        for outcome in workers.done(_LOOK_S):
            task = running.pop(outcome.name)
            if outcome.state == "busy":
                taken.append((clock() + _ASK_AGAIN_S, task))
            else:
                settle(task, outcome)
    done.left = [task.name for task in (*waiting, *(task for _, task in taken), *running.values())]
    return done


def _stands(task: Task, results: Results) -> bool:
    try:
        return still_stands(task, results) is not None
    except SourceError:
        return False  # a worker tells what is wrong
