"""Wall time for deletions by age: a clock that is set wrong for a moment must not delete anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["STEADY_S", "SteadyClock"]

STEADY_S: Final = 3600.0  # the wall clock must run without a jump for this time
_JUMP_S: Final = 2.0  # corrections by NTP are smaller steps, or slow


class SteadyClock:
    """Compares the wall clock with the monotonic one.

    Args:
        wall: Unix time, s.
        clock: monotonic, s.
    """

    def __init__(self, wall: Callable[[], float], clock: Callable[[], float]) -> None:
        self._wall, self._clock = wall, clock
        self._since_s = clock()
        self._offset_s = wall() - self._since_s

    def unix_s(self) -> float | None:
        """Unix time; None until the wall clock has run without a jump for STEADY_S. Call it every few seconds."""
        now_s, wall_s = self._clock(), self._wall()
        if abs(wall_s - now_s - self._offset_s) > _JUMP_S:
            self._since_s = now_s
        self._offset_s = wall_s - now_s
        return wall_s if now_s - self._since_s >= STEADY_S else None
