"""A subscriber that loses nothing: every message of every topic once and in order, and a word on the connection.

ZeroMQ drops what a slow subscriber does not read, and a monitor may die and come back. The client finds such
holes, holds back later messages, asks the journal, and goes on (`monitor.client.recovery`). Without an answer within
`patience_s` it goes on without, and counts what it missed: an alarm is worth more now than in order. It still asks
for alarms and events that it went on without, and gives them late. One thread owns it; it starts none.

A client that joins late takes a `snapshot`: the active alarms and the last beat and status of each bed; the rest
of the past it does not get. One that is given the `position` of an earlier one goes on where that one stopped.
"""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections.abc import Callable, Collection
from typing import Final

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from monitor.bus.keys import ClientKey, use_key
from monitor.bus.receive import received
from monitor.client.liveness import ConnectionState, Liveness
from monitor.client.positions import Position
from monitor.client.recovery import Received, Recovery
from monitor.errors import ClientError
from monitor.messages import (
    HEARTBEAT_TOPIC,
    PROTOCOL,
    HeartbeatMessage,
    Message,
    Reply,
    Request,
    Stream,
    WaveHeader,
    bed_topic,
    decode,
    encode,
)

__all__ = ["ALL_STREAMS", "WARD", "AlarmClient", "ConnectionState", "Received", "wave_samples"]

RECONNECT_S = 5.0
READ_MAX = 10_000  # messages of one socket in one poll: a second of 4,000 beds
TICK_S = 0.25  # the longest wait before holes and retries are looked at
REPLY_BYTES = 64 << 20
WAVES_HWM = 2_000  # half a second of a screen full of beds; about 1 MB

ALL_STREAMS: Final[tuple[Stream, ...]] = ("alarm", "beat", "status", "event")  # all there is, waves aside
WARD: Final[tuple[Stream, ...]] = ("alarm", "status")  # of every bed; the rest of those that are looked at
PAST_BEATS = 60  # of a bed that is looked at closely: its trend does not begin empty

_reply_decoder: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


def wave_samples(header: WaveHeader, raw: bytes) -> NDArray[np.float32]:
    """Samples of a wave message: (len(header.channels), header.n) float32, mV.

    Raises:
        ValueError: the bytes do not fit the header.
    """
    return np.frombuffer(raw, dtype="<f4").reshape(len(header.channels), header.n)


