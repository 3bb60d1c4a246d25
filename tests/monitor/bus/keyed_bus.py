"""A bus with keys, clients with and without a key, for the tests of authentication."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from monitor.bus.endpoints import endpoints_from
from monitor.bus.keys import ClientKey, add_client, load_client_key, load_server_keys, make_server_keys, use_key
from monitor.bus.server import Bus
from monitor.client.client import AlarmClient
from monitor.journal import Journal
from monitor.messages import Reply, Request, bed_topic, encode
from tests.monitor.bus.helpers import ANY, TIMEOUT_S, alarm, wait_for

ALARMS = bed_topic("p1", "alarm")
WITHOUT_VALID_KEY = ["no key", "unknown key", "key of another monitor", "password"]


class KeyedBus:
    """A bus with keys for a viewer `ward-3` and an operator `desk`; one alarm is active.

    Attributes:
        reports: lines for the user.
        now_s: clock of the bus, s.
        served: requests that reached the pipeline.
        reconnect_ms: interval at which new sockets connect again; -1 = never.
    """

    def __init__(self, folder: Path, endpoint: str = ANY) -> None:
        self.folder = folder
        self.reconnect_ms = 20
        make_server_keys(folder)
        self.viewer = load_client_key(add_client(folder, "ward-3", "viewer"))
        self.operator = load_client_key(add_client(folder, "desk", "operator"))
        self.reports: list[str] = []
        self.now_s = 0.0
        self.served: list[Request] = []
        self.bus = Bus(
            endpoints_from(endpoint),
            epoch="run-1",
            journal=Journal(":memory:"),
            keys=load_server_keys(folder),
            report=self.reports.append,
            clock=lambda: self.now_s,
        )
        self.context = zmq.Context()
        self._made: list[zmq.Socket] = []  # pyzmq warns of a socket that is not closed
        self.bus.publish(ALARMS, alarm(1))

    def turn(self) -> None:
        for request in self.bus.service(0.002):
            self.served.append(request.request)
            reply = self.bus.snapshot() if request.request.op == "snapshot" else Reply(ok=True)
            request.reply(reply)

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, what, self.turn)

    def check_refusals(self, count: int, endpoint: str, sent: bytes = b"GET / HTTP/1.0\r\n\r\n") -> None:
        """Check that `count` connections were refused, and that one that does not speak ZeroMQ is one more."""
        with socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2]))) as raw:
            raw.sendall(sent)
        self.until(lambda: self.bus.counters["refused"] > count, "the refusal")
        assert self.ask(self.viewer, Request(op="ping")).ok
        assert self.bus.counters["refused"] == count + 1

    def socket(self, kind: int, endpoint: str, key: ClientKey | None = None, password: str = "") -> zmq.Socket:
        sock = self.context.socket(kind)
        self._made.append(sock)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RECONNECT_IVL, self.reconnect_ms)
        if key is not None:
            use_key(sock, key)
        if password:
            sock.setsockopt(zmq.PLAIN_USERNAME, b"ward-3")
            sock.setsockopt(zmq.PLAIN_PASSWORD, password.encode())
        if kind == zmq.SUB:
            sock.subscribe(b"")
        sock.connect(endpoint)
        return sock

    def intruder(self, what: str, kind: int, endpoint: str) -> zmq.Socket:
        """A socket that connects by one of `WITHOUT_VALID_KEY`."""
        public, secret = (part.decode() for part in zmq.curve_keypair())
        keys = {
            "unknown key": ClientKey("ward-3", public, secret, self.viewer.server),
            "key of another monitor": dataclasses.replace(self.viewer, server=public),
        }
        return self.socket(kind, endpoint, keys.get(what), "secret" if what == "password" else "")

    def ask(self, key: ClientKey, request: Request | bytes) -> Reply:
        """Send a request on a new connection; returns the reply."""
        dealer = self.socket(zmq.DEALER, self.bus.endpoints.control, key)
        reply = self.ask_on(dealer, request)
        dealer.close()
        return reply

    def ask_on(self, dealer: zmq.Socket, request: Request | bytes) -> Reply:
        dealer.send(request if isinstance(request, bytes) else encode(request))
        self.until(lambda: dealer.poll(0), "a reply")
        return msgspec.json.decode(dealer.recv_multipart()[-1], type=Reply)

    def client(self, key: ClientKey, **options: object) -> AlarmClient:
        ends = self.bus.endpoints
        return AlarmClient(ends.alarms, ends.control, patience_s=TIMEOUT_S, key=key, **options)  # type: ignore[arg-type]

    def close(self) -> None:
        self.context.destroy(linger=0)
        self.bus.close()


def try_to_send(sock: zmq.Socket, body: bytes) -> None:
    with contextlib.suppress(zmq.Again):  # a refused connection may be closed for good: never wait for it
        sock.send(body, zmq.NOBLOCK)
