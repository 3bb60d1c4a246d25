"""The three ZeroMQ sockets of a monitor: bound, limited, authenticated if there are keys, and polled together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container
from typing import NamedTuple

import zmq

from monitor.bus.allow_list import Client
from monitor.bus.authenticator import Authenticator
from monitor.bus.connections import ByteLimit, Connection, Connections
from monitor.bus.endpoints import BusEndpoints, bind_error, is_loopback, refuse_live_ipc
from monitor.bus.keys import ServerKeys
from monitor.bus.refusals import Refusals
from monitor.errors import BusError, ConfigError

__all__ = ["BusSockets", "Sender"]

# Queue of one slow subscriber. Beats fill it within seconds at full replay speed, in an hour from a live bed. It bounds
# the memory (about 6 MB a subscriber), not what can be recovered: that is in the journal.
ALARM_HWM = 10_000
WAVE_HWM = 100  # a display that is this far behind needs the newest samples, not the oldest
CONTROL_HWM = 500  # replies to a client that does not read; 140 MB at most
SUBSCRIPTIONS_PER_CALL = 1_000
# Above the limit of a topic or request, so that one that is too long is named in the refusal or the reply. ZeroMQ
# closes the connection above this; a handshake needs some 600 bytes.
SUBSCRIPTION_BYTES = 1024
FRAME_BYTES = 1 << 20
# A subscriber sends its topics and then nothing; a request has some 200 bytes, and 64 KiB at most.
SUBSCRIBER_LIMIT = ByteLimit(burst=256 * 1024, per_s=32 * 1024)
REQUESTER_LIMIT = ByteLimit(burst=256 * 1024, per_s=64 * 1024)
LINGER_MS = 500
HANDSHAKE_MS = 5_000  # a client that has not completed its handshake by then is disconnected
# A subscriber behind a cut network keeps a full queue until TCP gives up, after a quarter of an hour, and each
# reconnection over a bad link leaves such a queue. So the kernel closes a connection whose peer acknowledges nothing
# for this time. ZeroMQ's own heartbeat is off, because it makes libzmq 4.3.5 abort (docs/bus.md).
SILENT_MS = 40_000
_KEEPALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 10, zmq.TCP_KEEPALIVE_INTVL: 10, zmq.TCP_KEEPALIVE_CNT: 3}
_SUBSCRIBE, _UNSUBSCRIBE = b"\x01", b"\x00"  # first byte of a subscription message


class Sender(NamedTuple):
    """Who sent a message: descriptor and connection; with keys the client."""

    descriptor: int
    connection: Connection
    client: Client | None


class BusSockets:
    """Binds, polls and closes the sockets.

    Args:
        endpoints, keys, report, clock: see Bus.
        counters: of the bus; counts `unsent` and `refused`, and with keys `denied`.

    Attributes:
        alarms: alarms, beats, status, events and heartbeats (XPUB).
        waves: samples for displays (XPUB).
        control: requests and replies (ROUTER).
        endpoints: the endpoints in use.
        authenticator: None without keys.

    Raises:
        BusError: an endpoint is in use, cannot be bound, or is not loopback and there are no keys.
        ConfigError: the allow-list cannot be read.
    """

    def __init__(
        self,
        endpoints: BusEndpoints,
        keys: ServerKeys | None,
        counters: Counter[str],
        report: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._refusals = Refusals(counters, report, clock)
        self._connections: dict[zmq.Socket[bytes], Connections] = {}
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self.authenticator: Authenticator | None = None
        try:
            if keys is not None:
                self.authenticator = Authenticator(
                    self._context, keys, counters, self._refusals, self._keep_only, report, clock
                )
                self.authenticator.register(self._poller)
            self.alarms, alarms = self._bind(zmq.XPUB, endpoints.alarms, ALARM_HWM, SUBSCRIBER_LIMIT)
            self.waves, waves = self._bind(zmq.XPUB, endpoints.waves, WAVE_HWM, SUBSCRIBER_LIMIT)
            self.control, control = self._bind(zmq.ROUTER, endpoints.control, CONTROL_HWM, REQUESTER_LIMIT)
        except (BusError, ConfigError, ValueError):
            self.close(0)
            raise
        self.endpoints = BusEndpoints(alarms, waves, control)

    def wait(self, timeout_s: float) -> set[zmq.Socket[bytes]]:
        """Wait at most `timeout_s` and answer handshakes; returns the sockets that can be read."""
        ready = {sock for sock, _ in self._poller.poll(math.ceil(max(0.0, timeout_s) * 1000))}
        handshakes = [] if self.authenticator is None else self.authenticator.read_handshakes()
        for connections in self._connections.values():
            connections.read_events()
        for handshake in handshakes:
            self.authenticator.answer(handshake)  # type: ignore[union-attr]
        return ready

    def update(self) -> None:
        """Count connections, check their limits, apply changes of the allow-list; after the ready sockets were read."""
        for connections in self._connections.values():
            connections.process_events()
        if self.authenticator is not None:
            self.authenticator.update()
        self._refusals.report_due()

    def sender(self, sock: zmq.Socket[bytes], frame: zmq.Frame) -> Sender | None:
        """Find who sent a message, by any of its frames; None if the message is void.

        It is void if its connection is closed or sends too much, or its key was removed. Call `read_events` of the
        connections after the message was received: `wait` is too early.
        """
        try:
            descriptor = int(frame.get("__fd"))
        except zmq.ZMQError:  # from ZeroMQ itself: it unsubscribes for a client that has left
            return None
        key = "" if self.authenticator is None else str(frame.get("User-Id"))
        connections = self._connections[sock]
        connection = connections.sender(descriptor, key)
        if connection is None:
            return None
        if self.authenticator is None:
            return Sender(descriptor, connection, None)
        client = self.authenticator.client(key)
        if client is None:
            if not connection.closing:
                connections.close(descriptor, "a connection, no longer allowed,")
            return None
        return Sender(descriptor, connection, client)

    def receive(self, sock: zmq.Socket[bytes], most: int) -> list[tuple[list[zmq.Frame], Sender | None]]:
        """Receive the messages that have arrived, at most `most`, each with its sender (see `sender`)."""
        messages: list[list[zmq.Frame]] = []
        try:
            while len(messages) < most:
                messages.append(sock.recv_multipart(zmq.NOBLOCK, copy=False))
        except zmq.Again:
            pass
        self._connections[sock].read_events()
        return [(frames, self.sender(sock, frames[-1])) for frames in messages]

    def read_subscriptions(self, sock: zmq.Socket[bytes]) -> list[bytes]:
        """Read an XPUB socket; the topics to which a connection has newly subscribed."""
        connections = self._connections[sock]
        subscribed: list[bytes] = []
        for frames, sender in self.receive(sock, SUBSCRIPTIONS_PER_CALL):
            if sender is None or sender.connection.closing or len(frames) != 1:
                continue
            content = frames[0].bytes
            if content[:1] == _UNSUBSCRIBE:
                connections.unsubscribe(sender.connection, content[1:])
            elif content[:1] == _SUBSCRIBE and connections.subscribe(sender.descriptor, sender.connection, content[1:]):
                subscribed.append(content[1:])
        return subscribed

    @property
    def wave_subscriptions(self) -> int:
        """Number of subscriptions to waves."""
        return self._connections[self.waves].topics.total()

    def waves_wanted(self, topic: bytes) -> bool:
        """Whether a subscription covers a topic of waves."""
        return self._connections[self.waves].covers(topic)

    def send(self, sock: zmq.Socket[bytes], frames: list[bytes]) -> None:
        """Send one message; never blocks."""
        try:
            sock.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:
            self._counters["unsent"] += 1

    def close(self, linger_ms: int = LINGER_MS) -> None:
        """Send queued messages for at most `linger_ms`, and close the sockets; may be called twice."""
        self._refusals.report_due(at_end=True)
        self._context.destroy(linger=linger_ms)

    def _keep_only(self, allowed: Container[str]) -> None:
        for connections in self._connections.values():
            connections.keep_only(allowed)

    def _bind(self, kind: int, endpoint: str, hwm: int, limit: ByteLimit) -> tuple[zmq.Socket[bytes], str]:
        """Make a bound socket; returns it and its actual endpoint."""
        if self.authenticator is None and not is_loopback(endpoint):
            raise BusError(
                f"cannot listen on {endpoint} without keys, because every machine could connect; make keys: "
                f"ecg-monitor keys new DIR, then give --keys DIR; or listen on a loopback address (127.0.0.1)"
            )
        sock = self._context.socket(kind)
        if self.authenticator is not None:
            self.authenticator.require_key(sock)
        connections = self._connections[sock] = Connections(sock, limit, self._refusals, self._clock)
        sock.setsockopt(zmq.SNDHWM, hwm)
        sock.setsockopt(zmq.RCVHWM, 0)  # not limited: see `monitor.bus.connections`
        sock.setsockopt(zmq.LINGER, LINGER_MS)
        sock.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        sock.setsockopt(zmq.TCP_MAXRT, SILENT_MS)
        for option, value in _KEEPALIVE.items():
            sock.setsockopt(option, value)
        # Limits received messages only.
        sock.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES if kind == zmq.ROUTER else SUBSCRIPTION_BYTES)
        if endpoint.startswith("tcp://["):
            sock.setsockopt(zmq.IPV6, 1)
        if kind == zmq.XPUB:
            # Else ZeroMQ reports only the first subscriber to a topic, and the last that leaves it.
            sock.setsockopt(zmq.XPUB_VERBOSER, 1)
        if kind == zmq.ROUTER:
            sock.setsockopt(zmq.ROUTER_MANDATORY, 1)  # else a reply to a client that left is dropped without an error
        try:
            refuse_live_ipc(endpoint)
            sock.bind(endpoint)
        except (zmq.ZMQError, OSError) as error:
            remedy = "give other ports above 1023, e.g. --bus tcp://127.0.0.1:6556"
            raise bind_error(f"endpoint {endpoint}", error, remedy) from error
        endpoint = sock.getsockopt_string(zmq.LAST_ENDPOINT)
        self._poller.register(sock, zmq.POLLIN)
        connections.bound(endpoint)
        self._poller.register(connections.events, zmq.POLLIN)
        return sock, endpoint
