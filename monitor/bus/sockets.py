"""The three ZeroMQ sockets of a monitor: bound, authenticated if there are keys, and polled together."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from typing import Final

import zmq

from monitor.bus.authenticator import Authenticator
from monitor.bus.endpoints import BusEndpoints, bind_error, is_loopback, refuse_live_ipc
from monitor.bus.keys import ServerKeys
from monitor.errors import BusError, ConfigError

__all__ = ["BusSockets"]

# Queue of one slow subscriber. Beats fill it within seconds at full replay speed, in an hour from a live bed. It bounds
# the memory (about 6 MB a subscriber), not what can be recovered: that is in the journal.
ALARM_HWM = 10_000
WAVE_HWM = 100  # a display that is this far behind needs the newest samples, not the oldest
CONTROL_HWM = 1_000
SUBSCRIPTION_BYTES = 4 * 1024
# Above the limit of a request, so that a request that is too long is answered; above this the connection is closed.
FRAME_BYTES = 1 << 20
LINGER_MS = 500
# A subscriber behind a cut network keeps a full queue until TCP gives up, after a quarter of an hour, and each
# reconnection over a bad link leaves such a queue. So a connection is closed when its peer does not answer pings.
PING_EVERY_MS = 10_000
PING_TIMEOUT_MS = 30_000
_CHANGES: Final = {b"\x01": 1, b"\x00": -1}  # first byte of a subscription message -> change of the count


class BusSockets:
    """Binds, polls and closes the sockets.

    Args:
        endpoints, keys, report, clock: see Bus.
        counters: of the bus; counts `unsent`, and with keys `refused` and `denied`.

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
        self._context = zmq.Context()
        self._context.setsockopt(zmq.HEARTBEAT_IVL, PING_EVERY_MS)
        self._context.setsockopt(zmq.HEARTBEAT_TIMEOUT, PING_TIMEOUT_MS)
        self._poller = zmq.Poller()
        try:
            self.authenticator = None if keys is None else Authenticator(self._context, keys, counters, report, clock)
            self.alarms, alarms = self._bind(zmq.XPUB, endpoints.alarms, ALARM_HWM, SUBSCRIPTION_BYTES)
            self.waves, waves = self._bind(zmq.XPUB, endpoints.waves, WAVE_HWM, SUBSCRIPTION_BYTES)
            self.control, control = self._bind(zmq.ROUTER, endpoints.control, CONTROL_HWM, FRAME_BYTES)
        except (BusError, ConfigError, ValueError):
            self.close(0)
            raise
        self.endpoints = BusEndpoints(alarms, waves, control)

    def wait(self, timeout_s: float) -> set[zmq.Socket[bytes]]:
        """Wait at most `timeout_s` and answer handshakes; returns the sockets that can be read."""
        ready = {sock for sock, _ in self._poller.poll(math.ceil(max(0.0, timeout_s) * 1000))}
        if self.authenticator is not None:
            self.authenticator.answer_handshakes()
        return ready

    def update(self) -> None:
        """Count connections and apply changes of the allow-list; after the ready sockets were read."""
        if self.authenticator is not None:
            self.authenticator.update()

    def read_subscriptions(self, sock: zmq.Socket[bytes]) -> list[tuple[bytes, int]]:
        """Read an XPUB socket: (prefix, 1) for each new subscription, (prefix, -1) for the end of one."""
        changes: list[tuple[bytes, int]] = []
        with contextlib.suppress(zmq.Again):
            for _ in range(ALARM_HWM):
                frames = sock.recv_multipart(zmq.NOBLOCK, copy=False)
                content = frames[0].bytes
                change = _CHANGES.get(content[:1], 0) if len(frames) == 1 else 0
                if self.authenticator is not None:
                    self.authenticator.identify(sock, frames[0], change)
                if change:
                    changes.append((content[1:], change))
        return changes

    def send(self, sock: zmq.Socket[bytes], frames: list[bytes]) -> None:
        """Send one message; never blocks."""
        try:
            sock.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:
            self._counters["unsent"] += 1

    def close(self, linger_ms: int = LINGER_MS) -> None:
        """Send queued messages for at most `linger_ms`, and close the sockets; may be called twice."""
        self._context.destroy(linger=linger_ms)

    def _bind(self, kind: int, endpoint: str, hwm: int, max_bytes: int) -> tuple[zmq.Socket[bytes], str]:
        """Make a bound socket; returns it and its actual endpoint."""
        if self.authenticator is None and not is_loopback(endpoint):
            raise BusError(
                f"cannot listen on {endpoint} without keys, because every machine could connect; make keys: "
                f"ecg-monitor keys new DIR, then give --keys DIR; or listen on a loopback address (127.0.0.1)"
            )
        sock = self._context.socket(kind)
        if self.authenticator is not None:
            self.authenticator.require_key(sock)
        sock.setsockopt(zmq.SNDHWM, hwm)
        sock.setsockopt(zmq.RCVHWM, hwm)
        sock.setsockopt(zmq.LINGER, LINGER_MS)
        sock.setsockopt(zmq.MAXMSGSIZE, max_bytes)  # limits received messages only
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
        if self.authenticator is not None:
            self.authenticator.bound(sock, endpoint, self._poller)
        return sock, endpoint
