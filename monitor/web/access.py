"""Who may do what at the page: host, origin, session and role of each request, login and logout, safe headers.

Without keys every program on this machine may do everything, as on the bus. With keys a person opens a link with a
token in its fragment, which browsers send to no server. The page posts the token to `/login` and receives a cookie.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from monitor.bus.allow_list import Role, WebClient
from monitor.bus.authenticator import OPERATORS_ONLY
from monitor.bus.keys import token_digest
from monitor.errors import plain_line
from monitor.web.rates import Buckets
from monitor.web.sessions import SESSION_S, Sessions
from monitor.web.tokens import Tokens

__all__ = ["Access", "Person"]

_PUBLIC: Final = ("/", "/login")  # and /static/: without a session
_LOGINS_PER_S, _LOGINS_BURST = 0.5, 10.0  # of one address
_MAX_TOKEN: Final = 1_000  # bytes of the body of a login
_BODY_S: Final = 10.0
_MISDIRECTED: Final = web.HTTPMisdirectedRequest.status_code
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_HEADERS: Final = {
    "Server": "ecg-monitor",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who is at a page; an empty name without keys."""

    name: str
    role: Role

    def may(self, op: str) -> bool:
        """Whether the role permits a request to the monitor."""
        return self.role == "operator" or op not in OPERATORS_ONLY


ANYONE: Final = Person("", "operator")


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    token: str


class Access:
    """Checks of every request to the web server.

    Args:
        hosts: names by which browsers reach the page, besides the address itself.
        tokens: of the persons; None = everybody may do everything.
        tls: whether browsers connect by TLS.
        clock: monotonic, s.
    """

    def __init__(self, hosts: Collection[str], tokens: Tokens | None, *, tls: bool, clock: Callable[[], float]) -> None:
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts)
        self._tokens = tokens
        self._tls = tls
        self._logins = Buckets(_LOGINS_PER_S, _LOGINS_BURST, clock)
        self._sessions = None if tokens is None else Sessions(tokens.person, clock)

    def install(self, app: web.Application) -> None:
        """Add the checks, the headers and the routes of login and logout to an application."""
        app.middlewares.append(self._middleware())
        app.on_response_prepare.append(self._add_headers)
        app.router.add_post("/login", self._login)
        app.router.add_post("/logout", self._logout)

    def person(self, request: web.Request) -> Person | None:
        """Who sends a request, as the allow-list is now; None without a valid session."""
        if self._sessions is None:
            return ANYONE
        client: WebClient | None = self._sessions.person(request.cookies.get(self._cookie(request), ""))
        return None if client is None else Person(client.name, client.role)

    def has_cookie(self, request: web.Request) -> bool:
        """Whether the browser was logged in once."""
        return self._cookie(request) in request.cookies

    def _middleware(self) -> Middleware:
        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._check_host(request)
            _check_origin(request, "https" if self._tls else "http")
            path = request.path
            # The WebSocket answers by itself: a browser tells a page nothing of a refused upgrade.
            public = path in _PUBLIC or path == "/ws" or path.startswith("/static/")
            if not public and self.person(request) is None:
                raise web.HTTPUnauthorized(text="open the page with a link that holds a token\n")
            return await handler(request)

        return check

    def _check_host(self, request: web.Request) -> None:
        """Refuse a host name that is not ours: behind it stands a foreign page (DNS rebinding)."""
        host = request.headers.get("Host", "")
        found = _HOST.fullmatch(host)
        name = found["name"].strip("[]").lower().rstrip(".") if found else ""
        own = str(ipaddress.ip_address(_own_address(request)))
        known = {own, *_LOOPBACK} if ipaddress.ip_address(own).is_loopback else {own}
        if not name or (name not in known and name not in self._hosts):
            raise web.HTTPMisdirectedRequest(
                text=f"host {plain_line(host)[:80]!r} is not allowed; start the page with --host NAME to allow it\n"
            )

    async def _login(self, request: web.Request) -> web.Response:
        if self._sessions is None or self._tokens is None:
            return web.Response(status=204)
        wait_s = self._logins.take(request.remote)
        if wait_s > 0.0:
            headers = {"Retry-After": str(int(wait_s) + 1)}
            raise web.HTTPTooManyRequests(text="too many logins; try again later\n", headers=headers)
        try:
            async with asyncio.timeout(_BODY_S):
                body = await request.content.read(_MAX_TOKEN + 1)
                while len(body) <= _MAX_TOKEN and (more := await request.content.read(_MAX_TOKEN)):
                    body += more
            token = msgspec.json.decode(body[: _MAX_TOKEN + 1], type=_Login).token
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except ValueError:  # msgspec's errors as well
            raise web.HTTPBadRequest(text='send {"token": "..."}\n') from None
        digest = token_digest(token)
        if self._tokens.person(digest) is None:
            raise web.HTTPForbidden(text="this link is not valid; ask for a new one\n")
        self._sessions.close(request.cookies.get(self._cookie(request), ""))
        response = web.Response(status=204)
        response.set_cookie(
            self._cookie(request), self._sessions.open(digest),
            max_age=int(SESSION_S), path="/", httponly=True, samesite="Strict", secure=self._tls,
        )  # fmt: skip
        return response

    async def _logout(self, request: web.Request) -> web.Response:
        response = web.Response(status=204)
        if self._sessions is not None:
            self._sessions.close(request.cookies.get(self._cookie(request), ""))
            response.del_cookie(self._cookie(request), path="/", httponly=True, samesite="Strict", secure=self._tls)
        return response

    def _cookie(self, request: web.Request) -> str:
        """Name of the cookie: cookies do not distinguish ports, so two monitors on one machine need two names."""
        port = _socket_name(request)[1]
        return f"__Host-ecg-session-{port}" if self._tls else f"ecg-session-{port}"

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in _HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", "no-cache" if request.path.startswith("/static/") else "no-store")
        host = request.headers.get("Host", "")
        # Older Safari does not take 'self' for the WebSocket. A refused host is not repeated.
        socket = "" if response.status == _MISDIRECTED else f"{'wss' if self._tls else 'ws'}://{host}"
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
            f"connect-src 'self' {socket}; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        response.headers.setdefault("Content-Security-Policy", policy)
        if self._tls:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"


def _check_origin(request: web.Request, scheme: str) -> None:
    """Refuse what the page of another site asks for. Programs that are no browser send neither of the headers."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{scheme}://{request.headers.get('Host', '')}":
        raise web.HTTPForbidden(text="request of a foreign page\n")
    if request.path != "/" and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise web.HTTPForbidden(text="request of a foreign page\n")


def _socket_name(request: web.Request) -> tuple[str, int]:
    """Address and port on this machine to which the browser is connected."""
    transport = request.transport
    name = None if transport is None else transport.get_extra_info("sockname")
    if name is None:
        raise web.HTTPBadRequest(text="the connection is closed\n")
    return str(name[0]), int(name[1])


def _own_address(request: web.Request) -> str:
    address = _socket_name(request)[0].partition("%")[0]
    return address.removeprefix("::ffff:")
