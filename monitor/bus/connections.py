"""Connections of an authenticated socket: tracked by ZeroMQ's events, closed at the TCP or IPC socket below.

ZeroMQ reports when a connection opens, completes or fails its handshake, and closes. It neither reports the key of a
connection nor closes one on request. The file descriptor links both: it is in the events and in the metadata of every
message.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Callable, Container

import zmq
from zmq.utils.monitor import parse_monitor_message

from monitor.bus.receive import received

__all__ = ["Connections", "Refusals"]

EVENTS_PER_CALL = 2_000
MAX_CONNECTIONS = 200  # of one socket; three times this is well under the usual limit of 1024 files per process
MAX_SUBSCRIPTIONS = 10_000  # of one connection: 2,000 beds with each stream by itself
REPORT_EVERY_S = 10.0
REASONS_PER_REPORT = 5  # reasons with a line of their own, so that invented keys cannot fill the log

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | _FAILED | zmq.EVENT_DISCONNECTED
_PROTOCOL_REASONS = {
    int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH): "a client without a key",
    int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC): "a client with the key of another monitor",
}


class Refusals:
    """Counts refusals; reports the first at once, then one line for each reason every `REPORT_EVERY_S`."""

    def __init__(self, counters: Counter[str], report: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._counters = counters
        self._report = report
        self._clock = clock
        self._due_s = clock()
        self._unreported: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Count one refusal."""
        self._counters["refused"] += 1
        own_line = reason in self._unreported or len(self._unreported) < REASONS_PER_REPORT
        self._unreported[reason if own_line else "others"] += 1
        self.report_due()

    def report_due(self, *, at_end: bool = False) -> None:
        """Report what is unreported if `REPORT_EVERY_S` has passed, or `at_end`."""
        now_s = self._clock()
        if not self._unreported or (now_s < self._due_s and not at_end):
            return
        for reason, times in self._unreported.items():
            more = f", {times} times since the last line" if times > 1 else ""
            self._report(f"bus: refused {reason}{more} ({self._counters['refused']} in all)")
        self._unreported.clear()
        self._due_s = now_s + REPORT_EVERY_S


class Connections:
    """Connections of one socket, by file descriptor.

    In each turn of the loop: `read_events`, then `message_received` for each message, then `process_events`.

    Args:
        sock: not bound yet.

    Attributes:
        events: socket that is readable when there are events.
    """

    def __init__(self, sock: zmq.Socket[bytes], refusals: Refusals) -> None:
        self.events: zmq.Socket[bytes] = sock.get_monitor_socket(_EVENTS)
        self.events.setsockopt(zmq.LINGER, 0)
        self._opened: set[int] = set()  # descriptors of open connections, authenticated or not
        self._known: dict[int, str] = {}  # descriptor -> public key, of connections that sent a message
        self._subscriptions: Counter[int] = Counter()  # by descriptor; ZeroMQ keeps them in memory
        self._refusals = refusals
        self._address: int | str = 0  # TCP port, or path of the `ipc://` socket
        self._unprocessed: list[tuple[int, int]] = []
        self._senders: dict[int, str] = {}  # descriptor -> public key, in this turn
        self._silent = 0  # authenticated connections that sent no message yet
        self._failed = 0  # counted handshake failures whose disconnect event is still to come

    def bound(self, endpoint: str) -> None:
        """Note the endpoint of the socket after `bind`."""
        scheme, _, address = endpoint.partition("://")
        self._address = int(address.rpartition(":")[2]) if scheme == "tcp" else address

    def read_events(self) -> None:
        """Read the events; before the socket is read, so that a client that sends and leaves is known by then."""
        for frames in received(self.events, EVENTS_PER_CALL):
            event = parse_monitor_message(frames)
            self._unprocessed.append((int(event["event"]), int(event["value"])))

    def message_received(self, descriptor: int, key: str, subscribes: int = 0) -> None:
        """Note the public key that sent a message; `subscribes`: +1 or -1, the change of its subscriptions.

        Its handshake event was read in an earlier turn, because authentication needs a turn of the loop.
        """
        self._senders[descriptor] = key
        if subscribes and descriptor in self._opened:
            self._subscriptions[descriptor] += subscribes
            if self._subscriptions[descriptor] == MAX_SUBSCRIPTIONS + 1:
                self._refusals.add(f"more than {MAX_SUBSCRIPTIONS} subscriptions of key {key}")
                _shut_down(descriptor, self._address)

    def process_events(self) -> None:
        """Count new, failed and closed connections; after the socket was read."""
        for event, value in self._unprocessed:
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
        for descriptor, key in self._senders.items():
            if descriptor in self._opened and descriptor not in self._known:
                self._known[descriptor] = key
                self._silent -= 1
        self._unprocessed.clear()
        self._senders.clear()

    def keep_only(self, allowed: Container[str]) -> None:
        """Close the connections whose public key is not in `allowed`."""
        for descriptor, key in (self._known | self._senders).items():
            if key not in allowed:
                self._refusals.add(f"key {key}, which is no longer allowed")
                _shut_down(descriptor, self._address)

    def _add(self, descriptor: int) -> None:
        self._known.pop(descriptor, None)
        self._subscriptions.pop(descriptor, None)
        self._opened.add(descriptor)
        if len(self._opened) > MAX_CONNECTIONS:
            self._refusals.add(f"a connection over the limit of {MAX_CONNECTIONS} per socket")
            self._failed += 1
            _shut_down(descriptor, self._address)

    def _remove(self, descriptor: int) -> None:
        """Count a closed connection.

        ZeroMQ has no event for a peer that never spoke its protocol: that is what no other event explains.
        """
        self._opened.discard(descriptor)
        self._subscriptions.pop(descriptor, None)
        if self._known.pop(descriptor, None) is not None:
            return
        if descriptor in self._senders or self._silent > 0:
            self._silent -= 1
        elif self._failed > 0:
            self._failed -= 1
        else:
            self._refusals.add("a connection that did not speak ZeroMQ")


def _shut_down(descriptor: int, address: int | str) -> None:
    """Shut down a connection of this process; ZeroMQ then sees it broken. Does nothing if ZeroMQ has closed it.

    If the descriptor belongs to another client by now, that client connects again and recovers.
    """
    try:
        copy = os.dup(descriptor)
    except OSError:
        return
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # the descriptor is a file by now
        os.close(copy)
        return
    with connection, contextlib.suppress(OSError):
        name = connection.getsockname()
        if (name[1] if isinstance(name, tuple) else name) == address:
            connection.shutdown(socket.SHUT_RDWR)
