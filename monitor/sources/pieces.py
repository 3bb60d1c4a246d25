"""Base class of sources of a stored or computed signal of which one piece at a time is in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.options import SourceOptions, sample_span

__all__ = ["PieceSource"]

Floats = NDArray[np.float64]


class PieceSource(Source):
    """Cuts pieces into the chunks that are asked for.

    A subclass implements `_load`, sets `name`, `lead` and `fs_hz`, and calls `_begin` when the length is known. It may
    add to `_notices`, which come with the next chunk.
    """

    live = False
    never_blocks = True
    _notices: tuple[Notice, ...] = ()

    def _begin(self, options: SourceOptions, length: int | None) -> None:
        """Select the samples of `options` from a signal of `length` samples, None = endless; see sample_span."""
        self._next, self._stop = sample_span(options, self.fs_hz, length, self.name)
        self.total_samples = None if self._stop is None else self._stop - self._next
        self._piece_first, self._piece = self._next, np.empty(0)

    def _load(self, sample: int) -> tuple[int, Floats]:
        """Return the first sample and the samples, (n,) float64 mV, of a piece that contains `sample`.

        Where `sample` is in a gap, the piece that follows the gap.
        """
        raise NotImplementedError

    def read(self, max_samples: int) -> Chunk:
        """Return the next samples, at most `max_samples`; see Source."""
        if self._stop is not None and self._next >= self._stop:
            raise EndOfStream
        if self._next >= self._piece_first + self._piece.size:
            self._piece_first, self._piece = self._load(self._next)
            self._next = max(self._next, self._piece_first)
            if self._stop is not None and self._next >= self._stop:
                raise EndOfStream
        low = self._next - self._piece_first
        high = low + max(0, max_samples)
        if self._stop is not None:
            high = min(high, self._stop - self._piece_first)
        notices, self._notices = self._notices, ()
        chunk = Chunk(self._next, self._piece[low:high].copy(), notices=notices)
        self._next += chunk.samples.size
        return chunk

    def close(self) -> None:
        """Release the piece in memory."""
        self._piece = np.empty(0)
