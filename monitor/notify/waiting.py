"""Alarms that wait for one receiver: which is next, when it is tried again, and what is given up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from monitor.alarm_state import PRIORITY_RANK
from monitor.messages import AlarmMessage
from monitor.token_bucket import TokenBucket

__all__ = ["Item", "Waiting"]

BACK_OFF_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # after consecutive failures of the receiver
MOST_WAITING: Final = 200  # alarms; more are given up, the lowest priority first


@dataclass(slots=True, eq=False)
class Item:
    """One alarm message on its way.

    Attributes:
        raw: JSON, as published.
        since_s: when it was added, monotonic s.
        tries: failed attempts.
    """

    message: AlarmMessage
    raw: bytes
    since_s: float
    tries: int = 0

    @property
    def rank(self) -> int:
        """Rank of the priority; higher = more urgent."""
        return PRIORITY_RANK[self.message.alarm.priority]

    @property
    def place(self) -> tuple[str, str]:
        """Bed and kind."""
        return self.message.alarm.bed, self.message.alarm.kind


class Waiting:
    """Alarms that wait for one receiver.

    A new alarm is tried at once, also while the receiver is down; the others wait for the end of the back-off. Among
    those due, the highest priority with the fewest attempts is first. So an alarm that the receiver never accepts
    delays no other.

    Args:
        per_minute: attempts per minute of new alarms. Above it, high alarms wait and others are given up.
        retry_s: an alarm that could not be delivered for this time is given up, s.
        newest_only: the receiver has states: a message replaces a waiting one of the same kind at the same bed.

    Attributes:
        items: waiting alarms, oldest first; at most MOST_WAITING.
        given_up: alarms that will not be delivered, since `take_given_up`.
    """

    def __init__(self, per_minute: int, retry_s: float, *, newest_only: bool = False) -> None:
        self._newest_only = newest_only
        self._retry_s = retry_s
        self._attempts = TokenBucket(per_minute / 60.0, per_minute, 0.0)  # of new alarms
        self._failures = 0  # consecutive
        self._due_s = 0.0
        self.items: list[Item] = []
        self.given_up: list[Item] = []

    def add(self, items: Iterable[Item]) -> None:
        """Add alarms; if there are too many, give up the oldest of the lowest priority."""
        for item in items:
            if self._newest_only:
                self.items = [other for other in self.items if other.place != item.place]
            self.items.append(item)
        while len(self.items) > MOST_WAITING:
            self._give_up(min(self.items, key=lambda item: item.rank))  # the first of them is the oldest

    def next(self, now_s: float) -> Item | None:
        """The alarm to deliver now; call `delivered` or `failed` with it."""
        for item in [item for item in self.items if item.tries and now_s - item.since_s > self._retry_s]:
            self._give_up(item)
        fresh = [item for item in self.items if not item.tries]
        while fresh:
            item = max(fresh, key=lambda item: item.rank)
            if self._attempts.take(now_s) == 0.0:
                return item
            fresh.remove(item)
            if item.rank < PRIORITY_RANK["high"]:
                self._give_up(item)
        due = [item for item in self.items if item.tries] if now_s >= self._due_s else []
        return min(due, key=lambda item: (-item.rank, item.tries), default=None)

    def delivered(self, item: Item) -> bool:
        """The receiver took it; whether it had failed before."""
        self.items.remove(item)
        failed, self._failures, self._due_s = self._failures > 0, 0, 0.0
        return failed

    def failed(self, item: Item, now_s: float, *, final: bool) -> bool:
        """The receiver did not take it, `final`: and never will; whether this is the first failure in a row."""
        item.tries += 1
        if final:
            self._give_up(item)
        self._due_s = now_s + BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        return self._failures == 1

    def take_given_up(self) -> list[Item]:
        """The alarms given up since the last call."""
        taken, self.given_up = self.given_up, []
        return taken

    def _give_up(self, item: Item) -> None:
        self.items.remove(item)
        self.given_up.append(item)
