"""Recovery of a subscriber: messages and replies in; messages, each once and in order, and requests out.

Pure: `monitor.client.client` passes in what its sockets receive and sends the requests. Missing messages are found by
`seq`, by the `seqs` of a heartbeat (for silent topics) and by a new `epoch`. Later messages are held back while the
journal is asked (`since`). Only the alarms socket decides which run of the monitor is the present one: a reply of
another run is requested again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from monitor.client.ordering import HELD_MAX, PAST_EPOCHS, Received
from monitor.client.positions import Place, Position
from monitor.client.selection import TopicSelection
from monitor.client.topic_recovery import PendingRequest, Send, TopicRecovery, decoded_items, is_refused
from monitor.messages import (
    AlarmMessage,
    BeatMessage,
    EventMessage,
    HeartbeatMessage,
    Message,
    Reply,
    StatusMessage,
    Stream,
    bed_topic,
)

__all__ = ["Recovery"]


class _Joining:
    """Messages received before the snapshot, and the request for the snapshot."""

    def __init__(self) -> None:
        self.pending = PendingRequest()
        self.early: list[Received] = []

    def hold(self, received: Received) -> None:
        self.early.append(received)
        del self.early[:-HELD_MAX]

    def last_values(self, epoch: str, heartbeat: HeartbeatMessage | None) -> tuple[list[Received], dict[str, int]]:
        """The last values that the alarms socket sent to this new subscriber, and the `seqs` that they reach."""
        early = [item for item in self.early if item[1].epoch == epoch]
        seqs = dict(heartbeat.seqs) if heartbeat is not None else {}
        if not seqs:
            for name, body, _ in early:
                seqs[name] = max(body.seq, seqs.get(name, 0))
        values = {(name, body.seq): (name, body, raw) for name, body, raw in early if body.seq <= seqs.get(name, 0)}
        return [values[key] for key in sorted(values)], seqs


class Recovery:
    """The state of one subscriber.

    Args:
        beds, streams, patience_s: see `monitor.client.client.AlarmClient`.
        position: of an earlier subscriber; None = begin with a snapshot.

    Attributes:
        epoch: run of the monitor; empty before the first message.
        counters: see `monitor.client.client.AlarmClient`.

    Many attributes: the position of the whole subscriber needs its topics, its runs and the snapshot together.
    """

    def __init__(
        self,
        *,
        beds: Collection[str] | None,
        streams: Collection[Stream],
        patience_s: float,
        position: Position | None = None,
    ) -> None:
        self.epoch = ""
        self.counters: Counter[str] = Counter()
        self._selection = TopicSelection(beds, streams)
        self._patience_s = patience_s
        self._topics: dict[str, TopicRecovery] = {}
        self._active: set[str] = set()  # holds every topic that is not idle, perhaps idle ones too
        self._known_beds: tuple[str, ...] = ()
        self._past: list[str] = []
        self._first_epoch = ""  # run in which reading began: a topic that is new to us is read from its start
        self._joining: _Joining | None = _Joining()  # None = joined
        self._heartbeat: HeartbeatMessage | None = None
        self._updated_s: float | None = None
        self._unchecked: Mapping[str, Place] = {}  # places of `position` that may be beyond what the run has published
        if position is not None:
            self._unchecked = position.topics
            self._joining, self._first_epoch = None, position.epoch
            for name, place in position.topics.items():
                if self.wanted(name):
                    self._topics[name] = TopicRecovery(name, place, self.counters)

    @property
    def position(self) -> Position | None:
        """Position up to which everything was given out; None before joining. Skipped messages count as not read."""
        if self._joining is not None or not self._first_epoch:
            return None
        return Position(self._first_epoch, {name: topic.place for name, topic in self._topics.items()})

    def wanted(self, topic: str) -> bool:
        """Whether a topic is kept in order. The heartbeat is not: only the newest counts."""
        return topic in self._selection

    def set_extra_topics(self, topics: Mapping[str, int]) -> None:
        """Follow only these topics (-> number of past messages wanted first) besides those of the streams."""
        unwanted, new = self._selection.set_extra(topics)
        for name in unwanted:
            self._topics.pop(name, None)
        for name in new:
            if name not in self._topics and self._joining is None and self.epoch:
                known = self._heartbeat is not None and self._heartbeat.epoch == self.epoch
                seq = self._heartbeat.seqs.get(name, 0) if self._heartbeat is not None and known else 0
                self._begin_topic(name, seq)
                self._active.add(name)

    def follow(self, epoch: str) -> bool:
        """Note the run of a message on the alarms socket; False if this run is over."""
        if epoch in self._past:
            return False
        if epoch != self.epoch:
            if self.epoch:
                self._past = [*self._past[1 - PAST_EPOCHS :], self.epoch]
            self.epoch = epoch
            self._heartbeat = None
            for topic in self._topics.values():  # the journal has the last messages of the run before
                topic.order.expect(epoch, 0)
            self._active.update(self._topics)
        return True

    def accept(self, name: str, body: Message, raw: bytes) -> list[Received]:
        """Take a message of a wanted topic, of the present run."""
        if self._joining is not None:
            self._joining.hold((name, body, raw))
            return []
        topic = self._topic(name)
        received = topic.accept(body, raw)
        if topic.order.hole:
            self._active.add(name)
        return received

    def accept_heartbeat(self, body: HeartbeatMessage) -> None:
        """Take the beds and the `seqs` of a heartbeat."""
        first, self._heartbeat = self._heartbeat is None, body
        if self._joining is not None:
            return
        if not first:  # the first may be older than the position: the monitor keeps the last one for new subscribers
            self._check_places(body)
        if body.beds != self._known_beds:
            self._known_beds = body.beds
            # Also topics without a message yet: their first message may have been lost with the run that sent it.
            for name in self._selection.topics_of(body.beds):
                self._topic(name)
        for name, seq in body.seqs.items():
            if self.wanted(name):
                order = self._topic(name).order
                order.expect(body.epoch, seq)
                if order.hole:
                    self._active.add(name)

    def _check_places(self, body: HeartbeatMessage) -> None:
        """Read a topic from the start of the run if the position is beyond it: all messages would count as read."""
        for name, place in self._unchecked.items():
            if name in self._topics and place.epoch == body.epoch and place.seq > body.seqs.get(name, 0):
                self.counters["ahead"] += 1
                self._topics[name] = TopicRecovery(name, Place(body.epoch, 0), self.counters)
        self._unchecked = {}

    def update(self, now_s: float, send: Send) -> list[Received]:
        """Send the requests that are due; skip missing messages after `patience_s` without an answer."""
        step_s = 0.0 if self._updated_s is None else now_s - self._updated_s
        self._updated_s = now_s
        out: list[Received] = []
        if self._joining is not None and self.epoch:
            request = self._selection.snapshot_request
            if self._joining.pending.update(now_s, step_s, lambda: send(request)) >= self._patience_s:
                out += self._join_without_snapshot(self._joining)
        for name in [*self._active]:
            topic = self._topics.get(name)
            if topic is not None:
                out += topic.update(now_s, step_s, self._patience_s, self.epoch, send)
            if topic is None or topic.idle:
                self._active.remove(name)
        return out

    def accept_reply(self, reply: Reply) -> list[Received]:
        """Take a reply; one that answers none of the requests is ignored.

        Raises:
            ValueError: its `data` is malformed.
        """
        if reply.epoch != self.epoch:
            return []
        if self._joining is not None:
            pending = self._joining.pending
            if not pending.matches(reply.id) or is_refused(reply, pending, self.counters):
                return []
            return self._join_with_snapshot(self._joining, reply)
        for topic in self._topics.values():
            if (received := topic.accept_reply(reply)) is not None:
                return received
        return []

    def _join_with_snapshot(self, joining: _Joining, reply: Reply) -> list[Received]:
        """Begin with the snapshot, then the messages after it."""
        if not reply.ok or "seqs" not in reply.data:  # no such bed
            return self._join_without_snapshot(joining)
        seqs = msgspec.convert(reply.data["seqs"], dict[str, int])
        self.counters["snapshots"] += 1
        out: list[Received] = []
        for body, raw in decoded_items(reply, self.counters):
            topic = _topic_of(body)
            # The journal gives the past of the extra topics.
            if topic and self.wanted(topic) and topic not in self._selection.extra:
                out.append((topic, body, raw))
        return out + self._join(joining, seqs)

    def _join_without_snapshot(self, joining: _Joining) -> list[Received]:
        """Begin with the last values that the alarms socket sent."""
        values, seqs = joining.last_values(self.epoch, self._heartbeat)
        return values + self._join(joining, seqs)

    def _join(self, joining: _Joining, seqs: Mapping[str, int]) -> list[Received]:
        """Begin after `seqs`; returns the messages received since."""
        self._joining, self._first_epoch = None, self.epoch
        for name, seq in seqs.items():
            if self.wanted(name):
                self._begin_topic(name, seq)
        for name in self._selection.extra:
            self._topic(name)
        self._active.update(self._topics)
        out: list[Received] = []
        for name, body, raw in joining.early:
            if body.epoch == self.epoch:
                out += self._topic(name).accept(body, raw)
        return out

    def _begin_topic(self, name: str, seq: int) -> None:
        """Begin a topic after `seq` of the present run; an extra topic begins some messages earlier."""
        place = Place(self.epoch, max(0, seq - self._selection.extra.get(name, 0)))
        topic = self._topics[name] = TopicRecovery(name, place, self.counters)
        topic.order.expect(self.epoch, seq)

    def _topic(self, name: str) -> TopicRecovery:
        """Return a topic; a new one begins with the run in which reading began."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = TopicRecovery(name, Place(self._first_epoch, 0), self.counters)
            topic.order.expect(self.epoch, 0)
            self._active.add(name)
        return topic


def _topic_of(body: Message) -> str:
    """Topic of a message in a snapshot, which does not name it; empty for other messages."""
    match body:
        case AlarmMessage():
            return bed_topic(body.alarm.bed, "alarm")
        case BeatMessage():
            return bed_topic(body.bed, "beat")
        case StatusMessage():
            return bed_topic(body.bed, "status")
        case EventMessage():
            return bed_topic(body.bed, "event")
        case _:
            return ""
