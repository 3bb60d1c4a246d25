"""A subscriber that loses nothing: every message of every topic once and in order, and a word on the connection.

ZeroMQ drops what a slow subscriber does not read, and a monitor may die and come back. The client finds such
holes by `seq`, by the heartbeat's `seqs` (for topics that are silent) and by a new `epoch`, holds back what came
after, asks the journal (`since`), and goes on. Where nobody answers within `patience_s` it goes on without, and
counts what it missed: an alarm is worth more now than in order. One thread owns it; it starts none.

A client that joins late takes a `snapshot`: the active alarms and the last beat and status of each bed; the rest
of the past it does not get.
"""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from monitor.keys import ClientKey, use_key
from monitor.messages import (
    HEARTBEAT_TOPIC,
    PROTOCOL,
    AlarmMessage,
    BeatMessage,
    EventMessage,
    HeartbeatMessage,
    Message,
    Reply,
    Request,
    StatusMessage,
    Stream,
    WaveHeader,
    bed_topic,
    decode,
    encode,
)
from monitor.ordering import HELD_MAX, Item, TopicOrder

__all__ = ["SHOWN", "AlarmClient", "ClientError", "ConnectionState", "Received", "wave_samples"]

STALE_AFTER_S = 2.0  # two heartbeats missed
LOST_AFTER_S = 5.0
RECONNECT_S = 5.0
RETRY_S = 1.0  # a request without an answer is sent again
READ_MAX = 2_000  # messages of one socket in one poll
TICK_S = 0.25  # the longest wait before holes and retries are looked at
REPLY_BYTES = 64 << 20

SHOWN: Final[tuple[Stream, ...]] = ("alarm", "beat", "status", "event")  # what a screen shows, waves aside
ConnectionState = Literal["connecting", "connected", "stale", "lost", "ended"]
Received = tuple[str, Message, bytes]
"""Topic, message, and its bytes as published (of a wave: its samples, see `wave_samples`)."""

_reply_decoder: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


class ClientError(Exception):
    """The monitor cannot be reached or asked. One line: what, and the remedy."""


def wave_samples(header: WaveHeader, raw: bytes) -> NDArray[np.float32]:
    """Samples of a wave message: (len(header.channels), header.n) float32, mV.

    Raises:
        ValueError: the bytes do not fit the header.
    """
    return np.frombuffer(raw, dtype="<f4").reshape(len(header.channels), header.n)


@dataclass(slots=True)
class _Question:
    """Something that is asked until it is answered.

    Attributes:
        since_s: when it came up; None = nothing to ask.
        asked: id of the request under way; empty = none.
        asked_s: when it was sent.
    """

    since_s: float | None = None
    asked: str = ""
    asked_s: float = -math.inf

    def due(self, now_s: float) -> bool:
        return now_s - self.asked_s >= RETRY_S


class _Reached(msgspec.Struct):
    """`data` of the reply to `since`: how far it goes."""

    epoch: str
    seq: int
    more: bool = False


@dataclass(slots=True)
class _Topic:
    order: TopicOrder
    question: _Question = field(default_factory=_Question)


