"""Who is connected to a guarded socket: counted from ZeroMQ's events, and cut off at the socket below.

ZeroMQ tells when a connection comes, proves its key, fails to, and goes; it does not tell which key a connection
has, and cannot end one. Both come by the file descriptor, which is in its events and in the metadata of what a
client sends.
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

EVENTS_A_CALL = 2_000
MAX_CONNECTIONS = 200  # of one socket; three times this is well under the 1024 files a process may usually open
MAX_SUBSCRIPTIONS = 10_000  # of one connection: 2,000 beds, each stream by itself
TELL_EVERY_S = 10.0
LINES_A_TIME = 5  # kinds told by themselves: who makes up keys must not fill a log

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | _FAILED | zmq.EVENT_DISCONNECTED
_PROTOCOL_WORDS = {
    int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH): "a client without a key",
    int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC): "a client with the key of another monitor",
}


class Refusals:
    """Counts who was turned away, and tells it: the first at once, then every TELL_EVERY_S a line for each kind.

    Args:
        counters: of the bus; `refused` is ours.
        tell: given one line for a person.
        clock: monotonic time, s.
    """

    def __init__(self, counters: Counter[str], tell: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._counters = counters
        self._tell = tell
        self._clock = clock
        self._due_s = clock()
        self._untold: Counter[str] = Counter()

    def add(self, whom: str) -> None:
        """One more."""
        self._counters["refused"] += 1
        self._untold[whom if whom in self._untold or len(self._untold) < LINES_A_TIME else "others"] += 1
        self.tell_due()

    def tell_due(self, *, at_end: bool = False) -> None:
        """Tell what was not told yet, where it is time to."""
        now_s = self._clock()
        if not self._untold or (now_s < self._due_s and not at_end):
            return
        for whom, times in self._untold.items():
            more = f", {times} times since the last line" if times > 1 else ""
            self._tell(f"bus: refused {whom}{more} ({self._counters['refused']} in all)")
        self._untold.clear()
        self._due_s = now_s + TELL_EVERY_S


class Connections:
    """Connections of one socket, by file descriptor. A turn of the loop: `read`, `heard` of each message, `settle`.

    Args:
        sock: not bound yet.
        refusals: told who was turned away.

    Attributes:
        events: readable when there is something to `read`.
        opened: connected, whether let in or not.
        known: descriptor -> public key of who has said something.
        subscriptions: descriptor -> how many it has; ZeroMQ keeps them in memory.
    """

    def __init__(self, sock: zmq.Socket[bytes], refusals: Refusals) -> None:
        self.events: zmq.Socket[bytes] = sock.get_monitor_socket(_EVENTS)
        self.events.setsockopt(zmq.LINGER, 0)
        self.opened: set[int] = set()
        self.known: dict[int, str] = {}
        self.subscriptions: Counter[int] = Counter()
        self._refusals = refusals
        self._place: int | str = 0  # TCP port that it listens on, or path of its `ipc://` socket
        self._unread: list[tuple[int, int]] = []
        self._heard: dict[int, str] = {}
        self._unsaid = 0  # let in, but not heard of yet
        self._failed = 0  # handshakes that failed and were counted, whose end is still to be told

    @property
    def pending(self) -> tuple[int, int]:
        """Let in but not heard of yet; failed but not gone yet."""
        return self._unsaid, self._failed

    def bound(self, endpoint: str) -> None:
        """It listens there now."""
        scheme, _, address = endpoint.partition("://")
        self._place = int(address.rpartition(":")[2]) if scheme == "tcp" else address

    def read(self) -> None:
        """Take the events there are; before the socket is read, so that who sends and leaves is known by then."""
        for frames in received(self.events, EVENTS_A_CALL):
            event = parse_monitor_message(frames)
            self._unread.append((int(event["event"]), int(event["value"])))

    def heard(self, descriptor: int, key: str, subscribes: int = 0) -> None:
        """A message came; `subscribes`: 1 for a subscription, -1 for the end of one.

        The event of its coming was read in an earlier turn: to be let in, a client waits for one.
        """
        self._heard[descriptor] = key
        if subscribes and descriptor in self.opened:
            self.subscriptions[descriptor] += subscribes
            if self.subscriptions[descriptor] == MAX_SUBSCRIPTIONS + 1:
                self._refusals.add(f"more than {MAX_SUBSCRIPTIONS} subscriptions of key {key}")
                _cut(descriptor, self._place)

    def settle(self) -> None:
        """Count who came and went; after the socket was read."""
        for event, value in self._unread:
            if event == zmq.EVENT_ACCEPTED:
                self._came(value)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._unsaid += 1
            elif event == zmq.EVENT_DISCONNECTED:
                self._left(value)
            else:
                self._failed += 1
                if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                    self._refusals.add(_PROTOCOL_WORDS.get(value, "a client that broke the protocol"))
                elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                    self._refusals.add("a connection that ended before it proved its key")
        for descriptor, key in self._heard.items():
            if descriptor in self.opened and descriptor not in self.known:
                self.known[descriptor] = key
                self._unsaid -= 1
        self._unread.clear()
        self._heard.clear()

    def keep_only(self, allowed: Container[str]) -> None:
        """Cut off who has another key."""
        for descriptor, key in (self.known | self._heard).items():
            if key not in allowed:
                self._refusals.add(f"key {key}, which is not allowed any more")
                _cut(descriptor, self._place)

    def _came(self, descriptor: int) -> None:
        self.known.pop(descriptor, None)
        self.subscriptions.pop(descriptor, None)
        self.opened.add(descriptor)
        if len(self.opened) > MAX_CONNECTIONS:
            self._refusals.add(f"a connection over the {MAX_CONNECTIONS} that one socket takes")
            self._failed += 1
            _cut(descriptor, self._place)

    def _left(self, descriptor: int) -> None:
        """A connection has ended. ZeroMQ has no event for what never spoke its protocol: it is what is left over."""
        self.opened.discard(descriptor)
        self.subscriptions.pop(descriptor, None)
        if self.known.pop(descriptor, None) is not None:
            return
        if descriptor in self._heard or self._unsaid > 0:
            self._unsaid -= 1
        elif self._failed > 0:
            self._failed -= 1
        else:
            self._refusals.add("a connection that spoke no ZeroMQ")


def _cut(descriptor: int, place: int | str) -> None:
    """End a connection of ours. ZeroMQ then sees it broken; where it has closed it already, nothing is done.

    Should the number belong to another client by now, that one connects again and recovers.
    """
    try:
        copy = os.dup(descriptor)
    except OSError:
        return
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # a file by now
        os.close(copy)
        return
    with connection, contextlib.suppress(OSError):
        name = connection.getsockname()
        if (name[1] if isinstance(name, tuple) else name) == place:
            connection.shutdown(socket.SHUT_RDWR)
