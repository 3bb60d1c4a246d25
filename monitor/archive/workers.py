"""Processes on this machine that score records, each a few of them in step."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from detector.lockstep import Lockstep
from monitor.archive.task import Outcome, Task

__all__ = ["LocalWorkers", "usable_cores"]

_CLOSE_S: Final = 5.0
_IN_STEP: Final = 8  # records: most of what there is to gain, and they fit in memory
# A worker is one core's worth: libraries that would start threads of their own only get into each other's way.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalWorkers:
    """A few processes, each with a few records in step, which costs half of one after the other. A context.

    One that dies is replaced. What it had in hand is tried again, each record alone, so that it is the one which kills
    that fails, and no other.

    Processes are spawned, not forked: nothing of this process's threads and sockets is in them. They end with this
    process, also where it is killed.

    Args:
        n: how many processes.
    """

    def __init__(self, n: int) -> None:
        self.slots = n * _IN_STEP
        self._n = n
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._again: deque[Task] = deque()  # of a process that died

    def __enter__(self) -> LocalWorkers:
        for variable in _ONE_THREAD:
            os.environ.setdefault(variable, "1")
        return self

    def __exit__(self, *_: object) -> None:
        """End them; what is being scored is left undone, and is not there."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_CLOSE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        alone = any(worker.alone for worker in self._workers)
        return 0 if self._again or alone else self.slots - sum(len(worker.tasks) for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Begin with a task; only while one is free."""
        least = min(self._workers, key=lambda worker: len(worker.tasks), default=None)
        if least is None or (least.tasks and len(self._workers) < self._n):
            least = self._worker()
        self._give(least, task)

    def done(self, timeout_s: float) -> list[Outcome]:
        """Outcomes that came, after at most `timeout_s`."""
        outcomes: list[Outcome] = []
        for pipe in wait([worker.pipe for worker in self._workers if worker.tasks], timeout_s):
            worker = next(worker for worker in self._workers if worker.pipe is pipe)
            try:
                outcome: Outcome = worker.pipe.recv()
                del worker.tasks[outcome.name]
                worker.alone = False
                outcomes.append(outcome)
            except (EOFError, OSError):
                outcomes += self._died(worker)
        if self._again and not any(worker.alone for worker in self._workers):
            idle = next((worker for worker in self._workers if not worker.tasks), None) or self._worker()
            worker = self._give(idle, self._again.popleft())
            worker.alone = bool(worker.tasks)
        return outcomes

    def _give(self, worker: _Worker, task: Task) -> _Worker:
        """Let a worker score a task too; which one does: another where it has died."""
        if worker.give(task):
            return worker
        self._again.extend(worker.tasks.values())
        self._drop(worker)
        worker = self._worker()
        if not worker.give(task):
            self._again.append(task)
        return worker

    def _worker(self) -> _Worker:
        self._workers.append(_Worker(self._context))
        return self._workers[-1]

    def _drop(self, worker: _Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)

    def _died(self, worker: _Worker) -> list[Outcome]:
        """A process is gone: whose fault it was shows when each of its records is alone."""
        self._drop(worker)
        if not worker.alone:
            self._again.extend(worker.tasks.values())
            return []
        death = _death(worker.process.exitcode)
        return [Outcome(task.name, "failed", f"{task.spec}: {death}") for task in worker.tasks.values()]


class _Worker:
    def __init__(self, context: Any) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.tasks: dict[str, Task] = {}
        self.alone = False  # a task that may have killed the worker before

    def give(self, task: Task) -> bool:
        """Let it score a task too; whether it lives."""
        try:
            self.pipe.send(task)
        except OSError:
            return False
        self.tasks[task.name] = task
        return True


def _serve(pipe: Connection) -> None:
    """A worker: tasks in, outcomes out, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the one who asks ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from monitor.archive.scoring import scoring_record

    going: Lockstep[Outcome] = Lockstep()
    numbers = itertools.count()
    with contextlib.suppress(EOFError, OSError):
        while True:
            for outcome in going.ended.values():
                pipe.send(outcome)
            going.ended.clear()
            if not going or pipe.poll():
                going.join(next(numbers), scoring_record(pipe.recv()))
            else:
                going.step()


def _die_with_parent() -> None:
    """A record that nobody waits for is not gone on with: its lock must come free for the next run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"the process that scored it was killed by {signal.Signals(-code).name}; is there memory for it?"
        except ValueError:
            pass
    return f"the process that scored it ended with code {code}"
