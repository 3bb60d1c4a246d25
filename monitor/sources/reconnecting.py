"""A source that could not be opened when the monitor began, and is tried again until it can be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from monitor.errors import SourceError
from monitor.sources.base import Chunk, Notice, Source

__all__ = ["RETRY_S", "ReconnectingSource"]

RETRY_S = 5.0  # as a serial port that was lost is looked for: soon enough for a person who plugs it in
NOMINAL_FS_HZ = 250.0  # said of a bed that has no samples yet


class ReconnectingSource:
    """Stands in for a source that is not there yet: says once that it is lost, then nothing.

    Opening may block (a port, a name to be resolved): a thread of its own does it.

    Args:
        open_it: opens the source.
        name: as a person wrote it.
        why: it could not be opened.
        fs_hz: sampling rate that a person gave, Hz.
        clock: monotonic, s.
    """

    lead = ""
    live = True
    never_blocks = True
    rails_mv: tuple[float, float] | None = None
    start_time: str | None = None
    total_samples: int | None = None

    def __init__(
        self,
        open_it: Callable[[], Source],
        name: str,
        why: str,
        fs_hz: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.fs_hz = fs_hz or NOMINAL_FS_HZ
        self._open = open_it
        self._why = why
        self._clock = clock
        self._told = False
        self._next_s = clock() + RETRY_S
        self._lock = threading.Lock()
        self._trying = False
        self._opened: Source | None = None
        self._closed = False

    def opened(self) -> Source | None:
        """The source, once it could be opened; who is given it closes it."""
        with self._lock:
            if self._opened is not None:
                source, self._opened, self._closed = self._opened, None, True
                return source
            if self._closed or self._trying or self._clock() < self._next_s:
                return None
            self._trying = True
        threading.Thread(target=self._try, name=f"open {self.name}", daemon=True).start()
        return None

    def read(self, max_samples: int) -> Chunk | None:
        """Nothing of the samples asked for, but at first why."""
        del max_samples
        if self._told:
            return None
        self._told = True
        return Chunk(0, np.empty(0), notices=(Notice("source_lost", self._why),))

    def close(self) -> None:
        """Try no more."""
        with self._lock:
            self._closed = True
            source, self._opened = self._opened, None
        if source is not None:
            source.close()

    def _try(self) -> None:
        try:
            source = self._open()
        except SourceError:
            source = None
        with self._lock:
            self._trying, self._next_s = False, self._clock() + RETRY_S
            if not self._closed:
                self._opened, source = source, None
        if source is not None:  # too late
            source.close()
