"""The bus: what the monitor finds goes out on ZeroMQ sockets, and requests come in.

One thread owns it, the pipeline's loop; nothing here blocks but the wait in `service`, which is how the loop
sleeps. A subscriber that is too slow loses messages (ZeroMQ drops them at the publisher), sees the hole in `seq`
and asks `since`; that is why every message is in the journal before it is on the wire.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from monitor.bus.authenticator import Authenticator
from monitor.bus.endpoints import (
    DEFAULT_ENDPOINTS,
    BusEndpoints,
    bind_error,
    endpoints_from,
    refuse_live_ipc,
    require_loopback,
)
from monitor.bus.keys import ClientKey, ServerKeys
from monitor.bus.last_values import LastValues
from monitor.bus.request_socket import RequestSocket
from monitor.bus.requests import ControlRequest, RequestError
from monitor.errors import BusError, ConfigError, JournalError
from monitor.journal import Journal
from monitor.messages import (
    HEARTBEAT_TOPIC,
    PROTOCOL,
    AlarmMessage,
    HeartbeatMessage,
    Message,
    Reply,
    Request,
    WaveHeader,
    bed_topic,
    encode,
)

__all__ = ["Bus", "BusEndpoints", "BusError", "ControlRequest", "Published", "endpoints_from"]

# Queued for one slow subscriber. Beats at full replay speed fill it within seconds, a live bed in an hour; it is
# the bound of memory (about 6 MB a subscriber), not of what can be recovered: that is the journal.
ALARM_HWM = 10_000
WAVE_HWM = 100  # a display that is this far behind wants the newest, not the oldest
CONTROL_HWM = 1_000
SUBSCRIPTION_BYTES = 4 * 1024
# Above the limit of a request, so that too long a one gets its answer; above this the connection is closed.
FRAME_BYTES = 1 << 20
COMMIT_EVERY_S = 0.25
# Sent at once within `together`: a message alone costs 12 to 18 us, since ZeroMQ's thread must be woken for it; of 16
# each costs 6.
BURST = 16
LINGER_MS = 500
PEER_PING_MS = 10_000
PEER_GONE_MS = 30_000
BED_TOPIC = re.compile(rf"{PROTOCOL}/[^/\x00-\x1f]{{1,64}}/(alarm|beat|status|event)/")


class Published(NamedTuple):
    """A message as it went out.

    Attributes:
        topic: it went out on.
        body: with `epoch` and `seq`.
        raw: the same as JSON, byte for byte what subscribers and the journal have.
    """

    topic: str
    body: Message
    raw: bytes


class Bus:
    """The sockets of one monitor.

    Args:
        endpoints: where to listen; port `*` takes a free one (see the attribute `endpoints`).
        epoch: id of this run, never used before.
        journal: keeps what is published; the caller closes it.
        clock: monotonic time, s.
        keys: who may connect (CURVE, on loopback too); None = everybody, but on loopback only.
        tell: given one line for a person: who was refused.

    Attributes:
        endpoints: where it does listen.
        epoch: as given.
        counters: published, waves, unsent, subscriptions, requests, bad_requests, slowed, replies_lost,
            internal_errors, active_forgotten; with keys: refused (connections), denied (requests).

    Raises:
        BusError: an endpoint is in use, cannot be had, or is not loopback and there are no keys.
        ConfigError: the list of clients cannot be read.
        JournalError: the journal cannot be written.
    """

    def __init__(
        self,
        endpoints: BusEndpoints = DEFAULT_ENDPOINTS,
        *,
        epoch: str,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
        keys: ServerKeys | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.epoch = epoch
        self.counters: Counter[str] = Counter()
        self._journal = journal
        self._clock = clock
        self._committed_s = clock()
        self._seqs: dict[str, int] = {}
        self._wave_seqs: dict[str, int] = {}
        self._topic_bytes: dict[str, bytes] = {}
        self._viewers: Counter[bytes] = Counter()  # prefixes that somebody wants waves of
        self._burst = 1  # so many messages are sent at once
        self._held: list[list[bytes]] = []  # until they are that many
        self._last = LastValues(self.counters)
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        # A subscriber behind a cut network costs a full queue until TCP gives up, after a quarter of an hour, and one
        # that comes back through a shaky one leaves such a queue each time: let go of who gives no sign for so long.
        self._context.setsockopt(zmq.HEARTBEAT_IVL, PEER_PING_MS)
        self._context.setsockopt(zmq.HEARTBEAT_TIMEOUT, PEER_GONE_MS)
        try:
            self._authenticator = (
                Authenticator(self._context, keys, self.counters, tell, clock) if keys is not None else None
            )
            self._alarms, alarms = self._bind(zmq.XPUB, endpoints.alarms, ALARM_HWM, SUBSCRIPTION_BYTES)
            self._waves, waves = self._bind(zmq.XPUB, endpoints.waves, WAVE_HWM, SUBSCRIPTION_BYTES)
            self._control, control = self._bind(zmq.ROUTER, endpoints.control, CONTROL_HWM, FRAME_BYTES)
            journal.start(epoch)
        except (BusError, ConfigError, JournalError, ValueError):
            self._context.destroy(linger=0)
            raise
        self.endpoints = BusEndpoints(alarms, waves, control)
        self._requests = RequestSocket(
            self._control, epoch=epoch, gate=self._authenticator, counters=self.counters, clock=clock, serve=self._serve
        )
        for sock in (self._alarms, self._waves, self._control):
            self._poller.register(sock, zmq.POLLIN)

    @property
    def screen_key(self) -> ClientKey | None:
        """What the screen of this very process connects with, where there are keys."""
        return None if self._authenticator is None else self._authenticator.screen

    @property
    def seqs(self) -> dict[str, int]:
        """Last `seq` of every topic but the waves, which may be dropped."""
        return dict(self._seqs)

    # -- out -------------------------------------------------------------------------------------------------

    def publish(self, topic: str, body: Message) -> Published:
        """Number, encode, journal and send one message. Never blocks on a subscriber.

        Args:
            topic: from `bed_topic`, or HEARTBEAT_TOPIC.
            body: its `epoch` and `seq` are filled in here.

        Raises:
            ValueError: no topic of ours.
        """
        wire_topic = self._topic_bytes.get(topic)
        if wire_topic is None:
            if topic != HEARTBEAT_TOPIC and not BED_TOPIC.fullmatch(topic):
                raise ValueError(f"topic {topic!r}; want {PROTOCOL}/BED/alarm|beat|status|event/, BED without a slash")
            wire_topic = self._topic_bytes[topic] = topic.encode()
        seq = self._seqs.get(topic, 0) + 1
        body = msgspec.structs.replace(body, epoch=self.epoch, seq=seq)
        raw = encode(body)
        self._seqs[topic] = seq
        self._journal.append(topic, body, raw)
        if isinstance(body, AlarmMessage):
            self._journal.commit()  # before it is sent: who missed it must find it even if we die right after
            self._committed_s = self._clock()
        self._last.keep(topic, body, raw)
        self._held.append([wire_topic, raw])
        if len(self._held) >= self._burst or isinstance(body, AlarmMessage):
            self._send_held()
        self.counters["published"] += 1
        return Published(topic, body, raw)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Messages published within go out in bursts, in their order: an alarm takes along what came before it.

        For what is published in one go, without waiting or serving in between.
        """
        self._burst = BURST
        try:
            yield
        finally:
            self._burst = 1
            self._send_held()

    def publish_wave(self, header: WaveHeader, samples: NDArray[np.float32]) -> None:
        """Send samples for displays; dropped where nobody listens or somebody is slow.

        Args:
            header: its `epoch` and `seq` are filled in here.
            samples: (len(header.channels), header.n), mV; NaN = no valid sample.

        Raises:
            ValueError: shape and header differ.
        """
        if samples.shape != (len(header.channels), header.n):
            raise ValueError(f"samples {samples.shape}, header says {(len(header.channels), header.n)}")
        topic = bed_topic(header.bed, "wave")
        seq = self._wave_seqs[topic] = self._wave_seqs.get(topic, 0) + 1
        header = msgspec.structs.replace(header, epoch=self.epoch, seq=seq)
        block = np.ascontiguousarray(samples, dtype="<f4").tobytes()
        self._send(self._waves, [topic.encode(), encode(header), block])
        self.counters["waves"] += 1

    @property
    def viewers(self) -> int:
        """How many subscriptions to waves there are."""
        return self._viewers.total()

    def shows(self, bed: str) -> bool:
        """Whether anybody looks at the waves of a bed."""
        if not self._viewers:
            return False
        return bed_topic(bed, "wave").encode().startswith(tuple(self._viewers))

    def heartbeat(self, body: HeartbeatMessage) -> Published:
        """Publish a heartbeat; its `seqs` are filled in, so that holes in silent topics show."""
        return self.publish(HEARTBEAT_TOPIC, msgspec.structs.replace(body, seqs=self.seqs))

    # -- in --------------------------------------------------------------------------------------------------

    def service(self, timeout_s: float = 0.0) -> list[ControlRequest]:
        """Wait for requests and new subscribers, at most `timeout_s`, and serve those that need no pipeline.

        Returns:
            Requests for the pipeline (snapshot, acknowledge, pause_audio, strip), each to be answered with
            `.reply`. Comes back early when something came.
        """
        ready = dict(self._poller.poll(math.ceil(max(0.0, timeout_s) * 1000)))
        if self._authenticator is not None:
            self._authenticator.look()
        if self._alarms in ready:
            self._greet()
        if self._waves in ready:
            self._subscriptions(self._waves, self._viewers)
        waiting = self._requests.receive() if self._control in ready else []
        if self._authenticator is not None:
            self._authenticator.settle()
        now_s = self._clock()
        if now_s - self._committed_s >= COMMIT_EVERY_S:
            self._journal.commit()
            self._committed_s = now_s
        return waiting

    def current(self, prefix: str = "") -> list[bytes]:
        """What a late subscriber to `prefix` needs: active alarms, oldest first, then the last of other topics."""
        return [raw for _, raw in self._last.current([prefix.encode()])]

    def snapshot(self, bed: str = "") -> Reply:
        """The reply to `snapshot`: what is current, of one bed or of all, and the `seqs` it goes up to."""
        prefix = f"{PROTOCOL}/{bed}/" if bed else ""
        messages = tuple(
            msgspec.Raw(raw) for topic, raw in self._last.current([prefix.encode()]) if topic != HEARTBEAT_TOPIC
        )
        return Reply(ok=True, messages=messages, data={"seqs": self.seqs})

    def close(self) -> None:
        """Send what is queued, for at most half a second, and free the ports; may be called twice."""
        self._journal.commit()
        if self._authenticator is not None:
            self._authenticator.close()
        self._context.destroy(linger=LINGER_MS)

    # -- inside ----------------------------------------------------------------------------------------------

    def _bind(self, kind: int, endpoint: str, hwm: int, max_bytes: int) -> tuple[zmq.Socket[bytes], str]:
        """A bound socket and its actual endpoint."""
        if self._authenticator is None:
            require_loopback(endpoint)
        sock = self._context.socket(kind)
        if self._authenticator is not None:
            self._authenticator.guard(sock)
        sock.setsockopt(zmq.SNDHWM, hwm)
        sock.setsockopt(zmq.RCVHWM, hwm)
        sock.setsockopt(zmq.LINGER, LINGER_MS)
        sock.setsockopt(zmq.MAXMSGSIZE, max_bytes)  # bounds what comes in, not what goes out
        if endpoint.startswith("tcp://["):
            sock.setsockopt(zmq.IPV6, 1)
        if kind == zmq.XPUB:
            # Else only the first subscriber to a topic and the last to leave are seen.
            sock.setsockopt(zmq.XPUB_VERBOSER, 1)
        if kind == zmq.ROUTER:
            sock.setsockopt(zmq.ROUTER_MANDATORY, 1)  # else a reply to a client that left is dropped unseen
        try:
            refuse_live_ipc(endpoint)
            sock.bind(endpoint)
        except (zmq.ZMQError, OSError) as error:
            raise bind_error(
                f"endpoint {endpoint}", error, "give other ports above 1023, e.g. --bus tcp://127.0.0.1:6556"
            ) from error
        endpoint = sock.getsockopt_string(zmq.LAST_ENDPOINT)
        if self._authenticator is not None:
            self._authenticator.opened(sock, endpoint, self._poller)
        return sock, endpoint

    def _greet(self) -> None:
        """Send the newcomers what is current. ZeroMQ cannot address one of them, so others get duplicates."""
        prefixes = self._subscriptions(self._alarms)
        self.counters["subscriptions"] += len(prefixes)
        for topic, raw in self._last.current(prefixes):
            self._send(self._alarms, [self._topic_bytes[topic], raw])

    def _subscriptions(self, sock: zmq.Socket[bytes], held: Counter[bytes] | None = None) -> list[bytes]:
        """Prefixes that were newly subscribed to; `held` counts those that are."""
        prefixes: list[bytes] = []
        with contextlib.suppress(zmq.Again):
            for _ in range(ALARM_HWM):
                frames = sock.recv_multipart(zmq.NOBLOCK, copy=False)
                kind = frames[0].bytes[:1] if len(frames) == 1 else b""
                if self._authenticator is not None:
                    self._authenticator.hear(sock, frames[0], {b"\x01": 1, b"\x00": -1}.get(kind, 0))
                if held is not None and kind in (b"\x00", b"\x01"):
                    held[frames[0].bytes[1:]] += 1 if kind == b"\x01" else -1
                    held += Counter()  # keeps what is more than none
                if kind == b"\x01":
                    prefixes.append(frames[0].bytes[1:])
        return prefixes

    def _serve(self, request: Request) -> Reply | None:
        """The reply, or None where only the pipeline knows it."""
        if request.op == "ping":
            return Reply(ok=True)
        if request.op != "since":
            return None
        if not BED_TOPIC.fullmatch(request.topic):
            raise RequestError(
                f"since: topic {request.topic!r} is not kept; ask for BED/alarm|beat|status|event/",
                request.id,
            )
        since = self._journal.since(request.topic, request.epoch, request.seq)
        return Reply(
            ok=True,
            messages=tuple(msgspec.Raw(raw) for raw in since.bodies),
            complete=since.complete,
            data={"more": since.more, "epoch": since.epoch, "seq": since.seq},
        )

    def _send_held(self) -> None:
        for frames in self._held:
            self._send(self._alarms, frames)
        self._held.clear()

    def _send(self, sock: zmq.Socket[bytes], frames: list[bytes]) -> None:
        try:
            sock.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:
            self.counters["unsent"] += 1
