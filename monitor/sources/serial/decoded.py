"""What a decoder of a serial format gives, and what it must do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoded", "Decoder"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Samples that a piece of bytes completed.

    Attributes:
        mv: (n,) float64, mV; NaN = leads off or unreadable.
        counters: (n,) int64, 0 to 255, the device's own count of its samples; None where the format has none.
    """

    mv: NDArray[np.float64]
    counters: NDArray[np.int64] | None = None


class Decoder(Protocol):
    """Bytes in, however cut, and samples out; no port, no thread, no time.

    Attributes:
        bad: pieces so far that were no sample: lines, or bytes between packets.
        example: one of them, for a person.
        problem: why this can never become an ECG; empty while it may.
        rails_mv: what the ADC can give, (low, high) mV; None where not known.
    """

    bad: int
    example: str
    problem: str
    rails_mv: tuple[float, float] | None

    def feed(self, data: bytes) -> Decoded:
        """Take the next bytes, any number of them."""

    def restart(self) -> None:
        """The stream was cut: synchronise anew."""
