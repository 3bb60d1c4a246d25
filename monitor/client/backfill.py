"""Messages of one topic that were skipped because the journal did not answer in time, and that are requested later.

They come out of order. A message of an alarm is left out if a newer message of the same alarm was given before, so the
last message of an alarm that a subscriber receives is always the newest.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.client.ordering import HELD_MAX, Item
from monitor.client.pending_request import PendingRequest
from monitor.client.positions import Place
from monitor.messages import AlarmMessage, Request

__all__ = ["Backfill"]


class Backfill:
    """A skipped part of one topic.

    Args:
        place: the last message before it.

    Attributes:
        place: the last message before what is still missing.
        pending: the request for it, repeated until the journal answers.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pending = PendingRequest()
        self._given: set[tuple[str, int]] = set()
        self._newest: dict[tuple[str, str], int] = {}  # (epoch, alarm_id) -> last seq given

    def request(self, topic: str) -> Request:
        """Return the request for what is missing."""
        return Request(op="since", topic=topic, epoch=self.place.epoch, seq=self.place.seq)

    def note(self, items: Iterable[Item]) -> bool:
        """Note messages given since; False if they are too many to remember, so the part stays missed."""
        for body, _ in items:
            self._given.add((body.epoch, body.seq))
            if isinstance(body, AlarmMessage):
                self._newest[body.epoch, body.alarm.alarm_id] = body.seq
        return len(self._given) <= HELD_MAX

    def select(self, items: Iterable[Item], epoch: str, seq: int) -> list[Item]:
        """Select the skipped messages from an answer of the journal.

        Args:
            items: the answer, in order.
            epoch, seq: the position of the topic; later messages of that run are not part of the backfill.
        """
        out: list[Item] = []
        for body, raw in items:
            if (body.epoch, body.seq) in self._given or (body.epoch == epoch and body.seq > seq):
                continue
            if isinstance(body, AlarmMessage) and body.seq < self._newest.get((body.epoch, body.alarm.alarm_id), 0):
                continue
            out.append((body, raw))
        return out

    def advance(self, place: Place) -> None:
        """Continue after `place`: the answer of the journal was cut short there."""
        self.place = place
        self.pending = PendingRequest()
