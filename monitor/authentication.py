"""Who is let in: CURVE on every socket of the bus, and the allow-list behind it.

ZeroMQ does the cryptography and asks us about each key (ZAP, RFC 27) on a socket that the loop serves like its
others: no thread, no lock, and every question is counted. pyzmq's own `zmq.auth` would do that part, but it tells
neither who was refused nor a user id of our choice. The id we give is the public key; ZeroMQ hands it back with
every request, and the allow-list then says name and role as they are now.

ZeroMQ cannot end one connection, so that whom the list no longer holds is cut off at the socket below it: the
descriptor comes with a client's subscriptions and requests.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from monitor.config import ConfigError
from monitor.control import RequestError
from monitor.keys import CLIENTS_FILE, Client, ServerKeys, load_clients, screen_key
from monitor.messages import Request

__all__ = ["Gate", "Refusals"]

ZAP_ENDPOINT = "inproc://zeromq.zap.01"  # fixed by RFC 27
ZAP_DOMAIN = b"ecg-monitor"
QUESTIONS_A_CALL = 100
EVENTS_A_CALL = 2_000
HANDSHAKE_MS = 5_000  # who has not proved its key by then is disconnected
MAX_CONNECTIONS = 200  # of one socket; three times this is well under the 1024 files a process may usually open
LOOK_EVERY_S = 1.0  # at the allow-list, where nobody connects or asks
TELL_EVERY_S = 10.0
OPERATORS_ONLY: Final = ("acknowledge", "pause_audio")

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | _FAILED | zmq.EVENT_DISCONNECTED
_PROTOCOL_WORDS = {
    int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH): "a client without a key",
    int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC): "a client with the key of another monitor",
}


class Refusals:
    """Counts who was turned away, and tells it: the first at once, then one line every TELL_EVERY_S.

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
        self._untold = 0
        self._last = ""

    def add(self, why: str) -> None:
        """One more."""
        self._counters["refused"] += 1
        self._untold += 1
        self._last = why
        self.tell_due()

    def tell_due(self, *, at_end: bool = False) -> None:
        """Tell what was not told yet, where it is time to."""
        now_s = self._clock()
        if not self._untold or (now_s < self._due_s and not at_end):
            return
        more = f", {self._untold} times since the last line" if self._untold > 1 else ""
        self._tell(f"bus: refused {self._last}{more} ({self._counters['refused']} in all)")
        self._untold, self._due_s = 0, now_s + TELL_EVERY_S


@dataclass(slots=True)
class _Door:
    """Connections of one of the three sockets, by file descriptor.

    Attributes:
        sock, events: the socket and its monitor.
        port: TCP port that it listens on, or path of its `ipc://` socket.
        opened: connected, whether let in or not.
        known: descriptor -> public key of who has said something.
        heard: the same, heard in this turn of the loop.
        unsaid: let in, but not heard of yet.
        failed: handshakes that failed and were counted, whose end is still to be told.
        untold: events not looked at yet.
    """

    sock: zmq.Socket[bytes]
    events: zmq.Socket[bytes]
    port: int | str
    opened: set[int] = field(default_factory=set)
    known: dict[int, str] = field(default_factory=dict)
    heard: dict[int, str] = field(default_factory=dict)
    unsaid: int = 0
    failed: int = 0
    untold: list[tuple[int, int]] = field(default_factory=list)


