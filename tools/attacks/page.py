"""Attacks on the page of a monitor, by real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections import Counter
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from common.programs import wait_for

from attacks.attack import Outcome
from attacks.page_target import PageTarget, Visitor, ask, raw_page
from monitor.bus.keys import remove_client

__all__ = [
    "connections_in_turn",
    "foreign_requests",
    "guessed_tokens",
    "killed_server",
    "large_frame",
    "paths",
    "removed_token",
    "request_flood",
    "slow_loris",
    "stolen_cookie",
    "stopped_reader",
]

PATHS = (
    "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static//etc/passwd", "//etc/passwd",
    "/static/%00", "/static/%c0%ae%c0%ae/server.py", "/../../etc/passwd", "/static/..\\server.py",
)  # fmt: skip


def foreign_requests(folder: Path) -> Outcome:
    """DNS rebinding and requests of another site."""
    with PageTarget(folder) as target:
        cookie = target.login()
        statuses: Counter[int] = Counter()
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"):
            statuses[ask(target.address, path="/", Host=host, Cookie=cookie)[0]] += 1
        for origin in ("http://evil.example", "null", "http://localhost:1"):
            for method, path in (("GET", "/ws"), ("POST", "/login"), ("POST", "/logout"), ("GET", "/api/alarms")):
                statuses[ask(target.address, method, path, Origin=origin, Cookie=cookie)[0]] += 1
        good = set(statuses) <= {403, 421}
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
        return target.page_outcome("requests with a foreign Host or Origin and a valid cookie", answers, good=good)


def guessed_tokens(folder: Path) -> Outcome:
    """Logins with made-up tokens, and cookies that were never given."""
    with PageTarget(folder) as target:
        statuses = Counter(
            ask(target.address, "POST", "/login", json.dumps({"token": str(n)}))[0] for n in range(2_000)
        )
        name = f"ecg-session-{urlsplit(target.address).port}"
        cookies = Counter(ask(target.address, path="/api/alarms", Cookie=f"{name}={n}")[0] for n in range(200))
        given = ", ".join(map(str, cookies))
        now = f"{statuses[403]} are compared, {statuses[429]} refused unread; made-up cookies get {given}"
        good = set(statuses) == {403, 429} and statuses[403] < 100 and set(cookies) == {401}
        return target.page_outcome("2,000 logins with made-up tokens, 200 made-up cookies", now, good=good)


def stolen_cookie(folder: Path) -> Outcome:
    """A cookie that was set before the login (fixation), and one that is used after the logout (replay)."""
    with PageTarget(folder) as target:
        cookie = target.login()
        name = cookie.partition("=")[0]
        fixed = ask(target.address, path="/api/alarms", Cookie=f"{name}=chosen")[0]
        ask(target.address, "POST", "/logout", Cookie=cookie)
        replayed = ask(target.address, path="/api/alarms", Cookie=cookie)[0]
        now = f"the chosen cookie gets {fixed}, the replayed one {replayed}"
        what = "a cookie chosen before the login, a cookie after the logout"
        return target.page_outcome(what, now, good=fixed == replayed == 401)


def removed_token(folder: Path) -> Outcome:
    """A token is removed while its page is open."""
    with PageTarget(folder) as target:
        visitor = Visitor(target.address, target.login())
        visitor.start()
        wait_for(lambda: visitor.frames, "the first frame")
        remove_client(target.keys, "visitor")
        began_s = time.monotonic()
        wait_for(lambda: visitor.close_code or time.monotonic() > began_s + 10.0, "the end of the page")
        now = f"its page is closed with {visitor.close_code} after {time.monotonic() - began_s:.1f} s"
        visitor.end.set()
        return target.page_outcome("a token is removed while its page is open", now, good=visitor.close_code == 4401)


def paths(folder: Path) -> Outcome:
    """Path traversal."""
    with PageTarget(folder) as target:
        cookie = target.login()
        statuses = Counter(ask(target.address, path=path, Cookie=cookie)[0] for path in PATHS)
        now = f"answered with {', '.join(map(str, sorted(statuses)))}"
        good = set(statuses) <= {400, 403, 404}
        return target.page_outcome(f"{len(PATHS)} paths that leave the folder of the page", now, good=good)


def connections_in_turn(folder: Path) -> Outcome:
    """10,000 connections, one after the other, a quarter of them with a whole request."""
    with PageTarget(folder) as target:
        for number in range(10_000):
            with contextlib.suppress(OSError), _connect(target) as sock:
                sock.sendall([b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /ws HT", b"", b"\0"][number % 4])
        status = ask(target.address)[0]
        wait_for(lambda: target.server.num_fds() < 64, "closed connections")
        now = f"a new page gets {status}, {target.server.num_fds()} files open"
        return target.page_outcome("10,000 connections in turn", now, good=status == 200)


def slow_loris(folder: Path) -> Outcome:
    """Connections that send a header a second and never end."""
    with PageTarget(folder) as target, contextlib.ExitStack() as stack:
        drips = [stack.enter_context(_connect(target)) for _ in range(100)]
        for drip in drips:
            drip.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        answered = 0
        for second in range(15):
            for drip in drips:
                with contextlib.suppress(OSError):
                    drip.send(b"X-%d: a\r\n" % second)
            answered += ask(target.address)[0] == 200
            time.sleep(1.0)
        closed = sum(_is_closed(drip) for drip in drips)
        now = f"{closed} are closed after 10 s, {answered} of 15 other requests are answered"
        what = "100 connections that send a header a second (slow loris)"
        return target.page_outcome(what, now, good=closed == 100 and answered == 15)


def large_frame(folder: Path) -> Outcome:
    """A frame of 100 MB on an open page."""
    with PageTarget(folder) as target, raw_page(target.address, target.login()) as page:
        sent = 0
        with contextlib.suppress(OSError):
            page.sendall(b"\x81\xff" + (100_000_000).to_bytes(8, "big") + bytes(4))
            for sent in range(100):  # noqa: B007
                page.sendall(bytes(1_000_000))
        return target.page_outcome("a frame of 100 MB", f"its page is closed after {sent} MB", good=sent < 99)


def request_flood(folder: Path) -> Outcome:
    """An open page sends requests without end and reads no reply."""
    with PageTarget(folder) as target, raw_page(target.address, target.login()) as page:
        body = json.dumps({"op": "strip", "id": 1, "bed": "p1"}).encode()
        frame = bytes([0x81, 0x80 | len(body)]) + bytes(4) + body
        page.settimeout(2.0)
        sent = 0
        end_s = time.monotonic() + 15.0
        with contextlib.suppress(OSError):
            while time.monotonic() < end_s:
                page.sendall(frame * 100)
                sent += 100
        return target.page_outcome(
            "`strip` requests without end on a page", f"10 a second are read, the rest waits in the sockets ({sent:,})"
        )


def stopped_reader(folder: Path) -> Outcome:
    """Pages that want every wave and do not read."""
    with PageTarget(folder) as target, contextlib.ExitStack() as stack:
        wanted = json.dumps({"op": "view", "waves": [[0, "p1"]], "beats": [[0, "p1"]]}).encode()
        cookie = target.login()
        for _ in range(50):
            page = stack.enter_context(raw_page(target.address, cookie))
            for body in (b'{"op": "start"}', wanted):
                page.sendall(bytes([0x81, 0x80 | len(body)]) + bytes(4) + body)
        time.sleep(30.0)
        return target.page_outcome(
            "50 pages that want every wave and read nothing for 30 s", "their waves are left out"
        )


def killed_server(folder: Path) -> Outcome:
    """The web server is killed three times."""
    with PageTarget(folder) as target:
        for times in range(1, 4):
            target.program.usage.children()[0].kill()
            wait_for(partial(_restarted, target, times), "the report")
            wait_for(lambda: _answers(target), "the page")
        return target.outcome("the web server is killed, three times", "it is started again at the same address")


def _connect(target: PageTarget) -> socket.socket:
    parts = urlsplit(target.address)
    return socket.create_connection((parts.hostname or "", parts.port or 0), 20.0)


def _is_closed(sock: socket.socket) -> bool:
    sock.settimeout(1.0)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def _restarted(target: PageTarget, times: int) -> bool:
    return target.program.output().count("started again") >= times


def _answers(target: PageTarget) -> bool:
    with contextlib.suppress(OSError):
        return ask(target.address)[0] == 200
    return False
