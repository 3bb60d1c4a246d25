"""The samples of one notification, as each decoder of this package gives them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_BYTES", "Frame"]

MAX_BYTES: Final = 512  # Bluetooth Core 5.4, vol. 3, part F, 3.2.9: longest value of an attribute


class Frame(NamedTuple):
    """Samples of one notification.

    Attributes:
        values: (n,) float64, n > 0, in the unit of the strap, in order; NaN = no valid sample.
        stamp_s: time of the last sample on the strap's own clock, s; None without time stamps.
        counter: the strap's count of notifications; None without one.
    """

    values: NDArray[np.float64]
    stamp_s: float | None = None
    counter: int | None = None
