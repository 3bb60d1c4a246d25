"""CURVE authentication (ZAP, RFC 27) of every socket of the bus against the allow-list.

ZeroMQ does the cryptography and sends each public key to a ZAP socket, which the loop of the bus serves like its other
sockets: no thread, no lock, and every request is counted. pyzmq's `zmq.auth` reports neither refused keys nor a user
id of our choice. The user id given here is the public key. ZeroMQ attaches it to every message, and the allow-list as
it is at that time gives name and role.

`monitor.bus.connections` tracks the connections and closes those whose key was removed from the allow-list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
import zmq
from zmq.utils import z85

from monitor.bus.allow_list import CLIENTS_FILE, Client, load_clients
from monitor.bus.connections import Connections, Refusals
from monitor.bus.keys import ServerKeys, screen_key
from monitor.bus.receive import received
from monitor.bus.requests import RequestError
from monitor.errors import ConfigError
from monitor.messages import Request

__all__ = ["Authenticator"]

ZAP_ENDPOINT = "inproc://zeromq.zap.01"  # fixed by RFC 27
ZAP_DOMAIN = b"ecg-monitor"
HANDSHAKES_PER_CALL = 100
HANDSHAKE_MS = 5_000  # a client that has not proved its key by then is disconnected
CHECK_EVERY_S = 1.0  # the allow-list is checked for changes, also without connections or requests
OPERATORS_ONLY: Final = ("acknowledge", "pause_audio")


class Authenticator:
    """Accepts clients whose key is in the allow-list.

    In each turn of the loop: `answer_handshakes`, then `identify` for each message, then `update`.

    Args:
        context: of the bus; nothing else in it may answer ZAP.
        counters: of the bus: `refused` connections, `denied` requests.
        keys, report, clock: see Bus.

    Attributes:
        screen: key of the dashboard in this process, an operator.

    Raises:
        ConfigError: the allow-list cannot be read.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys: ServerKeys,
        counters: Counter[str],
        report: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.screen = screen_key(keys)
        self._keys = keys
        self._counters = counters
        self._report = report
        self._clock = clock
        self._refusals = Refusals(counters, report, clock)
        self._connections: dict[zmq.Socket[bytes], Connections] = {}
        self._checked_s = clock()
        self._signature = self._file_signature()
        self._clients = self._by_key(load_clients(keys.folder))
        self._zap: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self._zap.setsockopt(zmq.LINGER, 0)
        self._zap.bind(ZAP_ENDPOINT)

    def require_key(self, sock: zmq.Socket[bytes]) -> None:
        """Make a socket accept CURVE clients only; call it before `bind`."""
        sock.setsockopt(zmq.CURVE_SERVER, 1)
        sock.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret.encode())
        sock.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # else ZeroMQ accepts every client while ZAP is not answered
        sock.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        self._connections[sock] = Connections(sock, self._refusals)

    def bound(self, sock: zmq.Socket[bytes], endpoint: str, poller: zmq.Poller) -> None:
        """Note the endpoint of a socket after `bind`; wake the poller when a client connects."""
        connections = self._connections[sock]
        connections.bound(endpoint)
        poller.register(connections.events, zmq.POLLIN)
        poller.register(self._zap, zmq.POLLIN)

    def answer_handshakes(self) -> None:
        """Accept or refuse new connections; before the sockets are read."""
        handshakes = list(received(self._zap, HANDSHAKES_PER_CALL))
        for connections in self._connections.values():
            connections.read_events()
        for frames in handshakes:
            self._answer(frames)

    def identify(self, sock: zmq.Socket[bytes], frame: zmq.Frame, subscribes: int = 0) -> Client | None:
        """Find the client that sent a message by any of its frames; None if it was removed from the allow-list.

        Args:
            subscribes: 1 for a new subscription, -1 for the end of one.
        """
        try:
            key, descriptor = str(frame.get("User-Id")), int(frame.get("__fd"))
        except zmq.ZMQError:  # from ZeroMQ itself: it unsubscribes for a client that has left
            return None
        self._connections[sock].message_received(descriptor, key, subscribes)
        self._reload_changed_list()
        return self._clients.get(key)

    def authorize(self, request: Request, client: Client | None) -> Request:
        """Check that a client may make a request; returns it with a `who` that begins with the name of its key.

        Raises:
            RequestError: the client was removed, or its role does not permit the request.
        """
        if client is None:
            self._counters["denied"] += 1
            raise RequestError(f"{request.op}: this key is no longer allowed", request.id)
        if request.op not in OPERATORS_ONLY:
            return request
        if client.role != "operator":
            self._counters["denied"] += 1
            self._refusals.report_due()
            raise RequestError(
                f"{request.op}: needs an operator's key; the key of {client.name} is a {client.role}'s", request.id
            )
        given = request.who.strip()
        who = client.name if given in ("", client.name) else f"{client.name} ({given})"
        return msgspec.structs.replace(request, who=who)

    def update(self) -> None:
        """Count new and closed connections, apply changes of the allow-list; after the sockets were read."""
        for connections in self._connections.values():
            connections.process_events()
        if self._clock() - self._checked_s >= CHECK_EVERY_S:
            self._reload_changed_list()
        self._refusals.report_due()

    def close(self) -> None:
        """Report the refusals that are not reported yet."""
        self._refusals.report_due(at_end=True)

    def _answer(self, frames: list[bytes]) -> None:
        """Answer a ZAP request: sender, empty, version, id, domain, address, routing id, mechanism, key."""
        if len(frames) < 9 or frames[7] != b"CURVE" or len(frames[8]) != 32:
            return  # not from ZeroMQ, but from this process: a connection without an answer is refused
        key = z85.encode(frames[8]).decode()
        self._reload_changed_list()
        client = self._clients.get(key)
        if client is None:
            self._refusals.add(f"unknown key {key} from {frames[5].decode(errors='replace')}")
        # 300, not 400: after 400 libzmq's client never tries again, although the key may be added a minute later.
        code, text, user = (b"200", b"OK", key.encode()) if client else (b"300", b"unknown key", b"")
        self._zap.send_multipart([frames[0], b"", b"1.0", frames[3], code, text, user, b""], zmq.NOBLOCK)

    def _reload_changed_list(self) -> None:
        """Apply a changed allow-list. One that cannot be read is reported once and changes nothing."""
        self._checked_s = self._clock()
        signature = self._file_signature()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            clients = load_clients(self._keys.folder)
        except ConfigError as error:
            self._report(f"bus: {error}; the allow-list in force is unchanged")
            return
        before, self._clients = self._clients, self._by_key(clients)
        removed = [client.name for key, client in before.items() if key not in self._clients]
        self._report(
            f"bus: allow-list changed: {len(clients)} clients" + (f", removed {', '.join(removed)}" if removed else "")
        )
        for connections in self._connections.values():
            connections.keep_only(self._clients)

    def _file_signature(self) -> tuple[int, ...]:
        """A value that differs whenever the file of the allow-list has changed."""
        try:
            status = (self._keys.folder / CLIENTS_FILE).stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)

    def _by_key(self, clients: tuple[Client, ...]) -> dict[str, Client]:
        dashboard = Client(self.screen.name, "operator", self.screen.public)
        return {client.public: client for client in (*clients, dashboard)}
