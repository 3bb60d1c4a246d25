"""The signal of an emulated device: the samples of a replay source, one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream, Source

__all__ = ["Samples"]

_FIRST = 1000  # samples read at once: the first read of a source may take 0.5 s, which must not pass in device time


class Samples:
    """Gives the samples of a source without gaps: missing samples are NaN. At most one chunk is held.

    Raises:
        SourceError: a live source: an emulated device must set the pace.
    """

    def __init__(self, source: Source) -> None:
        if source.live:
            raise SourceError(f"{source.name}: is a live source; a device can play sim, mitdb:208, csv:FILE, ...")
        self._source = source
        self._at: int | None = None  # index of the next sample to give
        self._chunk: Chunk | None = None
        self._chunk = self._next(_FIRST)

    def take(self, n: int) -> NDArray[np.float64]:
        """Return the next `n` samples, (n,) float64, mV; fewer only at the end."""
        taken = [np.empty(0)]
        while n > 0 and (chunk := self._next(n)) is not None:
            at = chunk.first_sample if self._at is None else self._at
            missing = min(n, max(0, chunk.first_sample - at))
            piece = chunk.samples[: n - missing]
            taken += [np.full(missing, np.nan), piece]
            self._at = at + missing + piece.size
            rest = chunk.samples[piece.size :]
            self._chunk = Chunk(chunk.first_sample + piece.size, rest) if rest.size else None
            n -= missing + piece.size
        return np.concatenate(taken)

    def _next(self, n: int) -> Chunk | None:
        if self._chunk is not None:
            return self._chunk
        try:
            while (chunk := self._source.read(n)) is not None:
                if chunk.samples.size:
                    return chunk
        except EndOfStream:
            pass
        return None
