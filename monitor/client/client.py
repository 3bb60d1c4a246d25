"""A subscriber that receives every message of every topic once and in order, and knows the state of the connection.

ZeroMQ drops messages that a slow subscriber does not read, and a monitor may be killed and restarted. The client finds
missing messages, holds back later ones and asks the journal (`monitor.client.recovery`). Without an answer within
`patience_s` it skips the missing messages and counts them, because an alarm in time is worth more than the order. It
still requests skipped alarms and events, and returns them late. One thread owns the client; it starts none.

A new client takes a `snapshot`: the active alarms, and the last beat and status of each bed. It gets no older messages.
A client with the `position` of an earlier one continues where that one stopped.
"""

from __future__ import annotations

import itertools
import math
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from monitor.bus.keys import ClientKey
from monitor.bus.receive import received
from monitor.client.liveness import ConnectionState, Liveness
from monitor.client.ordering import Received
from monitor.client.positions import Position
from monitor.client.recovery import Recovery
from monitor.client.sockets import ClientSockets
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
TICK_S = 0.25  # longest wait before missing messages and retries are checked
CONNECT_TICK_S = 0.02  # the same while a request cannot be sent, since no event announces a new connection

ALL_STREAMS: Final[tuple[Stream, ...]] = ("alarm", "beat", "status", "event")  # waves aside
WARD: Final[tuple[Stream, ...]] = ("alarm", "status")  # of every bed; `set_detail` adds others for some beds
PAST_BEATS = 60  # beats from the journal for a bed in detail, so that its trend does not begin empty

_reply_decoder: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


