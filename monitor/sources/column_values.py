"""What the values of an unnamed column show: a counter or a time, a flag or a held value, or a signal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ENOUGH", "is_held", "is_steady"]

ENOUGH: Final = 20  # values below which nothing is concluded
_STEPS: Final = 0.8  # share of equal steps of a counter: some rows may be garbled or lost
_RISING: Final = 0.9  # share of steps in one direction of a time
_CHANGES: Final = 0.03  # share of changes of a value that is computed now and then, e.g. a heart rate


def is_steady(values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether a column counts or is a time: equal steps (also one that starts again), or steps in one direction only.

    >>> [is_steady(v) for v in ([n % 256 for n in range(99)], [n * 3.9 // 1 for n in range(99)], [0.1, 0.2] * 50)]
    [True, True, False]
    """
    steps = _steps(values)
    if steps.size < ENOUGH:
        return False
    usual = float(np.median(steps))
    if usual != 0 and np.mean(np.abs(steps - usual) <= 1e-6 * abs(usual)) >= _STEPS:
        return True
    moving = steps[steps != 0]
    # Stamps in whole ms repeat at over 1000 rows a second; a value that hardly changes is held, not steady.
    if moving.size < 0.05 * steps.size:
        return False
    return bool(max((moving > 0).mean(), (moving < 0).mean()) >= _RISING)


def is_held(values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether a column is constant, a flag, or changes now and then only.

    >>> [is_held(v) for v in ([0] * 50, [0, 1, 1, 0] * 20, [72] * 80 + [73] * 80 + [75] * 9, list(range(50)))]
    [True, True, True, False]
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size < ENOUGH:
        return False
    return bool(np.unique(numbers).size <= 2 or np.mean(np.diff(numbers) != 0) < _CHANGES)


def _steps(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    return np.diff(numbers[np.isfinite(numbers)])
