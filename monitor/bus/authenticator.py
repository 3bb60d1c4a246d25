"""CURVE authentication (ZAP, RFC 27) of every socket of the bus against the allow-list.

ZeroMQ does the cryptography and sends each public key to a ZAP socket, which the loop of the bus serves like its other
sockets: no thread, no lock, and every request is counted. pyzmq's `zmq.auth` reports neither refused keys nor a user
id of our choice. The user id given here is the public key. ZeroMQ attaches it to every message, and the allow-list as
it is at that time gives name and role.

`monitor.bus.sockets` closes the connections whose key was removed from the allow-list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container
from typing import Final

import msgspec
import zmq
from zmq.utils import z85

from monitor.bus.allow_list import DASHBOARD_NAME, WEB_NAME, Client, file_signature, load_clients
from monitor.bus.keys import ServerKeys, key_in_memory
from monitor.bus.receive import received
from monitor.bus.refusals import Refusals
from monitor.bus.requests import RequestError
from monitor.errors import ConfigError
from monitor.messages import Request

__all__ = ["OPERATORS_ONLY", "Authenticator"]

ZAP_ENDPOINT = "inproc://zeromq.zap.01"  # fixed by RFC 27
ZAP_DOMAIN = b"ecg-monitor"
HANDSHAKES_PER_CALL = 100
CHECK_EVERY_S = 1.0  # the allow-list is checked for changes, also without connections or requests
OPERATORS_ONLY: Final = ("acknowledge", "pause_audio")


class Authenticator:
    """Accepts clients whose key is in the allow-list.

    In each turn of the loop: `read_handshakes` and `answer`, then `client` for each message, then `update`.

    Args:
        context: of the bus; nothing else in it may answer ZAP.
        counters: of the bus: `denied` requests.
        refusals: counts and reports refused connections.
        removed: called with the keys in force when a key was removed.
        keys, report, clock: see Bus.

    Attributes:
        screen: key of the dashboard in this process, an operator.
        web: key of the web server beside this monitor; it checks the roles of the persons at its pages itself.

    Raises:
        ConfigError: the allow-list cannot be read.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys: ServerKeys,
        counters: Counter[str],
        refusals: Refusals,
        removed: Callable[[Container[str]], None],
        report: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.screen = key_in_memory(keys, DASHBOARD_NAME)
        self.web = key_in_memory(keys, WEB_NAME)
        self._keys = keys
        self._counters = counters
        self._refusals = refusals
        self._removed = removed
        self._report = report
        self._clock = clock
        self._checked_s = clock()
        self._signature = file_signature(keys.folder)
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

    def register(self, poller: zmq.Poller) -> None:
        """Wake the poller when a client connects."""
        poller.register(self._zap, zmq.POLLIN)

    def read_handshakes(self) -> list[list[bytes]]:
        """Read the ZAP requests that have arrived, for `answer`."""
        return list(received(self._zap, HANDSHAKES_PER_CALL))

    def client(self, key: str) -> Client | None:
        """Find the client with a public key; None if it was removed from the allow-list."""
        self._reload_changed_list()
        return self._clients.get(key)

    def authorize(self, request: Request, client: Client) -> Request:
        """Check that a client may make a request; returns it with a `who` that begins with the name of its key.

        Raises:
            RequestError: its role does not permit the request.
        """
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
        if client.name == WEB_NAME and given:
            who = given  # the name of the person's token, which the web server has checked
        return msgspec.structs.replace(request, who=who)

    def update(self) -> None:
        """Apply changes of the allow-list; after the sockets were read."""
        if self._clock() - self._checked_s >= CHECK_EVERY_S:
            self._reload_changed_list()

    def answer(self, frames: list[bytes]) -> None:
        """Accept or refuse a new connection.

        Args:
            frames: ZAP request: sender, empty, version, id, domain, address, routing id, mechanism, key.
        """
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
        signature = file_signature(self._keys.folder)
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
        if removed:
            self._removed(self._clients)

    def _by_key(self, clients: tuple[Client, ...]) -> dict[str, Client]:
        own = (Client(key.name, "operator", key.public) for key in (self.screen, self.web))
        return {client.public: client for client in (*clients, *own)}
