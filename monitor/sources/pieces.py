"""Chunks of a stored or computed signal of which one piece at a time is in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monitor.sources.base import Chunk, EndOfStream

__all__ = ["PieceReader"]

Floats = NDArray[np.float64]


class PieceReader:
    """Cuts pieces into the chunks that are asked for.

    Args:
        first: first sample to give.
        stop: sample to stop before; None = never.
        load: called with a sample's index; returns the first sample and the samples, mV, of a piece that contains it.

    Attributes:
        next: index of the next sample.
        stop: as given.
    """

    def __init__(self, first: int, stop: int | None, load: Callable[[int], tuple[int, Floats]]) -> None:
        self.next = first
        self.stop = stop
        self._load = load
        self._piece: Floats = np.empty(0)
        self._piece_first = first

    @property
    def left(self) -> int | None:
        """Samples not read yet; None = endless."""
        return None if self.stop is None else self.stop - self.next

    def read(self, max_samples: int) -> Chunk:
        """Return the next samples, at most `max_samples`; see Source."""
        if self.stop is not None and self.next >= self.stop:
            raise EndOfStream
        if self.next >= self._piece_first + self._piece.size:
            self._piece_first, self._piece = self._load(self.next)
        low = self.next - self._piece_first
        high = low + max(0, max_samples)
        if self.stop is not None:
            high = min(high, self.stop - self._piece_first)
        chunk = Chunk(self.next, self._piece[low:high].copy())
        self.next += chunk.samples.size
        return chunk

    def clear(self) -> None:
        """Release the piece in memory."""
        self._piece = np.empty(0)
