"""The signal of an emulated device: the samples of a replay source, one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream, Source

__all__ = ["Resampled", "Samples"]

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


class Resampled:
    """The samples at another rate, by linear interpolation; a sample between a number and NaN is NaN.

    A QRS complex loses 0.4 % of its height from 360 to 130 Hz: enough for an emulator, not for a measurement.

    Args:
        samples: at `from_hz`.
        to_hz: wanted rate, Hz.
    """

    def __init__(self, samples: Samples, from_hz: float, to_hz: float) -> None:
        self._samples, self._step = samples, from_hz / to_hz
        self._given = 0  # samples at the new rate
        self._first = 0  # index of the first held sample at the old rate
        self._held = np.empty(0)

    def take(self, n: int) -> NDArray[np.float64]:
        """Return the next `n` samples, (n,) float64, mV; fewer only at the end."""
        at = np.arange(self._given, self._given + n) * self._step
        missing = int(at[-1]) + 2 - self._first - self._held.size if n else 0
        if missing > 0:
            self._held = np.concatenate([self._held, self._samples.take(missing)])
        at = at[at <= self._first + self._held.size - 1] - self._first
        low = at.astype(int)
        high = np.minimum(low + 1, self._held.size - 1)
        share = at - low
        below, above = self._held[low], self._held[high]
        mv: NDArray[np.float64] = np.where(share > 0, (1 - share) * below + share * above, below)
        self._given += at.size
        done = min(int(self._given * self._step) - self._first, self._held.size)
        if done > 0:
            self._held, self._first = self._held[done:], self._first + done
        return mv
