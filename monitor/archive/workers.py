"""Processes on this machine that score records, one record each at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from monitor.archive.task import RecordOutcome, Task

__all__ = ["LocalWorkers", "usable_cores"]

# One process per core: threads of numerical libraries would compete for the cores.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalWorkers:
    """Processes that score one record each; a context.

    A process that dies is replaced. Its record is tried once more, and fails if its process dies again.

    Processes are spawned, not forked, so they inherit no threads and sockets. They end with this process, also after a
    kill.
    """

    def __init__(self, n: int) -> None:
        self.slots = n
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def __enter__(self) -> LocalWorkers:
        for variable in _ONE_THREAD:
            os.environ.setdefault(variable, "1")
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes at once: no result of the records being scored; the next run deletes their drafts."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    @property
    def free(self) -> int:
        """Number of further tasks that can be submitted now."""
        return self.slots - sum(worker.task is not None for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Start a task; only while `free` is above 0."""
        self._give(task, again=False)

    def done(self, timeout_s: float) -> list[RecordOutcome]:
        """Outcomes that arrived, after at most `timeout_s`."""
        outcomes: list[RecordOutcome] = []
        for pipe in wait([worker.pipe for worker in self._workers if worker.task is not None], timeout_s):
            worker = next(worker for worker in self._workers if worker.pipe is pipe)
            try:
                outcomes.append(worker.pipe.recv())
                worker.task = None
            except (EOFError, OSError):
                outcomes += self._died(worker)
        return outcomes

    def _give(self, task: Task, again: bool) -> None:
        """Give a task to an idle process; one that has died is replaced."""
        for worker in [worker for worker in self._workers if worker.task is None]:
            if worker.give(task, again):
                return
            self._drop(worker)
        self._workers.append(_Worker(self._context))
        self._workers[-1].give(task, again)  # if this one has died, too, `done` notices it

    def _drop(self, worker: _Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)

    def _died(self, worker: _Worker) -> list[RecordOutcome]:
        """Handle a process that died: its record is tried once more."""
        self._drop(worker)
        task = worker.task
        if task is None:
            return []
        if not worker.again:
            self._give(task, again=True)
            return []
        return [RecordOutcome(task.name, "failed", f"{task.spec}: {_death(worker.process.exitcode)}")]


class _Worker:
    def __init__(self, context: Any) -> None:
        self.pipe, far_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(far_end,), daemon=True)
        self.process.start()
        far_end.close()
        self.task: Task | None = None
        self.again = False  # its task has killed a process before

    def give(self, task: Task, again: bool) -> bool:
        """Send it a task; False where the process has died."""
        self.task, self.again = task, again
        try:
            self.pipe.send(task)
        except OSError:
            return False
        return True


def _serve(pipe: Connection) -> None:
    """The process: receive tasks, send outcomes, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this process
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from monitor.archive.scoring import score_record

    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(score_record(pipe.recv()))


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
