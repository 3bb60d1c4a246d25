"""Processes on this machine that score records, several records of each process in lockstep."""

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
from monitor.archive.task import RecordOutcome, Task

__all__ = ["LocalWorkers", "usable_cores"]

_CLOSE_S: Final = 5.0
_IN_STEP: Final = 8  # records per process: more gain little and take memory
# One process per core: threads of numerical libraries would compete for the cores.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalWorkers:
    """Processes with several records in lockstep each, at half the cost of one after the other. A context.

    A process that dies is replaced. Its records are tried again, each alone, so that only a record that kills its
    process again fails.

    Processes are spawned, not forked, so they inherit no threads and sockets. They end with this process, also after a
    kill.
    """

    def __init__(self, n: int) -> None:
        self.slots = n * _IN_STEP
        self._n = n
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._again: deque[Task] = deque()  # records of a process that died

    def __enter__(self) -> LocalWorkers:
        for variable in _ONE_THREAD:
            os.environ.setdefault(variable, "1")
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; records that are being scored have no result."""
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
        """Number of further tasks that can be submitted now."""
        alone = any(worker.alone for worker in self._workers)
        return 0 if self._again or alone else self.slots - sum(len(worker.tasks) for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Start a task; only while `free` is above 0."""
        least = min(self._workers, key=lambda worker: len(worker.tasks), default=None)
        if least is None or (least.tasks and len(self._workers) < self._n):
            least = self._worker()
        self._give(least, task)

    def done(self, timeout_s: float) -> list[RecordOutcome]:
        """Outcomes that arrived, after at most `timeout_s`."""
        outcomes: list[RecordOutcome] = []
        for pipe in wait([worker.pipe for worker in self._workers if worker.tasks], timeout_s):
            worker = next(worker for worker in self._workers if worker.pipe is pipe)
            try:
                outcome: RecordOutcome = worker.pipe.recv()
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
        """Give a task to a worker, or to a new one where that has died; return the one that has it."""
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

    def _died(self, worker: _Worker) -> list[RecordOutcome]:
        """Handle a process that died: retry its records alone; a record that was alone fails."""
        self._drop(worker)
        if not worker.alone:
            self._again.extend(worker.tasks.values())
            return []
        death = _death(worker.process.exitcode)
        return [RecordOutcome(task.name, "failed", f"{task.spec}: {death}") for task in worker.tasks.values()]


class _Worker:
    def __init__(self, context: Any) -> None:
        self.pipe, far_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(far_end,), daemon=True)
        self.process.start()
        far_end.close()
        self.tasks: dict[str, Task] = {}
        self.alone = False  # its task may have killed a worker before

    def give(self, task: Task) -> bool:
        """Send it a task; False where the process has died."""
        try:
            self.pipe.send(task)
        except OSError:
            return False
        self.tasks[task.name] = task
        return True


def _serve(pipe: Connection) -> None:
    """The process: receive tasks, send outcomes, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this process
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from monitor.archive.scoring import scoring_record

    running: Lockstep[RecordOutcome] = Lockstep()
    numbers = itertools.count()
    with contextlib.suppress(EOFError, OSError):
        while True:
            for outcome in running.ended.values():
                pipe.send(outcome)
            running.ended.clear()
            if not running or pipe.poll():
                running.join(next(numbers), scoring_record(pipe.recv()))
            else:
                running.step()


def _die_with_parent() -> None:
    """End with the parent: the locks of the records must be free for the next run."""
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
