"""When which bed is looked at, and what is left out when there is no time for all.

A look costs about the same however many samples it takes, so few beds are looked at often and many as seldom as their
results allow: a replay when the detector's next full second is due, a live source a few times a second.
"""

from __future__ import annotations

import heapq
from typing import Final, Literal

__all__ = ["LOOP_S", "TURN_BEDS", "Schedule", "Thinning", "look_every_s", "piece_s", "stagger_s", "turn_s"]

LOOP_S: Final = 0.02  # of few beds: a sample waits no longer; costs about 2 % of a core
REPLAY_COST_S: Final = 0.005  # a bed; so looks within the second take some 5 % of a core, however many beds there are
LIVE_COST_S: Final = 0.0005  # a bed: a live sample is looked for more often, since it is not known when it comes
STAGGER_S: Final = 0.002  # between the beginnings of two replays, at most
TURN_BEDS: Final = 128  # looked at before requests are served and beats scored
_MOST_S: Final = 1.0
_TURN_COST_S: Final = 0.005  # a bed: the model takes 16 beats in the time of one, so beats wait for each other
_TURN_MOST_S: Final = 0.1
_PIECE_MAX_S: Final = 20.0  # most that is read at once: bounds memory and the time a request waits
_PIECES_S: Final = 200.0  # the same of all beds together

Thinned = Literal["waves", "status"]


def look_every_s(beds: int, *, live: bool) -> float:
    """How often each of so many beds is looked at, s; a replay also when its next full second is due."""
    return min(_MOST_S, max(LOOP_S, beds * (LIVE_COST_S if live else REPLAY_COST_S)))


def turn_s(beds: int) -> float:
    """How long a turn of the loop lasts at least, s."""
    return min(_TURN_MOST_S, beds * _TURN_COST_S)


def piece_s(beds: int) -> float:
    """Most that is read of each of so many beds in one look, s of signal: the share of one that floods, too."""
    return max(1.0, min(_PIECE_MAX_S, _PIECES_S / max(1, beds)))


def stagger_s(number: int, beds: int, speed: float) -> float:
    """How long after the first the replay of bed `number` (from 0) begins, s: their seconds are not one burst."""
    return 0.0 if speed <= 0 else number * min(1.0 / beds, STAGGER_S) / speed


class Schedule:
    """A queue of beds by the time at which they are due.

    Attributes:
        late_s: how late the latest of the beds that were taken last was, s.
    """

    def __init__(self) -> None:
        self.late_s = 0.0
        self._queue: list[tuple[float, int, str]] = []
        self._put = 0  # so that beds due at the same time come in the order in which they were put

    def put(self, bed: str, due_s: float) -> None:
        """A bed is to be looked at then."""
        self._put += 1
        heapq.heappush(self._queue, (due_s, self._put, bed))

    def take(self, now_s: float, most: int = TURN_BEDS) -> list[str]:
        """Beds that are due, those that have waited longest first; each is to be put again."""
        due: list[str] = []
        self.late_s = 0.0
        while self._queue and self._queue[0][0] <= now_s and len(due) < most:
            due_s, _, bed = heapq.heappop(self._queue)
            self.late_s = max(self.late_s, now_s - due_s)
            due.append(bed)
        return due

    def wait_s(self, now_s: float) -> float:
        """How long nothing is due, s; at most LOOP_S, for there are subscribers and requests, too."""
        return min(LOOP_S, max(0.0, self._queue[0][0] - now_s)) if self._queue else LOOP_S


class Thinning:
    """What is only for looking is left out while beds are late: waves first, then most of the status.

    Attributes:
        thinned: what is left out now.
    """

    LATE_S: Final[tuple[tuple[float, Thinned], ...]] = ((0.5, "waves"), (1.0, "status"))
    STEADY_S: Final = 3.0  # so long all beds must have been in time before anything is sent again

    def __init__(self) -> None:
        self.thinned: tuple[Thinned, ...] = ()
        self._late_until_s = float("-inf")

    def look(self, late_s: float, now_s: float) -> bool:
        """How late the latest bed is; whether that changes what is left out."""
        thinned = tuple(what for limit_s, what in self.LATE_S if late_s >= limit_s)
        if late_s >= self.LATE_S[0][0] / 2:
            self._late_until_s = now_s
        if len(thinned) > len(self.thinned) or (
            not thinned and self.thinned and now_s - self._late_until_s >= self.STEADY_S
        ):
            self.thinned = thinned
            return True
        return False
