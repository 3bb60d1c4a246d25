"""Attacks on the access to the page, by real sockets: host, origin, token, cookie, role, path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from monitor.bus.allow_list import load_allow_list, locked, save_allow_list
from monitor.bus.keys import make_server_keys, remove_client
from monitor.web.access import _LOGINS_BURST
from monitor.web.server import WebOptions
from tests.monitor.web.helpers import ask, closed, keys_in, login, opened, raw, reply_to, served

FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:80",
    "127.0.0.1.evil.example",
    "",
    "a b",
    "[::1",
    "2130706433",
    "10.0.0.1",
]


@pytest.fixture(scope="module")
def open_page() -> Iterator[str]:
    """Address of a page without keys."""
    with served(WebOptions(hosts=("ward.example",))) as address:
        yield address


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def tokens(keys: Path) -> dict[str, str]:
    return keys_in(keys)


@pytest.fixture
def page(keys: Path, tokens: dict[str, str]) -> Iterator[str]:
    """Address of a page with keys."""
    with served(WebOptions(keys=str(keys))) as address:
        yield address


async def _refusal(address: str, cookie: str = "", **headers: str) -> int:
    """Status of a refused WebSocket."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with opened(address, cookie, **headers):
            pass
    return refused.value.status


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_host_is_refused(open_page: str, host: str) -> None:
    for path in ("/", "/static/app.js", "/ws", "/nothing"):
        assert ask(open_page, path, host=host).status in (400, 421)
    assert asyncio.run(_refusal(open_page, host=host)) in (400, 421)


def test_names_of_this_machine_and_given_names_are_hosts(open_page: str) -> None:
    port = urlsplit(open_page).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost:9", "[::1]:9", "LOCALHOST", "Ward.Example."):
        assert ask(open_page, host=host).status == 200
    assert "--host NAME" in ask(open_page, host="ward-2.example").text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", ""])
def test_a_foreign_origin_is_refused(page: str, tokens: dict[str, str], origin: str) -> None:
    cookie = login(page, tokens["desk"])
    assert asyncio.run(_refusal(page, cookie, origin=origin)) == 403
    body = json.dumps({"token": tokens["desk"]})
    for path in ("/login", "/logout"):
        assert ask(page, path, "POST", body=body, origin=origin, cookie=cookie).status == 403
    assert ask(page, "/login", "POST", body=body, sec_fetch_site="cross-site").status == 403
    assert ask(page, "/static/app.js", sec_fetch_site="same-site").status == 403
    assert ask(page, "/", sec_fetch_site="cross-site").status == 200  # a link in a mail


def test_the_own_origin_is_accepted(page: str, tokens: dict[str, str]) -> None:
    async def first_frame() -> str:
        async with opened(page, login(page, tokens["ward"], origin=page.rstrip("/")), origin=page.rstrip("/")) as ws:
            return str(await ws.receive_str())

    hello = json.loads(asyncio.run(first_frame())[2:])
    assert (hello["type"], hello["name"], hello["role"]) == ("hello", "ward", "viewer")


def test_every_answer_has_the_headers(page: str, tokens: dict[str, str]) -> None:
    answers = [
        ask(page), ask(page, "/static/app.js"), ask(page, "/nothing"), ask(page, host="evil.example"),
        ask(page, "/login", "POST", body="no"), ask(page, "/login", "PUT"),
        ask(page, "/login", "POST", body=json.dumps({"token": tokens["desk"]})),
    ]  # fmt: skip
    assert [answer.status for answer in answers] == [200, 200, 401, 421, 400, 405, 204]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;")
        assert policy.endswith("base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Server"] == "ecg-monitor"
    assert "evil" not in answers[3].headers["Content-Security-Policy"]


def test_static_files_have_an_etag(open_page: str) -> None:
    first = ask(open_page, "/static/app.js")
    assert first.headers["Cache-Control"] == "no-cache"  # asks again each time
    assert ask(open_page, "/static/app.js", if_none_match=first.headers["Etag"]).status == 304


def test_without_a_token_nothing_but_the_empty_page_is_given(page: str, tokens: dict[str, str]) -> None:
    name = login(page, tokens["desk"]).partition("=")[0]

    async def code(cookie: str) -> int:
        async with opened(page, cookie) as ws:
            return await closed(ws)

    for cookie in ("", f"{name}=", f"{name}={'A' * 43}", f"{name}={tokens['desk']}", "other=1"):
        assert asyncio.run(code(cookie)) == 4401
        assert ask(page, "/api/alarms", cookie=cookie).status == 401
        assert ask(page, "/").status == 200


def test_a_list_without_tokens_is_reported_with_the_remedy(tmp_path: Path) -> None:
    make_server_keys(tmp_path / "keys")
    reports: list[str] = []
    with served(WebOptions(keys=str(tmp_path / "keys")), reports) as address:
        (line,) = reports
        assert line.endswith(f"ecg-monitor keys add {tmp_path / 'keys'} NAME --web --page {address}")


@pytest.mark.parametrize(
    "body", ["", "{}", "null", '{"token": 1}', '{"token": "x", "role": "operator"}', "x" * 5000, "\x00", "[" * 900]
)
def test_a_login_that_is_none(page: str, body: str) -> None:
    answer = ask(page, "/login", "POST", body=body)
    assert answer.status == 400
    assert "Set-Cookie" not in answer.headers


