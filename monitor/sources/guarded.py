"""Sources whose reads may block, read by threads so that they cannot delay the other beds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from monitor.errors import SourceError, first_line
from monitor.sources.base import Chunk, Source
from monitor.sources.wrappers import SourceWrapper

__all__ = ["GuardedSource", "Readers", "close_sources"]

PATIENCE_S = 0.1  # all other beds wait this long, once, for a read that does not return
CLOSE_S = 1.0


class _Task:
    """A call that a reader thread makes."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._error: Exception | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._result = self._call()
        except Exception as error:  # `result` raises it in the waiting thread
            self._error = error
        except BaseException as error:  # SystemExit and the like: a library must not end the monitor
            self._error = SourceError(f"the reader stopped ({type(error).__name__}: {first_line(error)})")

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result


class Readers:
    """Reader threads: one, and one more for each read that hangs."""

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[_Task | None]] = []
        self._closed = False

    def submit(self, call: Callable[[], Any]) -> _Task:
        """Run `call` in an idle thread, or in a new one."""
        task = _Task(call)
        try:
            inbox = self._idle.pop()
        except IndexError:
            inbox = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(inbox,), name="reader", daemon=True).start()
        inbox.put(task)
        return task

    def close(self) -> None:
        """End the threads; one that hangs ends when its read returns."""
        self._closed = True
        for inbox in self._idle:
            inbox.put(None)

    def _work(self, inbox: queue.SimpleQueue[_Task | None]) -> None:
        while (task := inbox.get()) is not None:
            task.run()
            if self._closed:
                task.done.set()
                return
            self._idle.append(inbox)  # before `done`: the waiting caller then finds an idle thread
            task.done.set()


class GuardedSource(SourceWrapper):
    """A source whose reads may block: `read` waits `PATIENCE_S` for a read that hangs, later calls only check it.

    Attributes:
        hangs: a read has not returned.
    """

    def __init__(self, source: Source, readers: Readers) -> None:
        super().__init__(source)
        self.never_blocks = True
        self.hangs = False
        self._readers = readers
        self._task: _Task | None = None

    def __getattr__(self, name: str) -> Any:
        """Delegate attributes beyond Source, e.g. `waiting`, to the wrapped source."""
        return getattr(self._source, name)

    def read(self, max_samples: int) -> Chunk | None:
        """Return the result of a read; None while the read hangs. A later call returns its result."""
        if self._task is None:
            self._task = self._readers.submit(lambda: self._source.read(max_samples))
        if not self._task.done.wait(0.0 if self.hangs else PATIENCE_S):
            self.hangs = True
            return None
        task, self._task, self.hangs = self._task, None, False
        chunk: Chunk | None = task.result()
        return chunk


def close_sources(sources: Iterable[Source]) -> list[str]:
    """Close sources side by side; those that are not closed within `CLOSE_S`, all together, are abandoned.

    Returns:
        One line for each that failed or was abandoned.
    """
    readers, until_s = Readers(), time.monotonic() + CLOSE_S
    lines: list[str] = []
    for source, task in [(source, readers.submit(source.close)) for source in sources]:
        if not task.done.wait(max(0.0, until_s - time.monotonic())):
            lines.append(f"{source.name}: does not close, and is abandoned")
            continue
        try:
            task.result()
        except Exception as error:  # code of another package may raise anything
            lines.append(f"{source.name}: cannot be closed ({type(error).__name__}: {first_line(error)})")
    readers.close()
    return lines
