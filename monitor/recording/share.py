"""A bed's share of the disk: what a live source may write, so that one that floods leaves room for the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.token_bucket import TokenBucket

__all__ = ["DiskShare", "bytes_per_s"]

_BURST_BYTES: Final = 64 << 20
_AGAIN_BYTES: Final = 1 << 20  # room that must be there before writing starts again
_RESULTS_BYTES_S: Final = 8_000.0  # beats, alarms and events of a bed in a bad hour


def bytes_per_s(samples_per_s: float) -> float:
    """Bytes that a bed may write in a second, on average: twice its signal of 16 bits, and its results."""
    return 2 * 2 * samples_per_s + _RESULTS_BYTES_S


class DiskShare:
    """Limits the bytes that a bed writes.

    Args:
        samples_per_s: of the bed, of all its leads.
        clock: monotonic, s.

    Attributes:
        refused: writes that were refused since the last time that there was room.
    """

    def __init__(self, samples_per_s: float, clock: Callable[[], float]) -> None:
        self.refused = 0
        self._rate = bytes_per_s(samples_per_s)
        self._clock = clock
        self._bucket = TokenBucket(self._rate, _BURST_BYTES, clock())

    @property
    def text(self) -> str:
        """The share in words."""
        return f"{_BURST_BYTES >> 20} MB at once and {self._rate / 1e3:.0f} kB/s"

    def take(self, size: int) -> bool:
        """Whether `size` bytes may be written; counts them."""
        now_s = self._clock()
        least = max(size, _AGAIN_BYTES) if self.refused else size
        if self._bucket.wait_s(now_s, least) > 0.0:
            self.refused += 1
            return False
        self._bucket.take(now_s, size)
        self.refused = 0
        return True
