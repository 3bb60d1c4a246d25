"""Counts that lost or gained a digit on a noisy line: 512, 52, 514. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["LostDigits"]

_RATIO: Final = 4.0  # a digit more or less changes a count about tenfold; no wave of an ECG does so for one sample
_LEAST: Final = 16.0  # below this a small noise has such ratios
_NAN: Final = float("nan")


class LostDigits:
    """Replaces a count by NaN that is four times larger or smaller than the counts before and after it.

    Only for unsigned counts with the ECG around the middle of the range. Such a count is held until the next one.

    Attributes:
        found: counts replaced so far.
    """

    def __init__(self) -> None:
        self.found = 0
        self._last: float | None = None
        self._held: float | None = None

    def push(self, value: float) -> list[float]:
        """Add a count, NaN = no value; return the counts that are decided now."""
        held, self._held = self._held, None
        out: list[float] = []
        if held is not None:
            if value != value or _differ(held, value):
                self.found += 1
                out.append(_NAN)
            else:
                self._last = held
                out.append(held)
        if value == value and self._last is not None and _differ(self._last, value):
            self._held = value
            return out
        self._last = value if value == value else self._last
        return [*out, value]

    def drop(self) -> None:
        """Forget the held count and the one before it, after a break of the stream."""
        self._held = self._last = None


def _differ(one: float, other: float) -> bool:
    low, high = sorted((one, other))
    return high >= _LEAST and high > _RATIO * low
