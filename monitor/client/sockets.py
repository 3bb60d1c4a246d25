"""The ZeroMQ sockets of a client: connected, polled together, connected again if the monitor is lost."""

from __future__ import annotations

import contextlib

import zmq

from monitor.bus.keys import ClientKey, use_key
from monitor.errors import ClientError

__all__ = ["ClientSockets"]

MESSAGE_BYTES = 64 << 20
CONTROL_HWM = 1_000
WAVES_HWM = 2_000  # half a second of a dashboard full of beds; about 1 MB
# The kernel closes a connection that died silently (cable, sleep); a client without heartbeats of the monitor connects
# again in any case. ZeroMQ's own heartbeat is off: with it libzmq 4.3.5 aborts when a client with a full queue does not
# read for longer than the timeout, and then reads (docs/bus.md, zeromq/libzmq#3937).
SILENT_MS = 5_000
_KEEPALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 2, zmq.TCP_KEEPALIVE_INTVL: 1, zmq.TCP_KEEPALIVE_CNT: 3}


class ClientSockets:
    """Connects to one monitor.

    Args:
        waves_endpoint: None = no waves.
        alarms_hwm: messages queued before ZeroMQ drops.
        key: None = the monitor uses no keys.

    Attributes:
        alarms: alarms, beats, status, events and heartbeats (SUB).
        control: requests and replies (DEALER).
        waves: samples (SUB); None without `waves_endpoint`.
        endpoints: of all sockets.
        poller: of all sockets, for reading.

    Raises:
        ClientError: an endpoint that cannot be connected to.
    """

    def __init__(
        self,
        alarms_endpoint: str,
        control_endpoint: str,
        waves_endpoint: str | None,
        alarms_hwm: int,
        key: ClientKey | None,
    ) -> None:
        self._key = key
        self._context = zmq.Context()
        self.poller = zmq.Poller()
        self.endpoints: dict[zmq.Socket[bytes], str] = {}
        try:
            self.alarms = self._connect(zmq.SUB, alarms_endpoint, alarms_hwm)
            self.control = self._connect(zmq.DEALER, control_endpoint, CONTROL_HWM)
            self.waves = self._connect(zmq.SUB, waves_endpoint, WAVES_HWM) if waves_endpoint else None
        except ClientError:
            self.close()
            raise

    def reconnect(self) -> None:
        """Connect every socket again.

        libzmq stops connecting for good if only one side has keys. So a client would not find a monitor that was first
        started with, or without, keys by mistake.
        """
        for sock, endpoint in self.endpoints.items():
            with contextlib.suppress(zmq.ZMQError):  # libzmq has stopped
                sock.disconnect(endpoint)
            sock.connect(endpoint)

    def close(self) -> None:
        """Close the sockets; may be called twice."""
        self._context.destroy(linger=0)

    def _connect(self, kind: int, endpoint: str, hwm: int) -> zmq.Socket[bytes]:
        sock = self._context.socket(kind)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RCVHWM, hwm)
        sock.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
        sock.setsockopt(zmq.RECONNECT_IVL, 100)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
        # TCP retries at growing intervals, but both sockets must be back within the patience of the client.
        sock.setsockopt(zmq.CONNECT_TIMEOUT, 1_500)
        sock.setsockopt(zmq.TCP_MAXRT, SILENT_MS)
        for option, value in _KEEPALIVE.items():
            sock.setsockopt(option, value)
        if kind == zmq.DEALER:
            # Nothing is queued without a connection: an `acknowledge` must not take effect later.
            sock.setsockopt(zmq.IMMEDIATE, 1)
        if endpoint.startswith("tcp://["):
            sock.setsockopt(zmq.IPV6, 1)
        if self._key is not None:
            use_key(sock, self._key)
        try:
            sock.connect(endpoint)
        except zmq.ZMQError as error:
            raise ClientError(f"cannot connect to {endpoint} ({error}); give e.g. tcp://127.0.0.1:5556") from error
        self.poller.register(sock, zmq.POLLIN)
        self.endpoints[sock] = endpoint
        return sock
