"""Attacks on the resources of the web server: slow, large, many; an honest page goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from monitor.web import application, connections
from monitor.web.frames import MAX_REQUEST_BYTES
from monitor.web.server import WebOptions
from tests.monitor.web.helpers import (
    UPGRADE,
    ask,
    closed,
    keys_in,
    login,
    opened,
    raw,
    reply_to,
    served,
    wait_for,
)

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def address() -> Iterator[str]:
    with served() as made:
        yield made


def _read_all(sock: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):  # reset
        while piece := sock.recv(65_536):
            answer += piece
    return answer


def test_a_connection_without_a_whole_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow loris: nothing, half a request line, headers that never end, and nothing after a reply."""
    monkeypatch.setattr(connections, "REQUEST_S", 0.5)
    with served() as address:
        slow = [raw(address) for _ in range(4)]
        slow[1].sendall(b"GET / HT")
        slow[2].sendall(GET + b"X-A: ")
        slow[3].sendall(GET + b"\r\n")
        assert ask(address).status == 200
        assert [_read_all(sock)[:12] for sock in slow] == [b"", b"", b"", b"HTTP/1.1 200"]
        for sock in slow:
            sock.close()


def test_a_drip_of_headers_does_not_extend_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.5)
    with served() as address, raw(address) as sock:
        sock.settimeout(0.05)
        sent = 0
        with contextlib.suppress(ConnectionError):
            sock.sendall(GET)
            for sent in range(100):  # below the number of headers that aiohttp permits
                sock.sendall(f"X-{sent}: a\r\n".encode())
                with contextlib.suppress(TimeoutError):
                    assert sock.recv(1) == b""
                    break
        assert sent < 99


def test_a_page_is_no_slow_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.2)

    async def attack(address: str) -> None:
        async with opened(address) as page:
            await asyncio.sleep(0.5)
            await reply_to(page, op="strip", monitor=9)

    with served() as address:
        asyncio.run(attack(address))


def test_a_slow_body_of_a_login_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("monitor.web.access._BODY_S", 0.3)
    keys_in(tmp_path / "keys")
    with served(WebOptions(keys=str(tmp_path / "keys"))) as address, raw(address) as sock:
        sock.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in sock.recv(65_536).splitlines()[0]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        GET + b"".join(b"X-%d: a\r\n" % number for number in range(10_000)) + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\x00" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["long header", "long path", "many headers", "TLS", "zeros", "version", "negative length", "two lengths"],
)  # fmt: skip
def test_a_malformed_request_is_refused(monkeypatch: pytest.MonkeyPatch, request_bytes: bytes) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.5)
    reports: list[str] = []
    with served(reports=reports) as address:
        with raw(address) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(request_bytes)
            answer = _read_all(sock)
        assert not answer or answer.split()[1] in (b"400", b"431", b"505")
        assert b"Traceback" not in answer
        assert ask(address).status == 200
    assert all("\n" not in line for line in reports)


@pytest.mark.parametrize("size", [MAX_REQUEST_BYTES + 1, 100_000_000])
@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_a_large_frame_closes_its_page_only(address: str, opcode: int, size: int) -> None:
    async def attack() -> None:
        async with opened(address) as honest:
            before = psutil.Process().memory_info().rss
            with _raw_page(address) as page:
                with contextlib.suppress(ConnectionError):
                    page.sendall(bytes([0x80 | opcode, 0xFF]) + size.to_bytes(8, "big") + bytes(4))
                    for _ in range(0, size, 1_000_000):
                        page.sendall(bytes(1_000_000))
                answer = _read_all(page)
            assert not answer or (1009).to_bytes(2, "big") in answer  # or reset, before that could be read
            assert psutil.Process().memory_info().rss - before < 30e6
            await reply_to(honest, op="strip", monitor=9)

    asyncio.run(attack())


