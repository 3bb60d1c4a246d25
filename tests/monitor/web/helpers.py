"""A web server in a thread, a monitor with its page as a process, and plain HTTP and WebSocket clients."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from common.programs import FREE_BUS, MONITOR, Program

from monitor.bus.keys import add_token, make_server_keys
from monitor.web.server import Site, WebOptions, address_of, bind, serve

__all__ = ["UPGRADE", "Answer", "WebMonitor", "ask", "keys_in", "login", "opened", "raw", "served", "wait_for"]

TIMEOUT_S = 60.0
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str


def ask(address: str, path: str = "/", method: str = "GET", *, body: str = "", **headers: str) -> Answer:
    """One HTTP request; header `a_b` is sent as `a-b`. `host` replaces the header Host."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())


def raw(address: str) -> socket.socket:
    """A TCP connection to the server."""
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname or "", parts.port or 0), TIMEOUT_S)


def login(address: str, token: str, **headers: str) -> str:
    """Log in; returns the cookie, `name=value`."""
    answer = ask(address, "/login", "POST", body=json.dumps({"token": token}), **headers)
    assert answer.status == 204, answer
    return answer.headers["Set-Cookie"].partition(";")[0]


@contextlib.asynccontextmanager
async def opened(address: str, cookie: str = "", **headers: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A page without a browser: the WebSocket."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if cookie:
        sent["Cookie"] = cookie
    async with aiohttp.ClientSession() as session, session.ws_connect(address + "ws", headers=sent) as page:
        yield page


async def reply_to(page: aiohttp.ClientWebSocketResponse, **request: Any) -> dict[str, Any]:
    """Send a request on a page; returns the reply."""
    await page.send_json({"id": 7, **request})
    async with asyncio.timeout(TIMEOUT_S):
        async for message in page:
            if message.type is aiohttp.WSMsgType.TEXT and message.data.startswith("*\n"):
                body: dict[str, Any] = json.loads(message.data[2:])
                if body["type"] == "reply" and body["id"] == 7:
                    return body
    raise AssertionError(f"the page was closed: {page.close_code}")


async def closed(page: aiohttp.ClientWebSocketResponse) -> int:
    """Read until the server closes the page; returns the close code."""
    async with asyncio.timeout(TIMEOUT_S):
        async for _message in page:
            pass
    assert page.close_code is not None
    return page.close_code


def keys_in(folder: Path) -> dict[str, str]:
    """Make a key folder with an operator `desk` and a viewer `ward`; returns name -> token."""
    make_server_keys(folder)
    return {"desk": add_token(folder, "desk", "operator"), "ward": add_token(folder, "ward", "viewer")}


@contextlib.contextmanager
def served(
    options: WebOptions | None = None,
    reports: list[str] | None = None,
    site: Site | None = None,
    listen: str = "127.0.0.1:0",
) -> Iterator[str]:
    """Serve the page of no monitor, or another site, in a thread; gives the address."""
    options = options or WebOptions()
    sock = bind(listen, options)
    address = address_of(sock, options)
    stop, ready = threading.Event(), threading.Event()
    report = (reports if reports is not None else []).append
    thread = threading.Thread(target=serve, args=(options, sock, stop, report, ready.set, site))
    thread.start()
    try:
        assert ready.wait(TIMEOUT_S)
        yield address
    finally:
        stop.set()
        thread.join()


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"timed out waiting for {what}"
        time.sleep(0.02)


class WebMonitor(Program):
    """A monitor with its page, as processes; a context manager.

    Attributes:
        address: of the page.
    """

    def __init__(self, *words: str, source: str = "sim", page: str = "127.0.0.1:0") -> None:
        super().__init__([*MONITOR, "--source", source, "--no-dashboard", *FREE_BUS, "--web", page, *words])
        wait_for(lambda: "page on" in self.output() or not self.alive, "the address of the page")
        found = re.search(r"page on (\S+)", self.output())
        assert found, self.output()
        self.address = found[1]
        if not self.address.startswith("https"):
            wait_for(self.answers, "the page")

    def answers(self) -> bool:
        """Whether the page is served; a connection waits while the server is started again."""
        try:
            return ask(self.address).status == 200
        except OSError:
            return False
