"""The page under attack: a monitor with its web server, an open page of an honest person, and the server's memory."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil
from common.programs import ToolError, Watch, rss_mb, wait_for

from attacks.attack import Outcome
from attacks.target import Target
from monitor.bus.keys import add_token

__all__ = ["PageTarget", "Visitor", "ask", "raw_page"]

_SERVER_MB = 60.0  # more memory of the web server than this under an attack is bad
_SILENCE_S = 3.0  # an honest page gets a heartbeat a second

Answer = tuple[int, Mapping[str, str]]


def ask(address: str, method: str = "GET", path: str = "/", body: str = "", **headers: str) -> Answer:
    """One HTTP request; status and headers of the answer."""
    parts = urlsplit(address)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20.0)) as connection:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders())


def raw_page(address: str, cookie: str) -> socket.socket:
    """A WebSocket whose frames the attack writes itself."""
    parts = urlsplit(address)
    sock = socket.create_connection((parts.hostname or "", parts.port or 0), 20.0)
    sock.sendall(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        + f"Cookie: {cookie}\r\n\r\n".encode()
    )
    sock.recv(1)
    return sock


class Visitor(threading.Thread):
    """A page without a browser, which reads all it gets.

    Attributes:
        close_code: of the server; None while the page is open.
        longest_s: longest time without a frame, s.
    """

    def __init__(self, address: str, cookie: str) -> None:
        super().__init__(daemon=True)
        self.end = threading.Event()
        self.close_code: int | None = None
        self.longest_s = 0.0
        self.frames = 0
        self._address, self._cookie = address, cookie

    def run(self) -> None:
        asyncio.run(self._visit())

    async def _visit(self) -> None:
        url, headers = self._address + "ws", {"Cookie": self._cookie}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers=headers) as page,
        ):
            await page.send_json({"op": "start"})
            last_s = time.monotonic()
            while not self.end.is_set():
                try:
                    message = await page.receive(0.1)
                except TimeoutError:
                    message = None
                self.longest_s = max(self.longest_s, time.monotonic() - last_s)
                if message is None:
                    continue
                last_s = time.monotonic()
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    self.close_code = page.close_code or 1006
                    return
                self.frames += 1


class PageTarget(Target):
    """A monitor with keys and a page; the operator `nurse` has it open, `visitor` is a viewer's token.

    Attributes:
        address: of the page.
        server: the web server's process.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--web", "127.0.0.1:0", keys=True)
        nurse, self._token = (add_token(self.keys, name, "operator") for name in ("nurse", "visitor"))
        self.address = re.findall(r"page on (\S+)", self.program.output())[0]
        wait_for(self._served, "the page")
        time.sleep(1.0)  # the web server reads the new tokens
        self.server: psutil.Process = self.program.usage.children()[0]
        self._honest = Visitor(self.address, self.login(nurse))
        self._honest.start()
        self.callback(self._honest.end.set)
        wait_for(lambda: self._honest.frames, "the first frame")
        self._honest.longest_s = 0.0
        self._server_memory = Watch(lambda: [self.server] if self.server.is_running() else [], rss_mb, every_s=0.05)
        self.callback(self._server_memory.end)
        self._server_before_mb = self._server_memory.now_mb

    def login(self, token: str = "") -> str:
        """Cookie of a new session, of the visitor or of another token."""
        status, headers = ask(self.address, "POST", "/login", json.dumps({"token": token or self._token}))
        if status != 204:
            raise ToolError(f"POST /login was answered with {status}, not with 204")
        return headers["Set-Cookie"].partition(";")[0]

    def page_outcome(self, attack: str, now: str, *, good: bool = True) -> Outcome:
        """The attack is over: judge the honest page, the web server and the monitor."""
        frames = self._honest.frames
        wait_for(lambda: self._honest.frames > frames + 2 or self._honest.close_code, "frames of the honest page")
        grown_mb = self._server_memory.most_mb - self._server_before_mb
        page = "closed" if self._honest.close_code else f"silent for at most {self._honest.longest_s:.1f} s"
        now = f"{now}; page of another person {page}, web server {grown_mb:+,.0f} MB"
        good = good and not self._honest.close_code and self._honest.longest_s < _SILENCE_S and grown_mb < _SERVER_MB
        return self.outcome(attack, now, good=good)

    def _served(self) -> bool:
        try:
            return ask(self.address)[0] == 200
        except OSError:
            return False