class AlarmClient:
    """A subscriber to one monitor.

    Args:
        alarms_endpoint, control_endpoint: of the monitor, see `monitor.endpoints.endpoints_from`.
        beds: names; None = all.
        streams: of `alarm`, `beat`, `status`, `event`.
        waves_endpoint: given: waves of these beds as well (they may be dropped).
        clock: monotonic time, s; judges the connection.
        patience_s: how long messages after a hole are held back while the journal does not answer, s.
        receive_hwm: messages queued for us before ZeroMQ drops.
        key: ours, for a monitor that asks for one (`monitor.keys.load_client_key`).

    Attributes:
        epoch: of the monitor's run; empty until the first message.
        counters: received, snapshots, incomplete (answers of which the journal had lost a part), undecodable.

    Raises:
        ClientError: an endpoint that cannot be connected to.
    """

    def __init__(
        self,
        alarms_endpoint: str,
        control_endpoint: str,
        *,
        beds: Collection[str] | None = None,
        streams: Collection[Stream] = ("alarm", "beat", "status"),
        waves_endpoint: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = 3.0,
        receive_hwm: int = 10_000,
        key: ClientKey | None = None,
    ) -> None:
        self.epoch = ""
        self.counters: Counter[str] = Counter()
        self._clock = clock
        self._patience_s = patience_s
        self._beds = None if beds is None else frozenset(beds)
        self._streams = frozenset(streams)
        self._control_endpoint = control_endpoint
        self._key = key
        self._connections: list[tuple[zmq.Socket[bytes], str]] = []
        self._reconnected_s = clock()
        self._topics: dict[str, _Topic] = {}
        self._past_epochs: list[str] = []
        self._out: list[Received] = []
        self._early: list[Received] | None = []  # until the snapshot is here; None = joined
        self._snapshot = _Question()
        self._answers: dict[str, Reply | None] = {}  # of `request`, by id
        self._name = uuid.uuid4().hex[:8]
        self._asked = 0
        self._heartbeat: HeartbeatMessage | None = None
        self._heartbeat_s: float | None = None
        self._started_s = clock()
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        try:
            self._sub = self._connect(zmq.SUB, alarms_endpoint, receive_hwm)
            self._control = self._connect(zmq.DEALER, control_endpoint, 1_000)
            self._waves = self._connect(zmq.SUB, waves_endpoint, 100) if waves_endpoint else None
        except ClientError:
            self._context.destroy(linger=0)
            raise
        beds_topics = [f"{PROTOCOL}/"]
        waves_topics = [f"{PROTOCOL}/"]
        if self._beds is not None:
            beds_topics = [bed_topic(bed, stream) for bed in self._beds for stream in self._streams]
            waves_topics = [bed_topic(bed, "wave") for bed in self._beds]
        for topic in (*beds_topics, HEARTBEAT_TOPIC):  # the heartbeat last: when it answers, all others are in force
            self._sub.subscribe(topic)
        if self._waves is not None:
            for topic in waves_topics:
                self._waves.subscribe(topic)

    @property
    def state(self) -> ConnectionState:
        """How fresh what we have is: `connecting` until the first heartbeat, `ended` after a goodbye."""
        if self._heartbeat is not None and self._heartbeat.state == "goodbye":
            return "ended"
        silent_s = self._clock() - (self._started_s if self._heartbeat_s is None else self._heartbeat_s)
        if silent_s >= LOST_AFTER_S:
            return "lost"
        if self._heartbeat_s is None:
            return "connecting"
        return "stale" if silent_s >= STALE_AFTER_S else "connected"

    @property
    def silent_s(self) -> float | None:
        """Time since the last heartbeat, s; None before the first."""
        return None if self._heartbeat_s is None else self._clock() - self._heartbeat_s

    @property
    def missed(self) -> int:
        """Messages that could not be had: given up after `patience_s`, or gone from the journal."""
        return sum(topic.order.missed for topic in self._topics.values())

    @property
    def recovered(self) -> int:
        """Messages that came from the journal because the wire had dropped them."""
        return sum(topic.order.recovered for topic in self._topics.values())

    def poll(self, timeout_s: float = 0.0) -> list[Received]:
        """What has come, at once where there is something, else after at most `timeout_s`.

        Returns:
            Messages, each once and in the order of its topic; heartbeats too.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._read()
            self._reconnect()
            self._ask_again()
            left_s = deadline_s - time.monotonic()
            if self._out or left_s <= 0:
                out, self._out = self._out, []
                return out
            self._poller.poll(math.ceil(min(left_s, TICK_S) * 1000))

    def request(self, request: Request, timeout_s: float = 2.0) -> Reply:
        """Ask the monitor and wait for its reply; messages that come meanwhile are kept for `poll`.

        Args:
            request: its `id` is filled in.
            timeout_s: for the connection and the reply together, s.

        Raises:
            ClientError: no reply in time.
        """
        deadline_s = time.monotonic() + timeout_s
        sent = ""
        try:
            while True:
                if not sent:
                    sent = self._ask(request)
                    self._answers[sent] = None
                self._read_replies()
                if (reply := self._answers[sent]) is not None:
                    return reply
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise ClientError(
                        f"no answer to {request.op!r} from {self._control_endpoint} within {timeout_s:g} s; "
                        f"is a monitor running there?"
                    )
                # While there is no connection nothing wakes us when it comes: look again soon.
                self._control.poll(math.ceil(min(left_s, TICK_S if sent else 0.02) * 1000))
        finally:
            self._answers.clear()

    def close(self) -> None:
        """Let go of the sockets; may be called twice."""
        self._context.destroy(linger=0)

    # -- from the wire ---------------------------------------------------------------------------------------

    def _connect(self, kind: int, endpoint: str, hwm: int) -> zmq.Socket[bytes]:
        sock = self._context.socket(kind)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RCVHWM, hwm)
        sock.setsockopt(zmq.MAXMSGSIZE, REPLY_BYTES)
        sock.setsockopt(zmq.RECONNECT_IVL, 100)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
        # A connection that died without a word (cable, sleep) is found out and made anew.
        sock.setsockopt(zmq.HEARTBEAT_IVL, 2_000)
        sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5_000)
        if kind == zmq.DEALER:
            # Nothing is queued for a monitor that is not there: an `acknowledge` must not take effect later.
            sock.setsockopt(zmq.IMMEDIATE, 1)
        if endpoint.startswith("tcp://["):
            sock.setsockopt(zmq.IPV6, 1)
        if self._key is not None:
            use_key(sock, self._key)
        try:
            sock.connect(endpoint)
        except zmq.ZMQError as error:
            raise ClientError(f"cannot connect to {endpoint} ({error}); give e.g. tcp://127.0.0.1:5556") from error
        self._poller.register(sock, zmq.POLLIN)
        self._connections.append((sock, endpoint))
        return sock

    def _reconnect(self) -> None:
        """Begin the connections anew while the monitor is lost.

        libzmq gives one up for good where the other side wants keys and we have none, or the reverse: a monitor that
        was once started wrong, and then right, would stay lost.
        """
        now_s = self._clock()
        if self.state != "lost" or now_s - self._reconnected_s < RECONNECT_S:
            return
        self._reconnected_s = now_s
        for sock, endpoint in self._connections:
            with contextlib.suppress(zmq.ZMQError):  # given up already
                sock.disconnect(endpoint)
            sock.connect(endpoint)

    def _read(self) -> None:
        """Take in all that has come."""
        self._read_replies()
        for frames in _received(self._sub):
            try:
                topic, raw = frames[0].decode(), frames[1]
                if topic == HEARTBEAT_TOPIC or self._wanted(topic):
                    self._take(topic, decode(raw), raw)
            except (ValueError, IndexError):  # a newer monitor may have kinds we do not know
                self.counters["undecodable"] += 1
        for frames in _received(self._waves) if self._waves is not None else ():
            try:
                self._out.append((frames[0].decode(), decode(frames[1]), frames[2]))
            except (ValueError, IndexError):
                self.counters["undecodable"] += 1

    def _wanted(self, topic: str) -> bool:
        """Whether this topic is kept in order for the caller; the heartbeat is not, only its newest counts."""
        _, bed, stream, *_ = f"{topic}///".split("/")
        return stream in self._streams and (self._beds is None or bed in self._beds)

    def _take(self, topic: str, body: Message, raw: bytes) -> None:
        self.counters["received"] += 1
        if body.epoch != self.epoch:
            if body.epoch in self._past_epochs:
                return
            self._new_epoch(body.epoch)
        if isinstance(body, HeartbeatMessage):
            self._beat(topic, body, raw)
        elif self._early is not None:
            self._early.append((topic, body, raw))
            del self._early[:-HELD_MAX]
        else:
            self._give(topic, self._topic(topic).order.accept(body, raw))

    def _new_epoch(self, epoch: str) -> None:
        """The monitor was started anew: what its last run still said is in the journal."""
        if self.epoch:
            self._past_epochs = [*self._past_epochs[-15:], self.epoch]
        self.epoch = epoch
        self._heartbeat = None
        for topic in self._topics.values():
            topic.order.expect(epoch, 0)

    def _beat(self, topic: str, body: HeartbeatMessage, raw: bytes) -> None:
        if self._heartbeat is not None and body.seq <= self._heartbeat.seq:
            return  # sent again for another newcomer: no sign of life
        self._heartbeat = body
        self._heartbeat_s = self._clock()
        self._out.append((topic, body, raw))
        if self._early is None:
            for name, seq in body.seqs.items():
                if self._wanted(name):
                    self._topic(name).order.expect(body.epoch, seq)

    def _topic(self, name: str) -> _Topic:
        """A topic; one that is new since we joined begins at its first message."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic(TopicOrder(self.epoch))
        return topic

    def _give(self, topic: str, items: list[Item]) -> None:
        self._out += [(topic, body, raw) for body, raw in items]

    # -- asking ----------------------------------------------------------------------------------------------

    def _ask_again(self) -> None:
        """Ask for what is missing, ask again where nobody answered, give up where nobody does."""
        now_s = self._clock()
        if self._early is not None and self.epoch:
            bed = next(iter(self._beds)) if self._beds is not None and len(self._beds) == 1 else ""
            if not self._pursue(self._snapshot, now_s, Request(op="snapshot", bed=bed)):
                self._join_without()
        for name, topic in self._topics.items():
            order = topic.order
            if not order.hole:
                topic.question = _Question()
            elif not self._pursue(
                topic.question, now_s, Request(op="since", topic=name, epoch=order.epoch, seq=order.seq)
            ):
                topic.question = _Question()
                self._give(name, order.give_up(self.epoch))

    def _pursue(self, question: _Question, now_s: float, request: Request) -> bool:
        """Ask where it is time to; False where patience is at its end."""
        if question.since_s is None:
            question.since_s = now_s
        if now_s - question.since_s >= self._patience_s:
            return False
        if question.due(now_s):
            question.asked = self._ask(request)
            if question.asked:
                question.asked_s = now_s
        return True

    def _ask(self, request: Request) -> str:
        """Send a request; gives its id, or nothing where the monitor is not there."""
        self._asked += 1
        request = msgspec.structs.replace(request, id=f"{self._name}-{self._asked}")
        try:
            self._control.send_multipart([b"", encode(request)], zmq.NOBLOCK)
        except zmq.Again:
            return ""
        return request.id

    def _read_replies(self) -> None:
        for frames in _received(self._control):
            try:
                self._replied(_reply_decoder.decode(frames[-1]))
            except ValueError:
                self.counters["undecodable"] += 1

    def _replied(self, reply: Reply) -> None:
        if not reply.id:
            return
        if reply.id in self._answers:
            self._answers[reply.id] = reply
        elif reply.id == self._snapshot.asked:
            self._replied_snapshot(reply)
        else:
            for name, topic in self._topics.items():
                if reply.id == topic.question.asked:
                    self._replied_since(name, topic, reply)

    def _replied_snapshot(self, reply: Reply) -> None:
        """Begin: what is current, then what came since."""
        if self._early is None or reply.epoch in self._past_epochs:
            return
        if _slowed(reply, self._snapshot):
            return
        seqs = msgspec.convert(reply.data.get("seqs", {}), dict[str, int])
        if not reply.ok or "seqs" not in reply.data:
            self._join_without()
            return
        if reply.epoch != self.epoch:
            self._new_epoch(reply.epoch)
        self.counters["snapshots"] += 1
        early, self._early = self._early, None
        for name, seq in seqs.items():
            if self._wanted(name):
                self._topics[name] = _Topic(TopicOrder(reply.epoch, seq))
        for body, raw in self._decoded(reply):
            topic = _topic_of(body)
            if topic and self._wanted(topic):
                self._out.append((topic, body, raw))
        for name, body, raw_body in early:
            if body.epoch == reply.epoch:
                self._give(name, self._topic(name).order.accept(body, raw_body))

    def _join_without(self) -> None:
        """Nobody gives a snapshot: begin with what the alarms socket sent a newcomer."""
        early, self._early = [item for item in self._early or () if item[1].epoch == self.epoch], None
        seqs = dict(self._heartbeat.seqs) if self._heartbeat is not None else {}
        if not seqs:
            for name, body, _ in early:
                seqs[name] = max(body.seq, seqs.get(name, 0))
        for name, seq in seqs.items():
            if self._wanted(name):
                self._topics[name] = _Topic(TopicOrder(self.epoch, seq))
        current = {(name, body.seq): (name, body, raw) for name, body, raw in early if body.seq <= seqs.get(name, 0)}
        self._out += [current[key] for key in sorted(current)]
        for name, body, raw in early:
            self._give(name, self._topic(name).order.accept(body, raw))

    def _decoded(self, reply: Reply) -> list[Item]:
        """The messages of a reply; what is not understood is counted and skipped, as on the wire."""
        items: list[Item] = []
        for raw in reply.messages:
            try:
                items.append((decode(raw), bytes(raw)))
            except ValueError:
                self.counters["undecodable"] += 1
        return items

    def _replied_since(self, name: str, topic: _Topic, reply: Reply) -> None:
        order, topic.question.asked = topic.order, ""
        if _slowed(reply, topic.question):
            return
        if not reply.ok:
            topic.question = _Question()
            self._give(name, order.give_up(self.epoch))
            return
        reached = msgspec.convert(reply.data, _Reached)
        self.counters["incomplete"] += not reply.complete
        before = (order.epoch, order.seq)
        self._give(name, order.fill(self._decoded(reply), reached.epoch, reached.seq, more=reached.more))
        if before != (order.epoch, order.seq):  # it goes on: ask for the rest at once, with new patience
            topic.question = _Question()


def _slowed(reply: Reply, question: _Question) -> bool:
    """Whether we asked too much at once: the question is put again after RETRY_S, with new patience."""
    if reply.ok or "retry_after_s" not in reply.data:
        return False
    question.since_s = None
    return True


def _received(sock: zmq.Socket[bytes]) -> Iterator[list[bytes]]:
    """What has come, bounded."""
    with contextlib.suppress(zmq.Again):
        for _ in range(READ_MAX):
            yield sock.recv_multipart(zmq.NOBLOCK)


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
