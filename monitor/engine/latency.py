"""How long results waited for: from when their deciding sample came, or was due, until they are told."""

from __future__ import annotations

from collections import deque

import numpy as np

__all__ = ["Arrivals", "LatencyPercentiles"]

_PIECES = 512  # some 10 s: a beat is decided by one of the last
_BEATS = 1000  # that the percentiles are over
_FRESH_BEATS = 10  # so often they are computed anew: it costs more than a beat


class Arrivals:
    """When the last pieces of a live source came."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, float]] = deque(maxlen=_PIECES)  # (end sample, arrival)

    def put(self, end_sample: int, arrival_s: float) -> None:
        """A piece came; by the clock, s."""
        self._pieces.append((end_sample, arrival_s))

    def of(self, sample: int) -> float | None:
        """When the piece came after which all samples before `sample` were there, s; None where it has not."""
        arrived_s = None
        for end, arrival_s in reversed(self._pieces):  # it came with one of the last pieces
            if end < sample:
                break
            arrived_s = arrival_s
        return arrived_s


class LatencyPercentiles:
    """p50 and p99 over the last thousand beats, ms."""

    def __init__(self) -> None:
        self._ring = np.empty(_BEATS, np.float32)  # ms
        self._count = 0
        self._computed = 0  # of so many
        self._percentiles: tuple[float | None, float | None] = (None, None)

    def put(self, latency_ms: float) -> None:
        """A beat was told."""
        self._ring[self._count % _BEATS] = latency_ms
        self._count += 1

    @property
    def p50_p99_ms(self) -> tuple[float | None, float | None]:
        """Both, at most ten beats old; None before the first beat."""
        if self._count - self._computed >= (_FRESH_BEATS if self._computed else 1):
            p50, p99 = np.quantile(self._ring[: self._count], (0.5, 0.99))
            self._computed, self._percentiles = self._count, (round(float(p50), 2), round(float(p99), 2))
        return self._percentiles