@dataclass(slots=True, eq=False)
class _Asked:
    """A request of the owner that waits for its reply.

    Attributes:
        give: called with the reply; None = none came in time.
        until_s: monotonic time, s.
        id: of the request; empty until it could be sent.
    """

    request: Request
    give: Callable[[Reply | None], None]
    until_s: float
    id: str = ""


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
        waves_endpoint: if given, also receive the waves of these beds; ZeroMQ may drop waves.
        clock: monotonic time, s; decides the connection state.
        patience_s: how long messages after missing ones are held back while the journal does not answer, s.
        receive_hwm: messages queued here before ZeroMQ drops.
        resume: `position` of an earlier client, to continue there instead of taking a snapshot.
        key: of this client, for a monitor with keys (`monitor.bus.keys.load_client_key`).

    Attributes:
        counters: received, snapshots, missed, recovered, incomplete (answers with a part that the journal has lost, or
            from a monitor that does not know the run), refused (requests that got an error and are repeated), late
            (messages returned after they had been skipped), undecodable, ahead (topics whose place in `resume` is
            beyond what the monitor has published, so they are read from the start of the run).

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
        self._reconnected_s = clock()
        self._recovery = Recovery(beds=beds, streams=streams, patience_s=patience_s, position=resume)
        self.counters = self._recovery.counters
        self._liveness = Liveness(clock())
        self._out: list[Received] = []
        self._position = resume
        self._all_given = False  # `poll` has returned everything received, so the position may be read
        self._asked: list[_Asked] = []
        name = uuid.uuid4().hex[:8]
        self._ids = (f"{name}-{number}" for number in itertools.count(1))
        self._sockets = ClientSockets(alarms_endpoint, control_endpoint, waves_endpoint, receive_hwm, key)
        topics = [f"{PROTOCOL}/"]
        self._wave_topics = {f"{PROTOCOL}/"}
        if beds is not None:
            topics = [bed_topic(bed, stream) for bed in beds for stream in streams]
            self._wave_topics = {bed_topic(bed, "wave") for bed in beds}
        # The heartbeat last: when its last value arrives, all other subscriptions are in force.
        for topic in (*topics, HEARTBEAT_TOPIC):
            self._sockets.alarms.subscribe(topic)
        if self._sockets.waves is not None:
            for topic in self._wave_topics:
                self._sockets.waves.subscribe(topic)

    @property
    def epoch(self) -> str:
        """Run of the monitor; empty before the first message."""
        return self._recovery.epoch

    @property
    def state(self) -> ConnectionState:
        """Connection state: `connecting` before the first heartbeat, `ended` after a goodbye."""
        return self._liveness.state(self._clock())

    @property
    def silent_s(self) -> float | None:
        """Time since the last heartbeat, s; None before the first."""
        return self._liveness.silent_s(self._clock())

    @property
    def missed(self) -> int:
        """Messages that were not obtained: skipped after `patience_s`, or no longer in the journal."""
        return self.counters["missed"]

    @property
    def recovered(self) -> int:
        """Messages from the journal that the wire had dropped."""
        return self.counters["recovered"]

    @property
    def position(self) -> Position | None:
        """Position up to which `poll` returned all messages, for `resume`; None before anything was returned.

        Save it after the messages of `poll` were handled: a client that is killed in between receives them again, and
        loses none.
        """
        if self._all_given:
            self._position, self._all_given = self._recovery.position or self._position, False
        return self._position

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        """The sockets, to wait for several clients at once; `poll` reads them."""
        return list(self._sockets.endpoints)

    def poll(self, timeout_s: float = 0.0) -> list[Received]:
        """Return the messages received; without any, wait at most `timeout_s`.

        Returns:
            Messages, each once and in the order of its topic; heartbeats too.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._all_given = False
            self._read()
            self._pursue()
            if self.state == "lost" and self._clock() - self._reconnected_s >= RECONNECT_S:
                self._reconnected_s = self._clock()
                self._sockets.reconnect()
            self._out += self._recovery.update(self._clock(), self._send)
            left_s = deadline_s - time.monotonic()
            if self._out or left_s <= 0:
                out, self._out = self._out, []
                self._all_given = True
                return out
            self._sockets.poller.poll(math.ceil(min(left_s, TICK_S) * 1000))

    def request(self, request: Request, timeout_s: float = 2.0) -> Reply:
        """Send a request and wait for its reply. `poll` returns the messages that arrive meanwhile.

        Args:
            request: its `id` is filled in.
            timeout_s: for the connection and the reply together, s.

        Raises:
            ClientError: no reply in time.
        """
        _ = self.position  # messages that arrive meanwhile are not part of it
        answers: list[Reply | None] = []
        self.ask(request, answers.append, timeout_s)
        asked = self._asked[-1]
        try:
            while True:
                self._read_replies()
                self._pursue()
                if answers:
                    break
                left_s = asked.until_s - time.monotonic()
                self._sockets.control.poll(
                    max(1, math.ceil(min(left_s, TICK_S if asked.id else CONNECT_TICK_S) * 1000))
                )
        finally:
            if asked in self._asked:
                self._asked.remove(asked)
        if (reply := answers[0]) is None:
            raise ClientError(self.no_answer(request, timeout_s))
        return reply

    def ask(self, request: Request, give: Callable[[Reply | None], None], timeout_s: float = 2.0) -> None:
        """Send a request without waiting; `poll` calls `give` with the reply, or with None if none came in time.

        Args:
            request: its `id` is filled in.
            give: called once, in the thread that calls `poll`.
            timeout_s: for the connection and the reply together, s.
        """
        self._asked.append(_Asked(request, give, time.monotonic() + timeout_s))
        self._pursue()

    def no_answer(self, request: Request, timeout_s: float) -> str:
        """One line that a request was not answered within `timeout_s`."""
        endpoint = self._sockets.endpoints[self._sockets.control]
        return f"no answer to {request.op!r} from {endpoint} within {timeout_s:g} s; check that a monitor runs there"

    def set_detail(self, wave_beds: Collection[str], beat_beds: Collection[str] = ()) -> None:
        """Choose the beds whose waves, beats and events are received besides those of the client.

        Each call replaces the choice.

        Args:
            wave_beds: beds whose waves are received; needs a `waves_endpoint`.
            beat_beds: beds whose beats and events are received, in order and recovered like the other streams.
                The last `PAST_BEATS` beats of such a bed come from the journal first.
        """
        topics = {bed_topic(bed, "beat"): PAST_BEATS for bed in beat_beds}
        self._recovery.set_extra_topics(topics | {bed_topic(bed, "event"): 0 for bed in beat_beds})
        if self._sockets.waves is None:
            return
        wanted = {bed_topic(bed, "wave") for bed in wave_beds}
        for topic in self._wave_topics - wanted:
            self._sockets.waves.unsubscribe(topic)
        for topic in wanted - self._wave_topics:
            self._sockets.waves.subscribe(topic)
        self._wave_topics = wanted

    def close(self) -> None:
        """Close the sockets; may be called twice."""
        self._sockets.close()

    def _read(self) -> None:
        """Read all that has arrived."""
        self._read_replies()
        for frames in received(self._sockets.alarms, READ_MAX):
            try:
                topic, raw = frames[0].decode(), frames[1]
                if topic == HEARTBEAT_TOPIC or self._recovery.wanted(topic):
                    self._accept(topic, decode(raw), raw)
            except (ValueError, IndexError):  # a newer monitor may send unknown kinds
                self.counters["undecodable"] += 1
        for frames in received(self._sockets.waves, READ_MAX) if self._sockets.waves is not None else ():
            try:
                self._out.append((frames[0].decode(), decode(frames[1]), frames[2]))
            except (ValueError, IndexError):
                self.counters["undecodable"] += 1

    def _accept(self, topic: str, body: Message, raw: bytes) -> None:
        self.counters["received"] += 1
        if not self._recovery.follow(body.epoch):
            return
        if not isinstance(body, HeartbeatMessage):
            self._out += self._recovery.accept(topic, body, raw)
        elif self._liveness.accept(body, self._clock()):
            self._out.append((topic, body, raw))
            self._recovery.accept_heartbeat(body)

    def _send(self, request: Request) -> str:
        """Send a request; returns its id, or "" without a connection."""
        request = msgspec.structs.replace(request, id=next(self._ids))
        try:
            self._sockets.control.send_multipart([b"", encode(request)], zmq.NOBLOCK)
        except zmq.Again:
            return ""
        return request.id

    def _pursue(self) -> None:
        """Send the requests that could not be sent yet; end those without an answer in time."""
        for asked in [*self._asked]:
            if not asked.id:
                asked.id = self._send(asked.request)
            if time.monotonic() >= asked.until_s:
                self._asked.remove(asked)
                asked.give(None)

    def _read_replies(self) -> None:
        for frames in received(self._sockets.control, READ_MAX):
            try:
                reply = _reply_decoder.decode(frames[-1])
                asked = next((asked for asked in self._asked if asked.id and asked.id == reply.id), None)
                if asked is not None:
                    self._asked.remove(asked)
                    asked.give(reply)
                elif reply.id:
                    self._out += self._recovery.accept_reply(reply)
            except ValueError:
                self.counters["undecodable"] += 1
