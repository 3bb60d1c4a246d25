"""Connections of one socket of the bus: tracked by ZeroMQ's events, limited, closed at the TCP or IPC socket below.

ZeroMQ reports when a connection opens, completes or fails its handshake, and closes. It neither reports the key of a
connection nor closes one on request. The file descriptor links both: it is in the events and in the metadata of every
message.

The queues in which ZeroMQ receives are not limited, because libzmq may abort on a full one (docs/bus.md, "A known fault
of libzmq"). What a connection sends is limited instead: messages, topics, and bytes as the kernel counts them.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass, field

import zmq
from zmq.utils.monitor import parse_monitor_message

from monitor.bus.receive import received
from monitor.bus.refusals import Refusals
from monitor.token_bucket import TokenBucket

__all__ = ["ByteLimit", "Connection", "Connections"]

EVENTS_PER_CALL = 2_000
MAX_CONNECTIONS = 200  # of one socket; three times this is well under the usual limit of 1024 files per process
# Topics of one connection. A topic costs ZeroMQ about 50 bytes of memory for each of its bytes.
MAX_TOPICS = 1_000  # 250 beds with each stream by itself
MAX_TOPIC_BYTES = 300  # a bed has at most 64 characters, of at most 4 bytes
MAX_TOPICS_BYTES = 64 * 1024
# A client over its request rate is asked to slow down; one that sends on is closed. Subscriptions count too.
MESSAGES_PER_S = 200.0
MESSAGES_BURST = 2_000.0
CHECK_BYTES_S = 0.01, 0.0001  # time between two checks of bytes: for the socket, and for each of its connections

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | _FAILED | zmq.EVENT_DISCONNECTED
_PROTOCOL_REASONS = {
    int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH): "a client without a key",
    int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC): "a client with the key of another monitor",
}
_TCP_INFO = getattr(socket, "TCP_INFO", None)  # Linux
_BYTES_RECEIVED = 128  # offset of tcpi_bytes_received in Linux's `struct tcp_info`


@dataclass(frozen=True)
class ByteLimit:
    """Bytes that one TCP connection may send: `burst` at once, `per_s` for long."""

    burst: float
    per_s: float


@dataclass(slots=True)
class Connection:
    """An open connection.

    Attributes:
        message_rate, byte_rate: what it may send.
        key: public key, once it has sent a message; empty without keys.
        spoke: it has sent a message.
        closing: it was shut down here; its event is still to come, and its messages no longer count.
        topics: its subscriptions.
        topics_bytes: their length.
        bytes_received: by the kernel, when last checked.
    """

    message_rate: TokenBucket
    byte_rate: TokenBucket
    key: str = ""
    spoke: bool = False
    closing: bool = False
    topics: set[bytes] = field(default_factory=set)
    topics_bytes: int = 0
    bytes_received: int = 0


class Connections:
    """Connections of one socket, by file descriptor.

    In each turn of the loop: `read_events`, then `sender` for each message, then `process_events`.

    Args:
        sock: not bound yet.
        limit: of the bytes that a TCP connection may send; an `ipc://` connection has none.

    Attributes:
        events: socket that is readable when there are events.
        topics: subscriptions of all open connections.
    """

    def __init__(
        self, sock: zmq.Socket[bytes], limit: ByteLimit, refusals: Refusals, clock: Callable[[], float]
    ) -> None:
        self.events: zmq.Socket[bytes] = sock.get_monitor_socket(_EVENTS)
        self.events.setsockopt(zmq.LINGER, 0)
        self.topics: Counter[bytes] = Counter()
        self._limit = limit
        self._refusals = refusals
        self._clock = clock
        self._open: dict[int, Connection] = {}  # by descriptor, authenticated or not
        self._address: int | str = 0  # TCP port, or path of the `ipc://` socket
        self._unprocessed: list[tuple[int, int]] = []
        self._accepted: set[int] = set()  # descriptors of new connections in `_unprocessed`
        self._silent = 0  # authenticated connections that sent no message yet
        self._failed = 0  # counted handshake failures whose disconnect event is still to come
        self._checked_s = clock()

    def bound(self, endpoint: str) -> None:
        """Note the endpoint of the socket after `bind`."""
        scheme, _, address = endpoint.partition("://")
        self._address = int(address.rpartition(":")[2]) if scheme == "tcp" else address

    def read_events(self) -> None:
        """Read the events that have arrived.

        Before the socket is read, so that a client that sends and leaves is known by then. Again between the reading of
        messages and `sender`, so that a descriptor is not taken for that of an earlier connection.
        """
        for frames in received(self.events, EVENTS_PER_CALL):
            event = parse_monitor_message(frames)
            self._unprocessed.append((int(event["event"]), int(event["value"])))
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._accepted.add(int(event["value"]))

    def sender(self, descriptor: int, key: str = "") -> Connection | None:
        """Note a message and return its connection; None if that is closed or sends too much: the message is void."""
        if descriptor in self._accepted:  # an earlier connection with this descriptor has ended
            accepted = (int(zmq.EVENT_ACCEPTED), descriptor)
            self._process(1 + max(n for n, event in enumerate(self._unprocessed) if event == accepted))
        connection = self._open.get(descriptor)
        if connection is None or connection.closing:
            return None
        if not connection.spoke:
            connection.spoke, connection.key = True, key
            self._silent -= 1
        if connection.message_rate.take(self._clock()) > 0.0:
            self.close(descriptor, f"more than {MESSAGES_PER_S:g} messages a second")
            return None
        return connection

    def subscribe(self, descriptor: int, connection: Connection, topic: bytes) -> bool:
        """Note a subscription; False if this connection had it before, or is closed because it has too many."""
        if topic in connection.topics:
            return False
        if len(topic) > MAX_TOPIC_BYTES:
            self.close(descriptor, f"a topic of more than {MAX_TOPIC_BYTES} bytes")
        elif len(connection.topics) == MAX_TOPICS:
            self.close(descriptor, f"more than {MAX_TOPICS} subscriptions")
        elif connection.topics_bytes + len(topic) > MAX_TOPICS_BYTES:
            self.close(descriptor, f"subscriptions of more than {MAX_TOPICS_BYTES} bytes")
        else:
            connection.topics.add(topic)
            connection.topics_bytes += len(topic)
            self.topics[topic] += 1
            return True
        return False

    def unsubscribe(self, connection: Connection, topic: bytes) -> None:
        """Note the end of a subscription; does nothing where this connection has none to the topic."""
        if topic in connection.topics:
            connection.topics.remove(topic)
            connection.topics_bytes -= len(topic)
            self._forget(topic)

    def covers(self, topic: bytes) -> bool:
        """Whether a subscription of an open connection covers a topic."""
        return bool(self.topics) and any(topic[:n] in self.topics for n in range(len(topic) + 1))

    def process_events(self) -> None:
        """Count new, failed and closed connections, and check bytes received; after the socket was read."""
        self._process(len(self._unprocessed))
        now_s = self._clock()
        every_s = CHECK_BYTES_S[0] + CHECK_BYTES_S[1] * len(self._open)
        if _TCP_INFO is not None and isinstance(self._address, int) and now_s - self._checked_s >= every_s:
            self._checked_s = now_s
            for descriptor, connection in self._open.items():
                self._check_bytes(descriptor, connection, now_s)

    def keep_only(self, allowed: Container[str]) -> None:
        """Close the connections whose public key is not in `allowed`, and those whose key is not known yet.

        A connection that has sent nothing may have a removed key. With a valid key it connects again by itself.
        """
        for descriptor, connection in self._open.items():
            if connection.closing:
                continue
            if not connection.spoke:
                connection.closing = True
                _shut_down(descriptor, self._address)
            elif connection.key not in allowed:
                self.close(descriptor, "a connection, no longer allowed,")

    def close(self, descriptor: int, reason: str) -> None:
        """Close an open connection, count and report it."""
        connection = self._open[descriptor]
        connection.closing = True
        self._failed += not connection.spoke
        self._drop_topics(connection)
        self._refusals.add(f"{reason} of key {connection.key}" if connection.key else reason)
        _shut_down(descriptor, self._address)

    def _process(self, count: int) -> None:
        """Process the oldest `count` events."""
        events, self._unprocessed = self._unprocessed[:count], self._unprocessed[count:]
        self._accepted = {value for event, value in self._unprocessed if event == zmq.EVENT_ACCEPTED}
        for event, value in events:
            if event == zmq.EVENT_ACCEPTED:
                self._add(value)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._silent += 1
            elif event == zmq.EVENT_DISCONNECTED:
                self._remove(value)
            else:
                self._failed += 1
                if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                    self._refusals.add(_PROTOCOL_REASONS.get(value, "a client that violated the protocol"))
                elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                    self._refusals.add("a connection that ended before it proved its key")

    def _add(self, descriptor: int) -> None:
        if (earlier := self._open.pop(descriptor, None)) is not None:
            self._drop_topics(earlier)
        now_s = self._clock()
        self._open[descriptor] = Connection(
            TokenBucket(MESSAGES_PER_S, MESSAGES_BURST, now_s), TokenBucket(self._limit.per_s, self._limit.burst, now_s)
        )
        if len(self._open) > MAX_CONNECTIONS:
            self.close(descriptor, f"a connection over the limit of {MAX_CONNECTIONS} per socket")

    def _remove(self, descriptor: int) -> None:
        """Count a closed connection.

        ZeroMQ has no event for a peer that never spoke its protocol: that is what no other event explains.
        """
        connection = self._open.pop(descriptor, None)
        if connection is not None:
            self._drop_topics(connection)
            if connection.spoke:
                return
        if self._silent > 0:
            self._silent -= 1
        elif self._failed > 0:
            self._failed -= 1
        else:
            self._refusals.add("a connection that did not speak ZeroMQ")

    def _check_bytes(self, descriptor: int, connection: Connection, now_s: float) -> None:
        """Close a connection that has sent more bytes than its limit, whatever ZeroMQ has made of them.

        ZeroMQ hands on whole messages only, and applies the subscriptions of a flood before the loop can read them.
        """
        total = _bytes_received(descriptor)
        fresh, connection.bytes_received = max(0, total - connection.bytes_received), total
        if not connection.byte_rate.spend(now_s, fresh) and not connection.closing:
            self.close(descriptor, f"more than {self._limit.burst / 1024:g} KiB at once")

    def _drop_topics(self, connection: Connection) -> None:
        for topic in connection.topics:
            self._forget(topic)
        connection.topics.clear()
        connection.topics_bytes = 0

    def _forget(self, topic: bytes) -> None:
        self.topics[topic] -= 1
        if not self.topics[topic]:
            del self.topics[topic]


def _bytes_received(descriptor: int) -> int:
    """Bytes that a TCP connection has received, from Linux; 0 where it has closed."""
    try:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
    except OSError:
        return 0
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO or 0, _BYTES_RECEIVED + 8)
        return int(struct.unpack_from("Q", info, _BYTES_RECEIVED)[0])
    except (OSError, struct.error):
        return 0
    finally:
        connection.detach()  # the descriptor is ZeroMQ's


def _shut_down(descriptor: int, address: int | str) -> None:
    """Shut down a connection of this process; ZeroMQ then sees it broken. Does nothing if ZeroMQ has closed it.

    If the descriptor belongs to another client by now, that client connects again and recovers.
    """
    try:
        copy = socket.dup(descriptor)  # os.dup takes no sockets on Windows
    except OSError:
        return
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # the descriptor is a file by now
        socket.close(copy)
        return
    with connection, contextlib.suppress(OSError):
        name = connection.getsockname()
        if (name[1] if isinstance(name, tuple) else name) == address:
            connection.shutdown(socket.SHUT_RDWR)
