"""Thinning: display data is left out while beds are read late, first waves, then most of the status."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["Thinning"]

Thinned = Literal["waves", "status"]


class Thinning:
    """Decides from the lateness of the beds what is left out.

    Attributes:
        thinned: left out now.
    """

    LATE_S: Final[tuple[tuple[float, Thinned], ...]] = ((0.5, "waves"), (1.0, "status"))
    STEADY_S: Final = 3.0  # all beds must be in time for this long before anything is sent again

    def __init__(self) -> None:
        self.thinned: tuple[Thinned, ...] = ()
        self._late_until_s = float("-inf")

    def update(self, late_s: float, now_s: float) -> bool:
        """Take the delay of the latest bed, s; returns whether `thinned` changed."""
        thinned = tuple(stream for limit_s, stream in self.LATE_S if late_s >= limit_s)
        if late_s >= self.LATE_S[0][0] / 2:
            self._late_until_s = now_s
        if len(thinned) > len(self.thinned) or (
            not thinned and self.thinned and now_s - self._late_until_s >= self.STEADY_S
        ):
            self.thinned = thinned
            return True
        return False
