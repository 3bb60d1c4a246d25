"""What was given up of a topic because nobody answered in time, and is given late when somebody does.

Late means out of order. So a message of an alarm that has since said something newer is left out: who keeps the
state of alarms by what came last is never put back.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.client.ordering import HELD_MAX, Item
from monitor.client.pending_request import PendingRequest
from monitor.client.positions import Place
from monitor.messages import AlarmMessage, Request

__all__ = ["Backfill"]


class Backfill:
    """A stretch of one topic.

    Args:
        place: the last message before it.

    Attributes:
        place: as given, later the last message that was asked for.
        question: the journal is asked until it answers; nothing waits for it.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.question = PendingRequest()
        self._given: set[tuple[str, int]] = set()
        self._newest: dict[tuple[str, str], int] = {}  # (epoch, alarm_id) -> last seq given

    def request(self, topic: str) -> Request:
        """What to ask."""
        return Request(op="since", topic=topic, epoch=self.place.epoch, seq=self.place.seq)

    def passed(self, items: Iterable[Item]) -> bool:
        """Note what was given since; False where it is too much to remember."""
        for body, _ in items:
            self._given.add((body.epoch, body.seq))
            if isinstance(body, AlarmMessage):
                self._newest[body.epoch, body.alarm.alarm_id] = body.seq
        return len(self._given) <= HELD_MAX

    def late(self, items: Iterable[Item], epoch: str, seq: int) -> list[Item]:
        """What may be given late.

        Args:
            items: the journal's answer, in order.
            epoch, seq: the position of the topic, in the run that answered: what follows it is not late.
        """
        out: list[Item] = []
        for body, raw in items:
            if (body.epoch, body.seq) in self._given or (body.epoch == epoch and body.seq > seq):
                continue
            if isinstance(body, AlarmMessage) and body.seq < self._newest.get((body.epoch, body.alarm.alarm_id), 0):
                continue
            out.append((body, raw))
        return out

    def after(self, place: Place) -> Backfill:
        """The rest, where an answer was cut short."""
        rest = Backfill(place)
        rest._given, rest._newest = self._given, self._newest
        return rest
