"""What the pacing pulses of one patient have in common: their area, and the tail that they leave."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

__all__ = ["KnownPulses"]

_NEWEST: Final = 32  # of both chambers
_ALIKE: Final = 0.2  # difference of two areas, of the larger one: noise, and a QRS under the pulse
_FEWEST: Final = 3  # alike
_HIGHER: Final = 1.5  # a tail, than the usual one


class KnownPulses:
    """The newest pulses of a patient.

    The area under a pulse is the same wherever the samples fall, so a spike with the area of known pulses is a pulse,
    although its samples alone do not show it.
    """

    def __init__(self) -> None:
        self._pulses: deque[tuple[float, float, int]] = deque(maxlen=_NEWEST)

    def __bool__(self) -> bool:
        return len(self._pulses) >= _FEWEST

    def __contains__(self, area: float) -> bool:
        """Whether a spike with this area, mV times samples, is like three known pulses or more."""
        return len(self._alike(area)) >= _FEWEST

    def add(self, area: float, tail_mv: float, row: int) -> None:
        """Take a pulse; `tail_mv`, `row`: its tail, height 0 where it has none."""
        self._pulses.append((area, tail_mv, row))

    def tail(self, area: float, height_mv: float) -> tuple[float, int]:
        """Usual tail of the known pulses with this area, if it is about as high as `height_mv`; else height 0."""
        alike = self._alike(area)
        tails = [(tail_mv, row) for _, tail_mv, row in alike if tail_mv]
        if len(tails) < _FEWEST:
            return 0.0, 0
        usual_mv = median(tail_mv for tail_mv, _ in tails)
        if not 1 / _HIGHER < height_mv / usual_mv < _HIGHER:
            return 0.0, 0
        return usual_mv, round(median(row for _, row in tails))

    def _alike(self, area: float) -> list[tuple[float, float, int]]:
        if not self:
            return []
        return [each for each in self._pulses if abs(area - each[0]) <= _ALIKE * max(abs(area), abs(each[0]))]
