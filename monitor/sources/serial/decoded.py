"""What a decoder of a serial device gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoded"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Samples completed by a piece of bytes.

    Attributes:
        mv: (n,) float64, mV, or (n, 2) of two leads; NaN = leads off or unreadable.
        counters: (n,) int64, 0 to 255, the device's counter of its samples; None if the format has none.
    """

    mv: NDArray[np.float64]
    counters: NDArray[np.int64] | None = None