class AlarmClient:
    """A subscriber to one monitor.

    Args:
        alarms_endpoint, control_endpoint: of the monitor, see `monitor.bus.endpoints.endpoints_from`.
        beds: names; None = all.
        streams: of `alarm`, `beat`, `status`, `event`.
        waves_endpoint: given: waves of these beds as well (they may be dropped).
        clock: monotonic time, s; judges the connection.
        patience_s: how long messages after a hole are held back while the journal does not answer, s.
        receive_hwm: messages queued for us before ZeroMQ drops.
        resume: `position` of an earlier client: goes on there instead of taking a snapshot.
        key: ours, for a monitor that asks for one (`monitor.bus.keys.load_client_key`).

    Attributes:
        counters: received, snapshots, incomplete (answers of which the journal had lost a part, or of a monitor that
            did not know our run), refused (questions answered by an error and asked again), late (messages given
            after they had been given up), undecodable.

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
        resume: Position | None = None,
        key: ClientKey | None = None,
    ) -> None:
        self._clock = clock
        self._control_endpoint = control_endpoint
        self._key = key
        self._connections: list[tuple[zmq.Socket[bytes], str]] = []
        self._reconnected_s = clock()
        self._recovery = Recovery(beds=beds, streams=streams, patience_s=patience_s, position=resume)
        self.counters = self._recovery.counters
        self._freshness = Liveness(clock())
        self._out: list[Received] = []
        self._position = resume
        self._given = False  # `poll` has given everything that was taken in, so the position can be read off
        self._answers: dict[str, Reply | None] = {}  # of `request`, by id
        self._name = uuid.uuid4().hex[:8]
        self._asked = 0
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        try:
            self._sub = self._connect(zmq.SUB, alarms_endpoint, receive_hwm)
            self._control = self._connect(zmq.DEALER, control_endpoint, 1_000)
            self._waves = self._connect(zmq.SUB, waves_endpoint, WAVES_HWM) if waves_endpoint else None
        except ClientError:
            self._context.destroy(linger=0)
            raise
        beds_topics = [f"{PROTOCOL}/"]
        self._waves_topics = {f"{PROTOCOL}/"}
        if beds is not None:
            beds_topics = [bed_topic(bed, stream) for bed in beds for stream in streams]
            self._waves_topics = {bed_topic(bed, "wave") for bed in beds}
        for topic in (*beds_topics, HEARTBEAT_TOPIC):  # the heartbeat last: when it answers, all others are in force
            self._sub.subscribe(topic)
        if self._waves is not None:
            for topic in self._waves_topics:
                self._waves.subscribe(topic)

    @property
    def epoch(self) -> str:
        """Of the monitor's run; empty until the first message."""
        return self._recovery.epoch

    @property
    def state(self) -> ConnectionState:
        """How fresh what we have is: `connecting` until the first heartbeat, `ended` after a goodbye."""
        return self._freshness.state(self._clock())

    @property
    def silent_s(self) -> float | None:
        """Time since the last heartbeat, s; None before the first."""
        return self._freshness.silent_s(self._clock())

    @property
    def missed(self) -> int:
        """Messages that could not be had: given up after `patience_s`, or gone from the journal."""
        return self._recovery.missed

    @property
    def recovered(self) -> int:
        """Messages that came from the journal because the wire had dropped them."""
        return self._recovery.recovered

    @property
    def position(self) -> Position | None:
        """How far what `poll` gave reaches, to be kept for `resume`; None before anything was given.

        Keep it after what `poll` gave was dealt with: who dies in between gets that once more, and loses nothing.
        """
        if self._given:
            self._position, self._given = self._recovery.position or self._position, False
        return self._position

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        """To wait for several clients at once; what comes over them is had by `poll`."""
        return [sock for sock, _ in self._connections]

    def poll(self, timeout_s: float = 0.0) -> list[Received]:
        """What has come, at once where there is something, else after at most `timeout_s`.

        Returns:
            Messages, each once and in the order of its topic; heartbeats too.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._given = False
            self._read()
            self._reconnect()
            self._out += self._recovery.turn(self._clock(), self._ask)
            left_s = deadline_s - time.monotonic()
            if self._out or left_s <= 0:
                out, self._out = self._out, []
                self._given = True
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
        _ = self.position  # what comes meanwhile is given by the next `poll`
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

    def set_detail(self, wave_beds: Collection[str], beat_beds: Collection[str] = ()) -> None:
        """Choose the beds whose waves, and whose beats and events, are received besides the client's streams.

        A call replaces the choice of the call before. The streams of the client itself are not affected.

        Args:
            wave_beds: beds whose waves are received; needs a `waves_endpoint`.
            beat_beds: beds whose beats and events are received, in order and recovered like the other streams.
                The last `PAST_BEATS` beats of such a bed come from the journal first.
        """
        topics = {bed_topic(bed, "beat"): PAST_BEATS for bed in beat_beds}
        self._recovery.set_extra_topics(topics | {bed_topic(bed, "event"): 0 for bed in beat_beds})
        if self._waves is None:
            return
        wanted = {bed_topic(bed, "wave") for bed in wave_beds}
        for topic in self._waves_topics - wanted:
            self._waves.unsubscribe(topic)
        for topic in wanted - self._waves_topics:
            self._waves.subscribe(topic)
        self._waves_topics = wanted

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
        # TCP tries ever more seldom; the two sockets must be back within our patience of each other.
        sock.setsockopt(zmq.CONNECT_TIMEOUT, 1_500)
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
        for frames in received(self._sub, READ_MAX):
            try:
                topic, raw = frames[0].decode(), frames[1]
                if topic == HEARTBEAT_TOPIC or self._recovery.wanted(topic):
                    self._take(topic, decode(raw), raw)
            except (ValueError, IndexError):  # a newer monitor may have kinds we do not know
                self.counters["undecodable"] += 1
        for frames in received(self._waves, READ_MAX) if self._waves is not None else ():
            try:
                self._out.append((frames[0].decode(), decode(frames[1]), frames[2]))
            except (ValueError, IndexError):
                self.counters["undecodable"] += 1

    def _take(self, topic: str, body: Message, raw: bytes) -> None:
        self.counters["received"] += 1
        if not self._recovery.follow(body.epoch):
            return
        if not isinstance(body, HeartbeatMessage):
            self._out += self._recovery.take(topic, body, raw)
        elif self._freshness.take(body, self._clock()):
            self._out.append((topic, body, raw))
            self._recovery.expect(body)

    # -- asking ----------------------------------------------------------------------------------------------

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
        for frames in received(self._control, READ_MAX):
            try:
                reply = _reply_decoder.decode(frames[-1])
                if reply.id in self._answers:
                    self._answers[reply.id] = reply
                elif reply.id:
                    self._out += self._recovery.replied(reply)
            except ValueError:
                self.counters["undecodable"] += 1
