"""The HTTP server of the metrics: one thread and a time limit a connection, and a limited number of connections."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from http.server import ThreadingHTTPServer
from typing import Any, Protocol, cast

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import MetricsHandler

from monitor.bus.endpoints import listen_alone
from monitor.terminal import notice

__all__ = ["LimitedServer"]

MAX_CONNECTIONS = 64
IDLE_S = 10.0  # without a byte read or sent, a connection is closed


class _Reading(Protocol):
    def request_read(self, connection: socket.socket) -> None: ...


class _Handler(MetricsHandler):
    """Answers one request a connection."""

    timeout = IDLE_S

    def parse_request(self) -> bool:
        """Read and parse the head of a request."""
        parsed = super().parse_request()
        cast(_Reading, self.server).request_read(self.connection)
        return parsed


class LimitedServer(ThreadingHTTPServer):
    """Serves a registry; `serve_forever` in a thread, then `shutdown`.

    A Prometheus server sends its request at once. So when all connections are in use, the oldest one that has not sent
    its request is closed for the new one; without such a one, the new one is closed.

    Raises:
        OSError: the address is in use or cannot be bound.
    """

    daemon_threads = True
    allow_reuse_address = allow_reuse_port = False  # see server_bind
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, listen: str, port: int, registry: CollectorRegistry) -> None:
        family, _, _, _, address = socket.getaddrinfo(listen, port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._reading: dict[socket.socket, None] = {}  # whose request has not arrived, oldest first
        super().__init__(cast(tuple[str, int], address[:2]), type("Handler", (_Handler,), {"registry": registry}))

    def server_bind(self) -> None:
        """Bind the address for this program alone."""
        listen_alone(self.socket)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, if the limit permits."""
        with self._lock:
            full = len(self._open) >= MAX_CONNECTIONS
            oldest = next(iter(self._reading), None) if full else None
            if oldest is not None:
                del self._reading[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread ends
            if not full or oldest is not None:
                self._open.add(request)
                self._reading[request] = None
        if full and oldest is None:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def request_read(self, connection: socket.socket) -> None:
        """Note that a request has arrived."""
        with self._lock:
            self._reading.pop(connection, None)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.discard(request)
            self._reading.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Report an error of the monitor in one line; a client that leaves or is silent is none."""
        error = sys.exception()
        if not isinstance(error, OSError):
            notice(f"metrics: {error!r}")
