"""How often an address may ask for something."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from monitor.token_bucket import TokenBucket

__all__ = ["Buckets"]


class Buckets:
    """A bucket for each key; at most `size`: the one used longest ago is forgotten first."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float], size: int = 1_000) -> None:
        self._limits = per_s, burst
        self._clock = clock
        self._size = size
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def take(self, key: Hashable) -> float:
        """As `TokenBucket.take` of the bucket of `key`."""
        now_s = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(*self._limits, now_s)
            if len(self._buckets) > self._size:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now_s)
