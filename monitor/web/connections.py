"""Connections to the web server: accepted within limits, and closed if no whole request comes in time.

aiohttp itself limits the size of what it reads, but neither the number of connections nor the time of a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

__all__ = ["MAX_CONNECTIONS", "REQUEST_S", "Acceptor"]

MAX_CONNECTIONS: Final = 512  # well below 1024, the usual limit of open files
MAX_PER_ADDRESS: Final = 128  # all programs on this machine, and all behind one proxy, have one address
REQUEST_S: Final = 10.0  # from the connection, or the reply before, to the end of the headers; also for TLS
_FULL_S: Final = 0.5  # pause where the system has no more files


class _Connection(web.RequestHandler):
    """One connection; it is aborted after REQUEST_S in which no request is being served."""

    def __init__(self, manager: web.Server, loop: asyncio.AbstractEventLoop, closed: Callable[[], None]) -> None:
        super().__init__(manager, loop=loop, access_log=None)  # type: ignore[arg-type]  # as AppRunner documents it
        self._own_loop = loop
        self._closed = closed
        self._timer: asyncio.TimerHandle | None = None
        self._own_transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._own_transport = transport
        self.wait_for_request()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.request_began()
        self._own_transport = None
        self._closed()
        super().connection_lost(exc)

    def request_began(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wait_for_request(self) -> None:
        self.request_began()
        if isinstance(self._own_transport, asyncio.Transport):
            self._timer = self._own_loop.call_later(REQUEST_S, self._own_transport.abort)


@web.middleware
async def _watch_requests(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    connection = request.protocol
    if isinstance(connection, _Connection):
        connection.request_began()
    try:
        response: web.StreamResponse = await handler(request)
        return response
    finally:
        if isinstance(connection, _Connection):
            connection.wait_for_request()


class Acceptor:
    """Accepts connections on a socket for an application.

    Args:
        app: the application; gets a middleware that sees when a request begins and ends.
        listening: bound and listening socket; the caller closes it.
        tls: context of TLS; None = plain HTTP.

    Attributes:
        refused: connections closed at once because there were too many.
    """

    def __init__(self, app: web.Application, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        app.middlewares.insert(0, _watch_requests)
        self._runner = web.AppRunner(app, access_log=None)
        self._listening = listening
        self._tls = tls
        self._of_address: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self.refused = 0

    async def start(self) -> None:
        """Begin to accept connections."""
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("web.AppRunner has no server after setup()")
        self._listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(server))

    async def close(self) -> None:
        """Close all connections."""
        if self._accepting is not None:
            self._accepting.cancel()
        for task in self._tasks:
            task.cancel()
        await self._runner.cleanup()

    async def _accept(self, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._listening)
            except OSError:  # the connection is gone already, or the system has no more files
                await asyncio.sleep(_FULL_S)
                continue
            host = str(address[0])
            if self._of_address.total() >= MAX_CONNECTIONS or self._of_address[host] >= MAX_PER_ADDRESS:
                self.refused += 1
                sock.close()
                continue
            self._of_address[host] += 1
            task = asyncio.create_task(self._serve(server, sock, host))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # `sock_accept` does not wait while connections are queued. Let the others run, so that those whose peer
            # has gone end before they count towards the limits.
            await asyncio.sleep(0)

    async def _serve(self, server: web.Server, sock: socket.socket, host: str) -> None:
        """Serve one connection until it is closed."""
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()
        timeout = {"ssl_handshake_timeout": REQUEST_S} if self._tls else {}
        try:
            with contextlib.suppress(OSError):  # also of TLS: no handshake, not TLS, gone
                await loop.connect_accepted_socket(
                    lambda: _Connection(server, loop, closed.set), sock, ssl=self._tls, **timeout
                )
                await closed.wait()
        finally:
            self._of_address[host] -= 1
            if not self._of_address[host]:
                del self._of_address[host]
