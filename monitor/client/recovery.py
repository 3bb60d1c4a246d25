"""What a subscriber has and lacks: messages and replies in; messages, each once and in order, and questions out.

Pure: `monitor.client.client` brings what its sockets receive and sends the requests. Holes are found by `seq`, by
the heartbeat's `seqs` (of topics that are silent) and by a new `epoch`; what came after is held back, the journal is
asked (`since`), and it goes on. The alarms socket alone tells which run is the monitor's now: an answer of another
run is asked for once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.client.backfill import Backfill
from monitor.client.ordering import HELD_MAX, PAST_EPOCHS, Item, TopicOrder
from monitor.client.pending_request import PendingRequest
from monitor.client.positions import Place, Position
from monitor.messages import (
    AlarmMessage,
    BeatMessage,
    EventMessage,
    HeartbeatMessage,
    Message,
    Reply,
    Request,
    StatusMessage,
    Stream,
    bed_topic,
    decode,
    register_types,
)

__all__ = ["Received", "Recovery"]

WANTED_MAX = 50_000  # topics of which it is remembered whether they are wanted

KEPT: Final[frozenset[Stream]] = frozenset(("alarm", "event"))  # what is asked for even after it was given up

Received = tuple[str, Message, bytes]
"""Topic, message, and its bytes as published (of a wave: its samples, see `monitor.client.client.wave_samples`)."""
Ask = Callable[[Request], str]
"""Sends a request; gives its id, or nothing where the monitor is not there."""


class _Reached(msgspec.Struct):
    """`data` of the reply to `since`: how far it goes."""

    epoch: str
    seq: int
    more: bool = False


register_types(_Reached)


@dataclass(slots=True)
class _Topic:
    """A topic: its order, what is asked of it, and what was skipped of it and may still be had."""

    order: TopicOrder
    question: PendingRequest = field(default_factory=PendingRequest)
    skipped: Backfill | None = None


class Recovery:
    """The state of one subscriber.

    Args:
        beds: names; None = all.
        streams: kept in order.
        patience_s: how long messages after a hole are held back while the journal does not answer, s.
        position: given: goes on from there, and takes no snapshot.

    Attributes:
        epoch: of the monitor's run; empty until the first message.
        counters: snapshots, incomplete, refused, late, undecodable; see `monitor.client.client.AlarmClient`.
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
        self._beds = None if beds is None else frozenset(beds)
        self._streams = frozenset(streams)
        self._patience_s = patience_s
        self._topics: dict[str, _Topic] = {}
        self._looked: dict[str, int] = {}  # topic -> how many messages back it begins
        self._wanted: dict[str, bool] = {}
        self._restless: set[str] = set()  # topics with a hole, or of which something was skipped; may have others too
        self._told_beds: tuple[str, ...] = ()
        self._left: Counter[str] = Counter()  # counts of topics that are followed no more
        self._past: list[str] = []
        self._begun = ""  # run in which reading began: a topic we did not know begins there
        self._early: list[Received] | None = []  # until the snapshot is here; None = joined
        self._snapshot = PendingRequest()
        self._heartbeat: HeartbeatMessage | None = None
        self._turned_s: float | None = None
        if position is not None:
            self._early, self._begun = None, position.epoch
            for name, place in position.topics.items():
                if self.wanted(name):
                    self._topics[name] = _Topic(TopicOrder(place.epoch, place.seq))

    @property
    def missed(self) -> int:
        """Messages known to have been published that could not be had (in time)."""
        return self._left["missed"] + sum(topic.order.missed for topic in self._topics.values())

    @property
    def recovered(self) -> int:
        """Messages that came from the journal because the wire had dropped them."""
        return self._left["recovered"] + sum(topic.order.recovered for topic in self._topics.values())

    @property
    def position(self) -> Position | None:
        """How far everything was given out; None before it has joined. What was skipped counts as not read."""
        if self._early is not None or not self._begun:
            return None
        places = {
            name: Place(topic.order.epoch, topic.order.seq) if topic.skipped is None else topic.skipped.place
            for name, topic in self._topics.items()
        }
        return Position(self._begun, places)

    def wanted(self, topic: str) -> bool:
        """Whether a topic is kept in order; the heartbeat is not, only its newest counts."""
        known = self._wanted.get(topic)
        if known is None:
            _, bed, stream, *_ = f"{topic}///".split("/")
            known = topic in self._looked or (stream in self._streams and (self._beds is None or bed in self._beds))
            if len(self._wanted) >= WANTED_MAX:  # topics are words of others
                self._wanted.clear()
            self._wanted[topic] = known
        return known

    def set_extra_topics(self, topics: Mapping[str, int]) -> None:
        """Follow these topics as well, besides those of our streams; those of the call before no more.

        Args:
            topics: topic -> how many of its last messages are wanted first, out of the journal.
        """
        gone = [name for name in self._looked if name not in topics]
        new = [name for name in topics if name not in self._looked]
        self._looked = dict(topics)
        self._wanted.clear()
        for name in gone:
            if not self.wanted(name) and (topic := self._topics.pop(name, None)) is not None:
                self._left.update(missed=topic.order.missed, recovered=topic.order.recovered)
        for name in new:
            if name not in self._topics and self._early is None and self.epoch:
                self._topics[name] = self._looked_topic(name)
                self._restless.add(name)

    def follow(self, epoch: str) -> bool:
        """Hear of a run on the alarms socket; False where it is one that is over."""
        if epoch in self._past:
            return False
        if epoch != self.epoch:
            if self.epoch:
                self._past = [*self._past[1 - PAST_EPOCHS :], self.epoch]
            self.epoch = epoch
            self._heartbeat = None
            for topic in self._topics.values():  # what its last run still said is in the journal
                topic.order.expect(epoch, 0)
            self._restless.update(self._topics)
        return True

    def take(self, name: str, body: Message, raw: bytes) -> list[Received]:
        """Take a message of a wanted topic, of the run that is followed."""
        if self._early is None:
            order = self._topic(name).order
            items = order.accept(body, raw)
            if order.hole:
                self._restless.add(name)
            return self._give(name, items)
        self._early.append((name, body, raw))
        del self._early[:-HELD_MAX]
        return []

    def expect(self, body: HeartbeatMessage) -> None:
        """Learn from a heartbeat what there is."""
        self._heartbeat = body
        if self._early is not None:
            return
        if body.beds != self._told_beds:
            self._told_beds = body.beds
            for bed in body.beds:
                # Also topics on which we never heard a word: the first may have been lost with the run that said it.
                for name in (bed_topic(bed, stream) for stream in self._streams):
                    if self.wanted(name):
                        self._topic(name)
        for name, seq in body.seqs.items():
            if self.wanted(name):
                order = self._topic(name).order
                order.expect(body.epoch, seq)
                if order.hole:
                    self._restless.add(name)

    def turn(self, now_s: float, ask: Ask) -> list[Received]:
        """Ask for what is missing, ask again where nobody answered, give up where nobody does."""
        step_s = 0.0 if self._turned_s is None else now_s - self._turned_s
        self._turned_s = now_s
        out: list[Received] = []
        if self._early is not None and self.epoch:
            bed = next(iter(self._beds)) if self._beds is not None and len(self._beds) == 1 else ""
            request = Request(op="snapshot", bed=bed)
            if self._snapshot.pursue(now_s, step_s, lambda: ask(request)) >= self._patience_s:
                out += self._join_without()
        for name in [*self._restless]:
            topic = self._topics.get(name)
            if topic is None:
                self._restless.remove(name)
                continue
            order = topic.order
            if order.hole:
                request = Request(op="since", topic=name, epoch=order.epoch, seq=order.seq)
                if topic.question.pursue(now_s, step_s, lambda r=request: ask(r)) >= self._patience_s:  # type: ignore[misc]
                    out += self._give_up(name, topic)
            else:
                if topic.question.pursued:
                    topic.question = PendingRequest()
                if topic.skipped is not None:
                    request = topic.skipped.request(name)
                    topic.skipped.question.pursue(now_s, step_s, lambda r=request: ask(r))  # type: ignore[misc]
                else:
                    self._restless.remove(name)
        return out

    def replied(self, reply: Reply) -> list[Received]:
        """Take a reply to one of our questions; others are nothing to us.

        Raises:
            ValueError: its `data` are not as agreed.
        """
        if reply.epoch != self.epoch:
            return []
        if self._early is not None:
            if not self._snapshot.asked(reply.id) or self._refused(reply, self._snapshot):
                return []
            return self._replied_snapshot(reply)
        for name, topic in self._topics.items():
            if topic.question.asked(reply.id):
                return self._replied_since(name, topic, reply)
            if topic.skipped is not None and topic.skipped.question.asked(reply.id) and not topic.order.hole:
                return self._replied_late(name, topic, topic.skipped, reply)
        return []

    # -- joining ---------------------------------------------------------------------------------------------

    def _replied_snapshot(self, reply: Reply) -> list[Received]:
        """Begin: what is current, then what came since."""
        if not reply.ok or "seqs" not in reply.data:  # no such bed
            return self._join_without()
        seqs = msgspec.convert(reply.data["seqs"], dict[str, int])
        self.counters["snapshots"] += 1
        out: list[Received] = []
        for body, raw in self._decoded(reply):
            topic = _topic_of(body)
            if topic and self.wanted(topic) and topic not in self._looked:  # of those more than the last is asked for
                out.append((topic, body, raw))
        return out + self._join(seqs)

    def _join_without(self) -> list[Received]:
        """Nobody gives a snapshot: begin with what the alarms socket sent a newcomer."""
        early = [item for item in self._early or () if item[1].epoch == self.epoch]
        seqs = dict(self._heartbeat.seqs) if self._heartbeat is not None else {}
        if not seqs:
            for name, body, _ in early:
                seqs[name] = max(body.seq, seqs.get(name, 0))
        current = {(name, body.seq): (name, body, raw) for name, body, raw in early if body.seq <= seqs.get(name, 0)}
        return [current[key] for key in sorted(current)] + self._join(seqs)

    def _join(self, seqs: dict[str, int]) -> list[Received]:
        """Begin behind these; give what has come since."""
        early, self._early = self._early or [], None
        self._begun = self.epoch
        for name, seq in seqs.items():
            if self.wanted(name):
                self._topics[name] = _Topic(TopicOrder(self.epoch, max(0, seq - self._looked.get(name, 0))))
                self._topics[name].order.expect(self.epoch, seq)
        for name in self._looked:
            self._topic(name)
        self._restless.update(self._topics)
        out: list[Received] = []
        for name, body, raw in early:
            if body.epoch == self.epoch:
                out += self._give(name, self._topic(name).order.accept(body, raw))
        return out

    # -- holes -----------------------------------------------------------------------------------------------

    def _topic(self, name: str) -> _Topic:
        """A topic; one that we did not know begins with the run in which we did."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic(TopicOrder(self._begun))
            topic.order.expect(self.epoch, 0)
            self._restless.add(name)
        return topic

    def _looked_topic(self, name: str) -> _Topic:
        """A topic that is followed from now on, or from a little before."""
        known = self._heartbeat is not None and self._heartbeat.epoch == self.epoch
        seq = self._heartbeat.seqs.get(name, 0) if self._heartbeat is not None and known else 0
        topic = _Topic(TopicOrder(self.epoch, max(0, seq - self._looked[name])))
        topic.order.expect(self.epoch, seq)
        return topic

    def _give(self, name: str, items: list[Item]) -> list[Received]:
        skipped = self._topics[name].skipped
        if skipped is not None and not skipped.passed(items):
            self._topics[name].skipped = None  # too long ago: it stays missed
        return [(name, body, raw) for body, raw in items]

    def _replied_since(self, name: str, topic: _Topic, reply: Reply) -> list[Received]:
        if self._refused(reply, topic.question) or not reply.ok:  # else the journal cannot be read: patience decides
            return []
        reached = msgspec.convert(reply.data, _Reached)
        self.counters["incomplete"] += not reply.complete
        before = (topic.order.epoch, topic.order.seq)
        items = topic.order.fill(self._decoded(reply), reached.epoch, reached.seq, more=reached.more)
        if before != (topic.order.epoch, topic.order.seq):  # it goes on: ask for the rest at once, with new patience
            topic.question = PendingRequest()
        return self._give(name, items)

    def _give_up(self, name: str, topic: _Topic) -> list[Received]:
        """An alarm is worth more now than in order; what was skipped is still asked for."""
        place = Place(topic.order.epoch, topic.order.seq)
        topic.question = PendingRequest()
        items = topic.order.give_up(self.epoch)
        if topic.skipped is None and name.rstrip("/").rpartition("/")[2] in KEPT:
            topic.skipped = Backfill(place)
        return self._give(name, items)

    def _replied_late(self, name: str, topic: _Topic, skipped: Backfill, reply: Reply) -> list[Received]:
        if self._refused(reply, skipped.question) or not reply.ok:
            return []
        reached = msgspec.convert(reply.data, _Reached)
        self.counters["incomplete"] += not reply.complete
        items = skipped.late(self._decoded(reply), topic.order.epoch, topic.order.seq)
        self.counters["late"] += len(items)
        topic.skipped = skipped.after(Place(reached.epoch, reached.seq)) if reached.more else None
        return [(name, body, raw) for body, raw in items]

    def _refused(self, reply: Reply, question: PendingRequest) -> bool:
        """Count an error; whether it says that we asked too much at once."""
        self.counters["refused"] += not reply.ok
        if reply.ok or "retry_after_s" not in reply.data:
            return False
        question.slowed(msgspec.convert(reply.data["retry_after_s"], float))
        return True

    def _decoded(self, reply: Reply) -> list[Item]:
        """The messages of a reply; what is not understood is counted and skipped, as on the wire."""
        items: list[Item] = []
        for raw in reply.messages:
            try:
                items.append((decode(raw), bytes(raw)))
            except ValueError:
                self.counters["undecodable"] += 1
        return items


def _topic_of(body: Message) -> str:
    """Topic of a message that came in a snapshot, without it."""
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
