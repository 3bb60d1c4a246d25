"""Queue of beds by due time."""

from __future__ import annotations

import heapq
from typing import Final

from monitor.engine.pacing import LOOP_S

__all__ = ["TURN_BEDS", "DueQueue"]

TURN_BEDS: Final = 128  # most beds in one turn, before requests are served and beats scored


class DueQueue:
    """Beds ordered by the time at which they are due.

    Attributes:
        late_s: largest delay among the beds returned by the last `take`, s.
    """

    def __init__(self) -> None:
        self.late_s = 0.0
        self._queue: list[tuple[float, int, str]] = []
        self._put = 0  # beds with the same due time are taken in the order of `put`

    def put(self, bed: str, due_s: float) -> None:
        """Enter a bed."""
        self._put += 1
        heapq.heappush(self._queue, (due_s, self._put, bed))

    def take(self, now_s: float, most: int = TURN_BEDS) -> list[str]:
        """Remove and return the beds that are due, longest delay first."""
        due: list[str] = []
        self.late_s = 0.0
        while self._queue and self._queue[0][0] <= now_s and len(due) < most:
            due_s, _, bed = heapq.heappop(self._queue)
            self.late_s = max(self.late_s, now_s - due_s)
            due.append(bed)
        return due

    def wait_s(self, now_s: float) -> float:
        """Time until a bed is due, s; at most LOOP_S, because subscribers and requests are served as well."""
        return min(LOOP_S, max(0.0, self._queue[0][0] - now_s)) if self._queue else LOOP_S
