"""A placeholder for a source that could not be opened; it retries in the background."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import numpy as np

from monitor.sources.base import Chunk, Notice, Source
from monitor.sources.decimated import decimation

__all__ = ["RETRY_S", "ReconnectingSource"]

RETRY_S = 5.0  # a device that is plugged in appears on the screen within this time
NOMINAL_FS_HZ = 250.0  # rate of a bed without samples


class ReconnectingSource(Source):
    """Reports the source as lost once, then gives nothing until it could be opened.

    Opening may block (a port, a name lookup), so a thread does it.

    Many attributes: seven are those of the Source protocol.

    Args:
        why: reason why it could not be opened, one line.
        fs_hz: sampling rate given by the user, Hz.
        clock: monotonic, s.
    """

    lead = ""
    live = True
    never_blocks = True

    def __init__(
        self,
        open_it: Callable[[], Source],
        name: str,
        why: str,
        fs_hz: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        fs_hz = fs_hz or NOMINAL_FS_HZ
        self.fs_hz = fs_hz / decimation(fs_hz)  # as open_source will give it
        self._open = open_it
        self._why = why
        self._clock = clock
        self._reported = False
        self._next_s = clock() + RETRY_S
        self._lock = threading.Lock()
        self._trying = False
        self._opened: Source | None = None
        self._closed = False

    def opened(self) -> Source | None:
        """Return the source once it is open, else None and retry when due. The caller closes the source."""
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
        """Return the notice `source_lost` at the first call, then None."""
        del max_samples
        if self._reported:
            return None
        self._reported = True
        return Chunk(0, np.empty(0), notices=(Notice("source_lost", self._why),))

    def close(self) -> None:
        """Stop retrying."""
        with self._lock:
            self._closed = True
            source, self._opened = self._opened, None
        if source is not None:
            source.close()

    def _try(self) -> None:
        source: Source | None = None
        with contextlib.suppress(BaseException):  # of any kind: the next attempt comes in RETRY_S
            source = self._open()
        with self._lock:
            self._trying, self._next_s = False, self._clock() + RETRY_S
            if not self._closed:
                self._opened, source = source, None
        if source is not None:  # closed meanwhile
            source.close()
