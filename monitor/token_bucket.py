"""A token bucket: a limit of a mean rate, with a burst. Pure: the caller gives the time."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Permits `burst` at once and `per_s` per second for long; begins full.

    Args:
        per_s: rate, e.g. events or bytes per second.
        burst: the most that can be taken at once.
        now_s: monotonic, s.
    """

    __slots__ = ("_burst", "_filled_s", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        self._per_s = per_s
        self._burst = self._left = burst
        self._filled_s = now_s

    def wait_s(self, now_s: float, amount: float = 1.0) -> float:
        """Time until `amount` can be taken, s; 0 = now. Takes nothing."""
        self._left = min(self._burst, self._left + max(0.0, now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        return max(0.0, (amount - self._left) / self._per_s)

    def take(self, now_s: float, amount: float = 1.0) -> float:
        """Take `amount` and return 0; or take nothing and return the time to wait for it, s."""
        wait_s = self.wait_s(now_s, amount)
        if wait_s == 0.0:
            self._left -= amount
        return wait_s

    def spend(self, now_s: float, amount: float) -> bool:
        """Take `amount`, also where there is less: that is made up for later. Returns whether there was enough."""
        enough = self.wait_s(now_s, amount) == 0.0
        self._left -= amount
        return enough