class Gate:
    """Asks everybody who connects for a key of the allow-list.

    Args:
        context: of the bus; nobody else may answer ZAP in it.
        keys: of this monitor.
        counters: of the bus: `refused` connections, `denied` requests.
        tell: given one line for a person.
        clock: monotonic time, s.

    Attributes:
        screen: a key that is let in as an operator as long as this process lives.

    Raises:
        ConfigError: the allow-list cannot be read.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys: ServerKeys,
        counters: Counter[str],
        tell: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.screen = screen_key(keys)
        self._keys = keys
        self._counters = counters
        self._tell = tell
        self._clock = clock
        self._refusals = Refusals(counters, tell, clock)
        self._doors: dict[zmq.Socket[bytes], _Door] = {}
        self._looked_s = clock()
        self._seen = self._signature()
        self._clients = self._with_screen(load_clients(keys.folder))
        self._zap: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self._zap.setsockopt(zmq.LINGER, 0)
        self._zap.bind(ZAP_ENDPOINT)

    # -- set up ----------------------------------------------------------------------------------------------

    def guard(self, sock: zmq.Socket[bytes]) -> None:
        """Demand CURVE of who connects to a socket; before it is bound."""
        sock.setsockopt(zmq.CURVE_SERVER, 1)
        sock.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret.encode())
        sock.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # else ZeroMQ lets everybody in when nobody answers ZAP
        sock.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        events = sock.get_monitor_socket(_EVENTS)
        assert events is not None
        events.setsockopt(zmq.LINGER, 0)
        self._doors[sock] = _Door(sock, events, 0)

    def opened(self, sock: zmq.Socket[bytes], endpoint: str, poller: zmq.Poller) -> None:
        """A guarded socket is bound, to `endpoint`; wake the loop when somebody knocks."""
        door = self._doors[sock]
        scheme, _, address = endpoint.partition("://")
        door.port = int(address.rpartition(":")[2]) if scheme == "tcp" else address
        poller.register(door.events, zmq.POLLIN)
        poller.register(self._zap, zmq.POLLIN)

    # -- in the loop -----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Answer who knocks; before the sockets are read.

        An `accepted` is always seen before the first message of that connection, which needs our answer first.
        """
        questions = _received(self._zap, QUESTIONS_A_CALL)
        for door in self._doors.values():
            for frames in _received(door.events, EVENTS_A_CALL):
                event = parse_monitor_message(frames)
                door.untold.append((int(event["event"]), int(event["value"])))
        for frames in questions:
            self._answer(frames)

    def hear(self, sock: zmq.Socket[bytes], frame: zmq.Frame) -> Client | None:
        """Who sent this frame, as the allow-list has it now; None = nobody that is still in it."""
        try:
            key, descriptor = str(frame.get("User-Id")), int(frame.get("__fd"))
        except zmq.ZMQError:  # ZeroMQ's own word: it unsubscribes for who has left
            return None
        self._doors[sock].heard[descriptor] = key
        self._look_at_list()
        return self._clients.get(key)

    def permit(self, request: Request, client: Client | None) -> Request:
        """The request as this client may make it: `who` begins with the name of its key.

        Raises:
            RequestError: it may not.
        """
        if client is None:
            self._counters["denied"] += 1
            raise RequestError(f"{request.op}: this key is not allowed any more", request.id)
        if request.op not in OPERATORS_ONLY:
            return request
        if client.role != "operator":
            self._counters["denied"] += 1
            self._refusals.tell_due()
            raise RequestError(
                f"{request.op}: key {client.name} is a {client.role}'s, it takes an operator's", request.id
            )
        said = request.who.strip()
        who = client.name if said in ("", client.name) else f"{client.name} ({said})"
        return msgspec.structs.replace(request, who=who)

    def settle(self) -> None:
        """Count who came and went, and cut off who may not stay; after the sockets were read."""
        for door in self._doors.values():
            self._count(door)
        if self._clock() - self._looked_s >= LOOK_EVERY_S:
            self._look_at_list()
        self._refusals.tell_due()

    def close(self) -> None:
        """Tell what was not told yet."""
        self._refusals.tell_due(at_end=True)

    # -- inside ----------------------------------------------------------------------------------------------

    def _answer(self, frames: list[bytes]) -> None:
        """One question of ZeroMQ: sender, empty, version, id, domain, address, routing id, mechanism, key."""
        if len(frames) < 9 or frames[7] != b"CURVE" or len(frames[8]) != 32:
            return  # from nobody but this process: a connection that is not answered is not let in
        key = z85.encode(frames[8]).decode()
        self._look_at_list()
        client = self._clients.get(key)
        if client is None:
            self._refusals.add(f"unknown key {key} from {frames[5].decode(errors='replace')}")
        # 300, not 400: libzmq's client would never come again, although the list may let it in a minute later.
        code, text, user = (b"200", b"OK", key.encode()) if client else (b"300", b"unknown key", b"")
        self._zap.send_multipart([frames[0], b"", b"1.0", frames[3], code, text, user, b""], zmq.NOBLOCK)

    def _count(self, door: _Door) -> None:
        for event, value in door.untold:
            if event == zmq.EVENT_ACCEPTED:
                door.known.pop(value, None)
                door.opened.add(value)
                if len(door.opened) > MAX_CONNECTIONS:
                    self._refusals.add(f"a connection over the {MAX_CONNECTIONS} that one socket takes")
                    door.failed += 1
                    _cut(value, door.port)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                door.unsaid += 1
            elif event == zmq.EVENT_DISCONNECTED:
                self._left(door, value)
            else:
                door.failed += 1
                if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                    self._refusals.add(_PROTOCOL_WORDS.get(value, "a client that broke the protocol"))
                elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                    self._refusals.add("a connection that ended before it proved its key")
        for descriptor, key in door.heard.items():
            if descriptor in door.opened and descriptor not in door.known:
                door.known[descriptor] = key
                door.unsaid -= 1
        door.untold.clear()
        door.heard.clear()

    def _left(self, door: _Door, descriptor: int) -> None:
        """A connection has ended. ZeroMQ has no event for what never spoke its protocol: it is what is left over."""
        door.opened.discard(descriptor)
        if door.known.pop(descriptor, None) is not None:
            return
        if descriptor in door.heard or door.unsaid > 0:
            door.unsaid -= 1
        elif door.failed > 0:
            door.failed -= 1
        else:
            self._refusals.add("a connection that spoke no ZeroMQ")

    def _look_at_list(self) -> None:
        """Take over a list that was changed. One that cannot be read changes nothing: it is told, once."""
        self._looked_s = self._clock()
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            clients = load_clients(self._keys.folder)
        except ConfigError as error:
            self._tell(f"bus: {error}; the clients stay as they were")
            return
        self._clients = self._with_screen(clients)
        self._tell(f"bus: {len(clients)} clients may connect from now on")
        for door in self._doors.values():
            for descriptor, key in (door.known | door.heard).items():
                if key not in self._clients:
                    self._refusals.add(f"key {key}, which is not allowed any more")
                    _cut(descriptor, door.port)

    def _signature(self) -> tuple[int, ...]:
        """Changes whenever the file does."""
        try:
            status = (self._keys.folder / CLIENTS_FILE).stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)

    def _with_screen(self, clients: tuple[Client, ...]) -> dict[str, Client]:
        own = Client(self.screen.name, "operator", self.screen.public)
        return {client.public: client for client in (*clients, own)}


def _received(sock: zmq.Socket[bytes], most: int) -> list[list[bytes]]:
    got: list[list[bytes]] = []
    with contextlib.suppress(zmq.Again):
        while len(got) < most:
            got.append(sock.recv_multipart(zmq.NOBLOCK))
    return got


def _cut(descriptor: int, port: int | str) -> None:
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
    with connection:
        try:
            name = connection.getsockname()
            if (name[1] if isinstance(name, tuple) else name) == port:
                connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
