"""Recovery of one topic: its order, the request for missing messages, and the backfill of skipped ones."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from monitor.client.ordering import HELD_MAX, Item, Received, TopicOrder
from monitor.client.positions import Place
from monitor.messages import AlarmMessage, Message, Reply, Request, Stream, decode, register_types

__all__ = ["PendingRequest", "Send", "TopicRecovery", "decoded_items", "is_refused"]

RETRY_S = 1.0  # a request without a reply is sent again after this time
IDS_MAX = 32  # attempts whose reply is still accepted
BACKFILLED: Final[frozenset[Stream]] = frozenset(("alarm", "event"))  # streams that are requested after being skipped

Send = Callable[[Request], str]
"""Sends a request; returns its id, or "" if the monitor is not connected."""


class _Reached(msgspec.Struct):
    """`data` of the reply to `since`: the position that it reaches."""

    epoch: str
    seq: int
    more: bool = False


register_types(_Reached)


class PendingRequest:
    """The attempts of one request, and the time without a reply.

    A reply to any attempt is accepted. Over a slow connection every reply takes longer than `RETRY_S`.
    """

    def __init__(self) -> None:
        self._ids: deque[str] = deque(maxlen=IDS_MAX)
        self._sent_s = -math.inf
        self._retry_s = RETRY_S
        self._waited_s: float | None = None

    def postpone(self, retry_after_s: float) -> None:
        """The monitor limits our rate: send again after this time, s, and restart the wait, because it does answer."""
        self._retry_s = max(RETRY_S, retry_after_s)
        self._waited_s = 0.0

    def update(self, now_s: float, step_s: float, send: Callable[[], str]) -> float:
        """Send the request if it is due; returns the time without a reply, s.

        Args:
            now_s: monotonic time, s.
            step_s: time since replies were last read, s. A longer step counts as `RETRY_S`, because a program that
                was itself suspended did not wait for the reply.
            send: returns the id of the request, or "" if it cannot be sent now.
        """
        self._waited_s = 0.0 if self._waited_s is None else self._waited_s + min(step_s, RETRY_S)
        if now_s - self._sent_s >= self._retry_s and (sent := send()):
            self._ids.append(sent)
            self._sent_s, self._retry_s = now_s, RETRY_S
        return self._waited_s

    def matches(self, reply_id: str) -> bool:
        """Whether a reply answers one of the attempts."""
        return reply_id in self._ids


class Backfill:
    """A part of one topic that was skipped because the journal did not answer in time, and that is requested later.

    Its messages come out of order. A message of an alarm is left out if a newer message of the same alarm was given
    before, so the last message of an alarm that a subscriber receives is always the newest.

    Args:
        place: the last message before what is still missing.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pending = PendingRequest()  # repeated until the journal answers
        self._given: set[tuple[str, int]] = set()
        self._newest: dict[tuple[str, str], int] = {}  # (epoch, alarm_id) -> last seq given

    def note(self, items: Iterable[Item]) -> bool:
        """Note messages given since; False if they are too many to remember, so the part stays missed."""
        for body, _ in items:
            self._given.add((body.epoch, body.seq))
            if isinstance(body, AlarmMessage):
                self._newest[body.epoch, body.alarm.alarm_id] = body.seq
        return len(self._given) <= HELD_MAX

    def select(self, items: Iterable[Item], epoch: str, seq: int) -> list[Item]:
        """Select the skipped messages from an answer of the journal; (`epoch`, `seq`): the position of the topic."""
        out: list[Item] = []
        for body, raw in items:
            if (body.epoch, body.seq) in self._given or (body.epoch == epoch and body.seq > seq):
                continue
            if isinstance(body, AlarmMessage) and body.seq < self._newest.get((body.epoch, body.alarm.alarm_id), 0):
                continue
            out.append((body, raw))
        return out


class TopicRecovery:
    """One topic.

    Args:
        name: topic.
        place: the last message before the first one to give out.
        counters: of the client: missed, recovered, incomplete, refused, late, undecodable.

    Attributes:
        order: of its messages.
    """

    def __init__(self, name: str, place: Place, counters: Counter[str]) -> None:
        self.order = TopicOrder(place.epoch, place.seq, counters)
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
        """Request what is missing; skip it after `patience_s` without an answer, and return what was held back.

        `epoch` is the present run of the monitor; for `now_s` and `step_s` see PendingRequest.update.
        """
        order = self.order
        if order.hole:
            request = Request(op="since", topic=self._name, epoch=order.epoch, seq=order.seq)
            if self._pending.update(now_s, step_s, lambda: send(request)) >= patience_s:
                return self._skip(epoch)
            return []
        self._pending = PendingRequest()
        if self._backfill is not None:
            place = self._backfill.place
            late_request = Request(op="since", topic=self._name, epoch=place.epoch, seq=place.seq)
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
            backfill.place, backfill.pending = Place(reached.epoch, reached.seq), PendingRequest()
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
