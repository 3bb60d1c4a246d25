"""Processes on this machine that score records, one record each at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from monitor.archive.task import Outcome, Task

__all__ = ["LocalWorkers", "usable_cores"]

_CLOSE_S: Final = 5.0
# A worker is one core's worth: libraries that would start threads of their own only get into each other's way.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalWorkers:
    """A few processes; one that dies takes its record with it, no other, and is replaced. A context.

    Processes are spawned, not forked: nothing of this process's threads and sockets is in them. They end with this
    process, also where it is killed.

    Args:
        n: how many.
    """

    def __init__(self, n: int) -> None:
        self.slots = n
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[_Worker] = []
        self._busy: dict[Any, tuple[_Worker, Task]] = {}  # its pipe -> worker and task

    def __enter__(self) -> LocalWorkers:
        for variable in _ONE_THREAD:
            os.environ.setdefault(variable, "1")
        return self

    def __exit__(self, *_: object) -> None:
        """End them; what is being scored is left undone, and is not there."""
        workers = [*self._idle, *(worker for worker, _ in self._busy.values())]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(_CLOSE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._idle.clear()
        self._busy.clear()

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""
        return self.slots - len(self._busy)

    def submit(self, task: Task) -> None:
        """Begin with a task; only while one is free."""
        worker = self._idle.pop() if self._idle else _Worker(self._context)
        try:
            worker.pipe.send(task)
        except OSError:  # it died while it had nothing to do
            worker.pipe.close()
            worker = _Worker(self._context)
            worker.pipe.send(task)
        self._busy[worker.pipe] = worker, task

    def done(self, timeout_s: float) -> list[Outcome]:
        """Outcomes that came, after at most `timeout_s`."""
        outcomes = []
        for pipe in wait(list(self._busy), timeout_s):
            worker, task = self._busy.pop(pipe)
            try:
                outcome: Outcome = worker.pipe.recv()
                self._idle.append(worker)
            except (EOFError, OSError):
                worker.process.join()
                outcome = Outcome(task.name, "failed", f"{task.spec}: {_died(worker.process.exitcode)}")
                worker.pipe.close()
            outcomes.append(outcome)
        return outcomes


class _Worker:
    def __init__(self, context: Any) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()


def _serve(pipe: Connection) -> None:
    """A worker: tasks in, outcomes out, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the one who asks ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from monitor.archive.scoring import score_record

    with contextlib.suppress(EOFError, OSError):
        while True:
            task: Task = pipe.recv()
            pipe.send(score_record(task))


def _die_with_parent() -> None:
    """A record that nobody waits for is not gone on with: its lock must come free for the next run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _died(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"the process that scored it was killed by {signal.Signals(-code).name}; is there memory for it?"
        except ValueError:
            pass
    return f"the process that scored it ended with code {code}"
