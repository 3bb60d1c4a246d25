"""Token buckets: how often a page or an address may ask for something."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

__all__ = ["Bucket", "Buckets"]


class Bucket:
    """Permits `burst` events at once and `per_s` events per second for long.

    Args:
        per_s: rate, 1/s.
        burst: events.
        clock: monotonic, s.
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = self._left = burst
        self._clock = clock
        self._filled_s = clock()

    def take(self) -> float:
        """Count an event; returns 0 if it may happen now, else the time to wait for, s; then it is not counted."""
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        if self._left < 1.0:
            return (1.0 - self._left) / self._per_s
        self._left -= 1.0
        return 0.0


class Buckets:
    """A bucket for each key; at most `size`: the one used longest ago is forgotten first."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float], size: int = 1_000) -> None:
        self._limits = per_s, burst, clock
        self._size = size
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def take(self, key: Hashable) -> float:
        """As `Bucket.take` of the bucket of `key`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(*self._limits)
            if len(self._buckets) > self._size:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take()
