"""Who is let in: CURVE on every socket of the bus, and the allow-list behind it.

ZeroMQ does the cryptography and asks us about each key (ZAP, RFC 27) on a socket that the loop serves like its
others: no thread, no lock, and every question is counted. pyzmq's own `zmq.auth` would do that part, but it tells
neither who was refused nor a user id of our choice. The id we give is the public key; ZeroMQ hands it back with
every request, and the allow-list then says name and role as they are now.

Who is connected, and how somebody is cut off whom the list holds no more: `monitor.bus.connections`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
import zmq
from zmq.utils import z85

from monitor.bus.connections import Connections, Refusals
from monitor.bus.keys import CLIENTS_FILE, Client, ServerKeys, load_clients, screen_key
from monitor.bus.receive import received
from monitor.bus.requests import RequestError
from monitor.errors import ConfigError
from monitor.messages import Request

__all__ = ["Authenticator"]

ZAP_ENDPOINT = "inproc://zeromq.zap.01"  # fixed by RFC 27
ZAP_DOMAIN = b"ecg-monitor"
QUESTIONS_A_CALL = 100
HANDSHAKE_MS = 5_000  # who has not proved its key by then is disconnected
LOOK_EVERY_S = 1.0  # at the allow-list, where nobody connects or asks
OPERATORS_ONLY: Final = ("acknowledge", "pause_audio")


class Authenticator:
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
        self._connections: dict[zmq.Socket[bytes], Connections] = {}
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
        self._connections[sock] = Connections(sock, self._refusals)

    def opened(self, sock: zmq.Socket[bytes], endpoint: str, poller: zmq.Poller) -> None:
        """A guarded socket is bound, to `endpoint`; wake the loop when somebody knocks."""
        connections = self._connections[sock]
        connections.bound(endpoint)
        poller.register(connections.events, zmq.POLLIN)
        poller.register(self._zap, zmq.POLLIN)

    # -- in the loop -----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Answer who knocks; before the sockets are read."""
        questions = list(received(self._zap, QUESTIONS_A_CALL))
        for connections in self._connections.values():
            connections.read()
        for frames in questions:
            self._answer(frames)

    def hear(self, sock: zmq.Socket[bytes], frame: zmq.Frame, subscribes: int = 0) -> Client | None:
        """Who sent this frame, as the allow-list has it now; None = nobody that is still in it.

        Args:
            sock: on which it came.
            frame: any of the message, as ZeroMQ gave it.
            subscribes: 1 for a subscription, -1 for the end of one.
        """
        try:
            key, descriptor = str(frame.get("User-Id")), int(frame.get("__fd"))
        except zmq.ZMQError:  # ZeroMQ's own word: it unsubscribes for who has left
            return None
        self._connections[sock].heard(descriptor, key, subscribes)
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
        for connections in self._connections.values():
            connections.settle()
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
        before, self._clients = self._clients, self._with_screen(clients)
        gone = [client.name for key, client in before.items() if key not in self._clients]
        self._tell(
            f"bus: {len(clients)} clients may connect from now on" + (f", no more: {', '.join(gone)}" if gone else "")
        )
        for connections in self._connections.values():
            connections.keep_only(self._clients)

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