def test_a_flood_of_large_requests_waits_unread(address: str) -> None:
    size = 60_000
    frame = b"\x81\xfe" + size.to_bytes(2, "big") + bytes(4) + b"a" * size

    def flood() -> int:
        """Send for 2 s; returns the number of requests that the sockets took."""
        sent, end_s = 0, time.monotonic() + 2.0
        with _raw_page(address) as page, contextlib.suppress(TimeoutError):
            page.settimeout(0.5)
            while time.monotonic() < end_s:
                page.sendall(frame)
                sent += 1
        return sent

    async def attack() -> None:
        async with opened(address) as honest:
            sent = await asyncio.to_thread(flood)
            assert 60 < sent < 1_000  # 60 at once, 10 a second, and what the sockets hold
            await reply_to(honest, op="strip", monitor=9)

    asyncio.run(attack())


def _raw_page(address: str) -> socket.socket:
    """A WebSocket whose frames the test writes itself."""
    sock = raw(address)
    sock.sendall(UPGRADE + b"\r\n")
    assert sock.recv(1) == b"H"
    return sock


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "[" * 60_000, '{"op": "shutdown"}', '{"op": "start", "x": 1}', '{"op": "acknowledge", "bed": 7}',
        '{"op": "strip", "n": -1}', '{"op": "strip", "monitor": 256}', '{"op": "strip", "bed": "\\ud800"}',
    ],
)  # fmt: skip
def test_a_request_that_is_none_gets_one_line(address: str, text: str) -> None:
    async def attack() -> None:
        async with opened(address) as page:
            await page.send_str(text)
            while not (frame := await page.receive_str()).startswith('*\n{"type":"reply"'):
                pass
            assert '"ok":false' in frame
            assert "Traceback" not in frame
            await reply_to(page, op="strip", monitor=9)

    asyncio.run(attack())


def test_connections_are_limited(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(connections, "MAX_PER_ADDRESS", 10)

    async def attack() -> None:
        async with opened(address) as page:
            held = [raw(address) for _ in range(30)]
            await reply_to(page, op="strip", monitor=9)
            closed_at_once = [sock for sock in held if _is_closed(sock)]
            assert len(closed_at_once) >= 20
            for sock in held:
                sock.close()

    asyncio.run(attack())
    wait_for(lambda: _answers(address), "a free place")


def test_connections_that_have_ended_do_not_count(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(connections, "MAX_PER_ADDRESS", 10)
    for number in range(300):
        with raw(address) as sock:
            sock.sendall([GET + b"\r\n", b"GET /ws HTTP/1.1\r\n", b"", b"\x00"][number % 4])
    assert ask(address).status == 200  # at once


def _is_closed(sock: socket.socket) -> bool:
    sock.settimeout(0.3)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def _answers(address: str) -> bool:
    try:
        return ask(address).status == 200
    except OSError:
        return False


def test_pages_are_limited(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(application, "_MAX_PAGES", 2)

    async def attack() -> None:
        async with opened(address) as first, opened(address), opened(address) as third:
            assert await closed(third) == 4429
            await reply_to(first, op="strip", monitor=9)

    asyncio.run(attack())


def test_requests_of_a_page_are_slowed_down_and_none_is_lost(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(application, "_REQUESTS_BURST", 5.0)
    monkeypatch.setattr(application, "_REQUESTS_PER_S", 20.0)

    async def attack() -> float:
        loop = asyncio.get_running_loop()
        async with opened(address) as page, opened(address) as honest:
            began_s = loop.time()
            for _ in range(24):
                await page.send_json({"op": "strip", "id": 1, "monitor": 9})
            await reply_to(honest, op="strip", monitor=9)  # not behind the others
            await reply_to(page, op="strip", monitor=9)
            return loop.time() - began_s

    assert asyncio.run(attack()) >= 20 / 20.0 * 0.99


def test_a_logged_in_page_survives_a_flood_of_logins(tmp_path: Path) -> None:
    tokens = keys_in(tmp_path / "keys")

    async def attack(address: str) -> None:
        async with opened(address, login(address, tokens["desk"])) as page:
            for _ in range(50):
                ask(address, "/login", "POST", body='{"token": "x"}')
            await reply_to(page, op="strip", monitor=9)

    with served(WebOptions(keys=str(tmp_path / "keys"))) as address:
        asyncio.run(attack(address))
