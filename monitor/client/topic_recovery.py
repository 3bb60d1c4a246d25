"""Recovery of one topic: its order, the request for missing messages, and the backfill of skipped ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from monitor.client.backfill import Backfill
from monitor.client.ordering import Item, Received, TopicOrder
from monitor.client.pending_request import PendingRequest
from monitor.client.positions import Place
from monitor.messages import Message, Reply, Request, Stream, decode, register_types

__all__ = ["Send", "TopicRecovery", "decoded_items", "is_refused"]

BACKFILLED: Final[frozenset[Stream]] = frozenset(("alarm", "event"))  # streams that are requested after being skipped

Send = Callable[[Request], str]
"""Sends a request; returns its id, or "" if the monitor is not connected."""


class _Reached(msgspec.Struct):
    """`data` of the reply to `since`: the position that it reaches."""

    epoch: str
    seq: int
    more: bool = False


register_types(_Reached)


class TopicRecovery:
    """One topic.

    Args:
        name: topic.
        place: the last message before the first one to give out.
        counters: of the client: incomplete, refused, late, undecodable.

    Attributes:
        order: of its messages.
    """

    def __init__(self, name: str, place: Place, counters: Counter[str]) -> None:
        self.order = TopicOrder(place.epoch, place.seq)
        self._name = name
        self._counters = counters
        self._pending = PendingRequest()
        self._backfill: Backfill | None = None

    @property
    def place(self) -> Place:
        """The last message before which nothing is missing; skipped messages count as missing."""
        return Place(self.order.epoch, self.order.seq) if self._backfill is None else self._backfill.place

    @property
    def idle(self) -> bool:
        """Whether nothing is to be requested."""
        return not self.order.hole and self._backfill is None

    def accept(self, body: Message, raw: bytes) -> list[Received]:
        """Take a message from the wire; returns the messages that can be given out now."""
        return self._given(self.order.accept(body, raw))

    def update(self, now_s: float, step_s: float, patience_s: float, epoch: str, send: Send) -> list[Received]:
        """Request what is missing; skip it after `patience_s` without an answer.

        Args:
            now_s: monotonic time, s.
            step_s: see PendingRequest.update.
            patience_s: s.
            epoch: the present run of the monitor.
            send: sends a request.

        Returns:
            The messages that were held back, if missing ones were skipped.
        """
        order = self.order
        if order.hole:
            request = Request(op="since", topic=self._name, epoch=order.epoch, seq=order.seq)
            if self._pending.update(now_s, step_s, lambda: send(request)) >= patience_s:
                return self._skip(epoch)
            return []
        if self._pending.started:
            self._pending = PendingRequest()
        if self._backfill is not None:
            late_request = self._backfill.request(self._name)
            self._backfill.pending.update(now_s, step_s, lambda: send(late_request))
        return []

    def accept_reply(self, reply: Reply) -> list[Received] | None:
        """Take a reply; returns the messages that can be given out now, or None if it is not for this topic.

        Raises:
            ValueError: its `data` is malformed.
        """
        if self._pending.matches(reply.id):
            return self._fill(reply)
        if self._backfill is not None and self._backfill.pending.matches(reply.id) and not self.order.hole:
            return self._fill_late(reply, self._backfill)
        return None

    def _fill(self, reply: Reply) -> list[Received]:
        if is_refused(reply, self._pending, self._counters) or not reply.ok:
            return []  # an error: the journal cannot be read, so the request is repeated until the patience ends
        reached = msgspec.convert(reply.data, _Reached)
        self._counters["incomplete"] += not reply.complete
        before = (self.order.epoch, self.order.seq)
        items = decoded_items(reply, self._counters)
        items = self.order.fill(items, reached.epoch, reached.seq, more=reached.more)
        if before != (self.order.epoch, self.order.seq):  # progress: request the rest at once, and restart the wait
            self._pending = PendingRequest()
        return self._given(items)

    def _skip(self, epoch: str) -> list[Received]:
        """Give out what was held back; request the skipped alarms and events later."""
        place = Place(self.order.epoch, self.order.seq)
        self._pending = PendingRequest()
        items = self.order.give_up(epoch)
        if self._backfill is None and self._name.rstrip("/").rpartition("/")[2] in BACKFILLED:
            self._backfill = Backfill(place)
        return self._given(items)

    def _fill_late(self, reply: Reply, backfill: Backfill) -> list[Received]:
        if is_refused(reply, backfill.pending, self._counters) or not reply.ok:
            return []
        reached = msgspec.convert(reply.data, _Reached)
        self._counters["incomplete"] += not reply.complete
        items = backfill.select(decoded_items(reply, self._counters), self.order.epoch, self.order.seq)
        self._counters["late"] += len(items)
        if reached.more:
            backfill.advance(Place(reached.epoch, reached.seq))
        else:
            self._backfill = None
        return [(self._name, body, raw) for body, raw in items]

    def _given(self, items: list[Item]) -> list[Received]:
        if self._backfill is not None and not self._backfill.note(items):
            self._backfill = None  # too long ago: it stays missed
        return [(self._name, body, raw) for body, raw in items]


def decoded_items(reply: Reply, counters: Counter[str]) -> list[Item]:
    """Decode the messages of a reply; counts and leaves out unknown ones, as on the wire."""
    items: list[Item] = []
    for raw in reply.messages:
        try:
            items.append((decode(raw), bytes(raw)))
        except ValueError:
            counters["undecodable"] += 1
    return items


def is_refused(reply: Reply, pending: PendingRequest, counters: Counter[str]) -> bool:
    """Count an error reply; True if the monitor limits our rate, then the request is postponed."""
    counters["refused"] += not reply.ok
    if reply.ok or "retry_after_s" not in reply.data:
        return False
    pending.postpone(msgspec.convert(reply.data["retry_after_s"], float))
    return True
