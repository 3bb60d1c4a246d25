"""Interface of the decoders of serial formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoded", "Decoder"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Samples completed by a piece of bytes.

    Attributes:
        mv: (n,) float64, mV; NaN = leads off or unreadable.
        counters: (n,) int64, 0 to 255, the device's counter of its samples; None if the format has none.
    """

    mv: NDArray[np.float64]
    counters: NDArray[np.int64] | None = None


class Decoder(Protocol):
    """Bytes in, in any pieces, and samples out. Pure.

    Attributes:
        bad: number of lines, or of bytes between packets, that were no sample.
        example: one of them, for the user.
        problem: reason why these bytes can never be an ECG; else empty.
        rails_mv: range of the ADC, (low, high) mV; None if unknown.
    """

    bad: int
    example: str
    problem: str
    rails_mv: tuple[float, float] | None

    def feed(self, data: bytes) -> Decoded:
        """Decode the next bytes, any number of them."""

    def restart(self) -> None:
        """Synchronise again after a break of the stream."""
