"""Reads that must not hold up the other beds: what may block is read by threads of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from monitor.sources import Chunk, Source
from monitor.sources.wrappers import SourceWrapper

__all__ = ["GuardedSource", "Readers"]

PATIENCE_S = 0.1  # all other beds wait so long for a read that does not come back, once
_CLOSE_S = 1.0


class _Task:
    """A call that somebody else makes."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # given to who waits for it
            self._error = error

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result


class Readers:
    """Threads that read: one, and one more for each read that hangs."""

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[_Task | None]] = []
        self._closed = False

    def submit(self, call: Callable[[], Any]) -> _Task:
        """Have it called."""
        task = _Task(call)
        try:
            inbox = self._idle.pop()
        except IndexError:
            inbox = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(inbox,), name="reader", daemon=True).start()
        inbox.put(task)
        return task

    def close(self) -> None:
        """Let the threads go; one that hangs goes when its read comes back."""
        self._closed = True
        for inbox in self._idle:
            inbox.put(None)

    def _work(self, inbox: queue.SimpleQueue[_Task | None]) -> None:
        while (task := inbox.get()) is not None:
            task.run()
            if self._closed:
                task.done.set()
                return
            self._idle.append(inbox)  # before it is told, so that who waited finds a thread
            task.done.set()


class GuardedSource(SourceWrapper):
    """A source whose reads may block; a read that does is waited for a moment, and later only looked after.

    Args:
        source: read and closed by the threads.
        readers: they.

    Attributes:
        hangs: a read has not come back.
    """

    def __init__(self, source: Source, readers: Readers) -> None:
        super().__init__(source)
        self.never_blocks = True
        self.hangs = False
        self._readers = readers
        self._task: _Task | None = None

    def __getattr__(self, name: str) -> Any:
        """What the source knows beyond Source, e.g. how many samples wait in it."""
        return getattr(self._source, name)

    def read(self, max_samples: int) -> Chunk | None:
        """As Source.read; None while a read hangs. What it brings when it comes back is given then."""
        if self._task is None:
            self._task = self._readers.submit(lambda: self._source.read(max_samples))
        if not self._task.done.wait(0.0 if self.hangs else PATIENCE_S):
            self.hangs = True
            return None
        task, self._task, self.hangs = self._task, None, False
        chunk: Chunk | None = task.result()
        return chunk

    def close(self) -> None:
        """Close the source; one that hangs is given up where it does not close within a second."""
        if not self.hangs:
            super().close()
            return
        with contextlib.suppress(RuntimeError):
            closing = threading.Thread(target=self._source.close, name="close", daemon=True)
            closing.start()
            closing.join(_CLOSE_S)