def test_a_wrong_token_and_a_removed_one(page: str, keys: Path, tokens: dict[str, str]) -> None:
    for token in ("", "x", tokens["desk"][:-1], tokens["desk"] + "A", tokens["desk"].swapcase(), "\ud800", "\x00"):
        answer = ask(page, "/login", "POST", body=json.dumps({"token": token}))
        assert answer.status in (400, 403)
        assert "Set-Cookie" not in answer.headers
    remove_client(keys, "desk")

    def refused() -> int:
        return ask(page, "/login", "POST", body=json.dumps({"token": tokens["desk"]})).status

    assert refused() in (204, 403)  # the list is read again within 0.2 s
    asyncio.run(asyncio.sleep(0.3))
    assert refused() == 403


def test_the_cookie(page: str, tokens: dict[str, str]) -> None:
    answer = ask(page, "/login", "POST", body=json.dumps({"token": tokens["desk"]}))
    words = answer.headers["Set-Cookie"].split("; ")
    port = urlsplit(page).port
    assert words[0].startswith(f"ecg-session-{port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(words)
    assert tokens["desk"] not in answer.headers["Set-Cookie"]


def test_fixation_is_impossible(page: str, tokens: dict[str, str]) -> None:
    """An id that the client brings is never adopted, and an earlier session ends with a new login."""
    first = login(page, tokens["ward"])
    name, _, old = first.partition("=")
    for offered in ("chosen-by-the-attacker", old):
        cookie = login(page, tokens["desk"], cookie=f"{name}={offered}")
        assert cookie.partition("=")[2] not in ("", offered)
    assert ask(page, "/api", cookie=f"{name}=chosen-by-the-attacker").status == 401
    assert ask(page, "/api", cookie=first).status == 401
    assert ask(page, "/api", cookie=cookie).status == 404


def test_a_replayed_cookie_after_logout(page: str, tokens: dict[str, str]) -> None:
    async def code() -> int:
        cookie = login(page, tokens["desk"])
        async with opened(page, cookie) as ws, opened(page, login(page, tokens["desk"])) as other:
            assert ask(page, "/logout", "POST", cookie=cookie).status == 204
            closed_with = await closed(ws)
            assert ask(page, "/api", cookie=cookie).status == 401
            async with opened(page, cookie) as replayed:
                assert await closed(replayed) == 4401
            assert not other.closed  # another browser of the same person goes on
            await reply_to(other, op="strip", bed="p1", monitor=9)
        return closed_with

    assert asyncio.run(code()) == 4401


def test_a_cookie_of_one_server_is_none_of_another(page: str, keys: Path, tokens: dict[str, str]) -> None:
    with served(WebOptions(keys=str(keys))) as other:
        value = login(page, tokens["desk"]).partition("=")[2]
        assert ask(other, "/api", cookie=f"ecg-session-{urlsplit(other).port}={value}").status == 401


def test_removal_closes_the_pages_of_that_token_only(page: str, keys: Path, tokens: dict[str, str]) -> None:
    async def attack() -> None:
        async with opened(page, login(page, tokens["desk"])) as desk, opened(page, login(page, tokens["ward"])) as ward:
            remove_client(keys, "ward")
            assert await closed(ward) == 4401
            await reply_to(desk, op="strip", bed="p1", monitor=9)

    asyncio.run(attack())


def test_a_changed_role_is_in_force_at_once(page: str, keys: Path, tokens: dict[str, str]) -> None:
    async def attack() -> dict[str, object]:
        cookie = login(page, tokens["desk"])
        async with opened(page, cookie) as before:
            with locked(keys):
                entries = load_allow_list(keys)
                path = keys / "clients.toml"
                save_allow_list(keys, entries)
                path.write_text(path.read_text().replace('"operator"', '"viewer"'))
            assert await closed(before) == 4402
        async with opened(page, cookie) as after:
            return json.loads((await after.receive_str())[2:])

    assert asyncio.run(attack())["role"] == "viewer"


def test_guessing_is_slowed_down(page: str, tokens: dict[str, str]) -> None:
    answers = [ask(page, "/login", "POST", body='{"token": "x"}') for _ in range(int(_LOGINS_BURST) + 5)]
    assert {answer.status for answer in answers} == {403, 429}
    assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py",
        "/static/%2e%2e%2f%2e%2e%2fweb.py",
        "/static//etc/passwd", "/static/%2fetc/passwd", "/static/....//server.py", "/static/..\\server.py",
        "/static/%00", "/static/app.js%00.png", "//etc/passwd", "/../../etc/passwd", "/static/", "/static",
        "http://evil.example/static/../server.py", "/static/~root", "/static/%c0%ae%c0%ae/server.py",
    ],
)  # fmt: skip
def test_no_path_leaves_the_folder(open_page: str, path: str) -> None:
    with raw(open_page) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
        answer = b""
        while piece := sock.recv(65_536):
            answer += piece
    assert answer.split()[1] in (b"400", b"403", b"404", b"421")
    assert b"root:" not in answer
    assert b"import" not in answer
    assert b"Traceback" not in answer


def test_a_foreign_name_in_front_of_the_path_is_checked(open_page: str) -> None:
    with raw(open_page) as sock:
        sock.sendall(b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert b" 421 " in sock.recv(65_536)
