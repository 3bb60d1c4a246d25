"""Operations for synthetic anomalies: soft transition, interpolated reading, random sign."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["EDGE_S", "ramp", "random_signs", "read_at"]

EDGE_S: Final = 0.012  # width of the transition between two pieces of signal

Array = NDArray[np.float64]


def ramp(time_s: Array, at_s: Array, edge_s: float = EDGE_S) -> Array:
    """0 before `at_s` (n,), 1 after it, logistic in between: (n, samples).

    Args:
        time_s: (samples,) or (1, samples), s.
        at_s: (n,) s.
        edge_s: time from 50 % to 73 % of the height, s.
    """
    over: Array = 1.0 / (1.0 + np.exp(-np.clip((time_s - at_s[:, None]) / edge_s, -60, 60)))
    return over


def read_at(beats: Array, position: Array) -> Array:
    """Values of beats (n, samples) at fractional positions, by linear interpolation; the ends are held."""
    low = np.clip(np.floor(position).astype(np.int64), 0, beats.shape[1] - 2)
    t = np.clip(position - low, 0.0, 1.0)
    read: Array = np.take_along_axis(beats, low, 1) * (1 - t) + np.take_along_axis(beats, low + 1, 1) * t
    return read


def random_signs(rng: np.random.Generator, n: int) -> Array:
    """1 or -1 with equal probability, (n,)."""
    return np.where(rng.random(n) < 0.5, 1.0, -1.0)
