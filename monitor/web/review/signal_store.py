"""The filtered signal of a record in a temporary file, so that any part of it is there at once."""

from __future__ import annotations

import bisect
import os
import tempfile
import threading

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError

__all__ = ["SignalStore"]

_KIND = np.dtype("<f2")  # mV: 0.5 uV at 1 mV, finer than a line on the paper; NaN = no valid sample


class SignalStore:
    """Samples of a record, 2 bytes each: 60 MB for 24 hours at 360 Hz. The file has no name and ends with the process.

    Raises:
        SourceError: the file cannot be written (from `put` too).
    """

    def __init__(self) -> None:
        self._firsts: list[int] = []  # of each piece without a gap
        self._sizes: list[int] = []
        self._offsets: list[int] = []  # samples in the file
        self._written = 0
        self._one = threading.Lock()  # for the place in the file
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open as long as the page is served
        except OSError as error:
            raise _failed(error) from None

    def put(self, first_sample: int, samples: NDArray[np.float64]) -> None:
        """Append (n,) samples, mV, NaN = no valid sample; in order, a jump forward is a gap."""
        if not self._firsts or first_sample != self._firsts[-1] + self._sizes[-1]:
            self._firsts.append(first_sample)
            self._sizes.append(0)
            self._offsets.append(self._written)
        content = samples.astype(_KIND).tobytes()
        try:
            with self._one:
                self._file.seek(0, os.SEEK_END)
                if self._file.write(content) != len(content):
                    raise OSError(28, os.strerror(28))
        except OSError as error:
            raise _failed(error) from None
        self._sizes[-1] += samples.size
        self._written += samples.size

    def window(self, first_sample: int, n: int) -> NDArray[np.float32]:
        """(n,) samples from `first_sample` on, mV; NaN = no valid sample, also outside of the record."""
        found = np.full(n, np.nan, np.float32)
        piece = max(0, bisect.bisect_right(self._firsts, first_sample) - 1)
        while piece < len(self._firsts) and self._firsts[piece] < first_sample + n:
            begin = max(first_sample, self._firsts[piece])
            size = min(first_sample + n, self._firsts[piece] + self._sizes[piece]) - begin
            if size > 0:
                at = self._offsets[piece] + begin - self._firsts[piece]
                with self._one:
                    self._file.seek(at * _KIND.itemsize)
                    content = self._file.read(size * _KIND.itemsize)
                found[begin - first_sample : begin - first_sample + size] = np.frombuffer(content, _KIND)
            piece += 1
        return found

    def close(self) -> None:
        """Delete the file; may be called twice."""
        self._file.close()


def _failed(error: OSError) -> SourceError:
    return SourceError(
        f"a temporary copy of the signal in {tempfile.gettempdir()}: {error.strerror}; "
        "free space there, or name another folder by TMPDIR"
    )
