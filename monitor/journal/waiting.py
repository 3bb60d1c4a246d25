"""Rows that wait until another program releases SQLite's lock: in memory, in order, bounded."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["WaitingRows", "is_locked_out"]

MOST_BYTES: Final = 32 << 20  # half a minute of 1,000 beds
_RETRY_S: Final = 0.05  # between two attempts, each of which waits as long for the lock
_REPORT_S: Final = 1.0  # a lock that is held longer is reported as a failure
_ROW_BYTES: Final = 300  # of a row besides its body


class _Row(NamedTuple):
    stream: str
    write: Callable[[], None]
    size: int


class WaitingRows:
    """A queue of rows; `clock` is monotonic, s.

    Attributes:
        rows: the oldest first.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rows: deque[_Row] = deque()
        self._clock = clock
        self._size = 0
        self._retry_s = -math.inf
        self._locked_s = math.inf  # since when

    @property
    def due(self) -> bool:
        """Whether there is a row, and the time to try has come."""
        return bool(self.rows) and self._clock() >= self._retry_s

    @property
    def counts(self) -> Counter[str]:
        """Rows that wait, by stream."""
        return Counter(row.stream for row in self.rows)

    def put(self, stream: str, write: Callable[[], None], size: int) -> Counter[str]:
        """Add a row with a body of `size` bytes; returns how many of the oldest rows were dropped, by stream."""
        self.rows.append(_Row(stream, write, size + _ROW_BYTES))
        self._size += size + _ROW_BYTES
        dropped: Counter[str] = Counter()
        while self._size > MOST_BYTES:
            dropped[self.take()] += 1
        return dropped

    def take(self) -> str:
        """Remove the oldest row; returns its stream."""
        row = self.rows.popleft()
        self._size -= row.size
        return row.stream

    def locked(self) -> bool:
        """Note that an attempt failed by the lock; returns whether the lock was held for `_REPORT_S`: a failure."""
        now_s = self._clock()
        self._locked_s = min(self._locked_s, now_s)
        self._retry_s = now_s + _RETRY_S
        return now_s - self._locked_s >= _REPORT_S

    def released(self) -> None:
        """Note that an attempt succeeded, or that the next one is to be made at once."""
        self._locked_s, self._retry_s = math.inf, -math.inf


def is_locked_out(error: sqlite3.Error) -> bool:
    """Whether another program holds the lock: the same statement succeeds later."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
