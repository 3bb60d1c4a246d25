"""Running the web server: checks of its settings, its socket, its life until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from monitor.bus.endpoints import BusEndpoints, bind_error, listen_alone
from monitor.bus.keys import ClientKey
from monitor.client.client import WARD, AlarmClient
from monitor.errors import ConfigError, first_line
from monitor.token_bucket import TokenBucket
from monitor.web.access import Access
from monitor.web.application import build_application
from monitor.web.connections import Acceptor
from monitor.web.feed import Batch, Feed
from monitor.web.history import History
from monitor.web.pages import Hub
from monitor.web.tokens import Tokens

__all__ = ["Site", "WebOptions", "address_of", "bind", "serve"]

_BACKLOG: Final = 1024
_LISTEN: Final = re.compile(r"((?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[^:\[\]\s]+):)?(?P<port>[0-9]{1,5})")
_LINES_PER_S, _LINES_BURST = 0.2, 20.0  # reports: an attack must not fill a log


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Settings of the web server.

    Attributes:
        monitors: endpoints of the monitors.
        key: of the server, for monitors with keys.
        keys: key folder whose tokens open the page; empty = everybody on this machine.
        hosts: more names by which browsers reach the page.
        cert, tls_key: files of the TLS certificate and of its key; empty = plain HTTP.
    """

    monitors: Sequence[BusEndpoints] = ()
    key: ClientKey | None = None
    keys: str = ""
    hosts: Sequence[str] = ()
    cert: str = ""
    tls_key: str = ""


def bind(listen: str, options: WebOptions) -> socket.socket:
    """Check the settings and bind the socket of the page.

    Args:
        listen: `HOST:PORT`, or a port of 127.0.0.1; port 0 = any free one.
        options: settings; `monitors` and `key` are not used.

    Returns:
        The listening socket.

    Raises:
        ConfigError: not of that form; an address that other machines reach without TLS or keys; a certificate or key
            folder that cannot be used.
        BusError, PortInUse: the address cannot be bound.
    """
    found = _LISTEN.fullmatch(listen)
    host, port = (found["host"] or "127.0.0.1", int(found["port"])) if found else ("", 0)
    if not host or port > 65_535:
        raise ConfigError(f"page on {listen!r}: give HOST:PORT, e.g. 127.0.0.1:8080")
    if bool(options.cert) != bool(options.tls_key):
        raise ConfigError("give --cert and --tls-key together")
    tls_context(options)
    if options.keys:
        Tokens(Path(options.keys), lambda _line: None, time.monotonic)
    family, address = _resolve(host, port, listen)
    if not ipaddress.ip_address(address[0].partition("%")[0]).is_loopback and not (options.keys and options.cert):
        raise ConfigError(
            f"page on {listen}: other machines could connect; give --keys DIR (ecg-monitor keys new DIR), "
            "--cert FILE and --tls-key FILE, or a loopback address, e.g. 127.0.0.1:8080"
        )
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        listen_alone(sock)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        remedy = "give another port, or port 0 for any free one"
        raise bind_error(f"page on {listen}", error, remedy) from None
    return sock


def address_of(sock: socket.socket, options: WebOptions) -> str:
    """The address of the page for a browser."""
    host, port = sock.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = options.hosts[0] if options.hosts else socket.gethostname()
    scheme = "https" if options.cert else "http"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def tls_context(options: WebOptions) -> ssl.SSLContext | None:
    """The TLS context of the certificate; None without one.

    Raises:
        ConfigError: the certificate or its key cannot be used.
    """
    if not options.cert:
        return None
    for file in (options.cert, options.tls_key):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}; give the files of --cert and --tls-key") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.cert, options.tls_key, password=lambda: "")  # else it asks on the terminal
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"{options.cert} and {options.tls_key} are not a certificate and its key in PEM, without a password "
            f"({first_line(error)})"
        ) from None
    return context


Site = Callable[[Access], contextlib.AbstractAsyncContextManager[web.Application]]


def serve(
    options: WebOptions,
    listening: socket.socket,
    stop: threading.Event,
    report: Callable[[str], None],
    on_ready: Callable[[], None] = lambda: None,
    site: Site | None = None,
) -> None:
    """Serve until `stop` is set.

    Args:
        options: settings.
        listening: of `bind`; closed here.
        stop: set to end.
        report: called with one line for a person.
        on_ready: called once the page is served.
        site: gives the application, within its context; None = the dashboard of `options.monitors`.

    Raises:
        BusError, ClientError, ConfigError: an endpoint, the key folder or the certificate cannot be used.
    """
    with listening:
        asyncio.run(_serve(options, listening, stop, report, on_ready, site or functools.partial(_dashboard, options)))


async def _serve(
    options: WebOptions,
    listening: socket.socket,
    stop: threading.Event,
    report: Callable[[str], None],
    on_ready: Callable[[], None],
    site: Site,
) -> None:
    limited = _limited(report)
    _report_errors(asyncio.get_running_loop(), limited)
    tokens = Tokens(Path(options.keys), limited, time.monotonic) if options.keys else None
    if tokens is not None and not tokens.any:
        make = f"ecg-monitor keys add {options.keys} NAME --web --page {address_of(listening, options)}"
        report(f"web: no person has a link to the page; make one with: {make}")
    tls = tls_context(options)
    access = Access(options.hosts, tokens, tls=tls is not None, clock=time.monotonic)
    async with site(access) as app:
        acceptor = Acceptor(app, listening, tls)
        try:
            await acceptor.start()
            on_ready()
            while not stop.is_set():
                await asyncio.sleep(0.2)
        finally:
            await acceptor.close()


@contextlib.asynccontextmanager
async def _dashboard(options: WebOptions, access: Access) -> AsyncIterator[web.Application]:
    clients: list[AlarmClient] = []
    for ends in options.monitors:
        client = AlarmClient(ends.alarms, ends.control, streams=WARD, waves_endpoint=ends.waves, key=options.key)
        client.set_detail((), ())
        clients.append(client)

    def accept(batch: Batch) -> None:
        hub.accept(batch)

    feed = Feed(clients, asyncio.get_running_loop(), accept)
    hub = Hub([ends.alarms for ends in options.monitors], feed.set_detail)
    history = History(options.monitors, options.key, hub.is_lost)
    try:
        feed.start()
        yield build_application(hub, feed, access, history)
    finally:
        with contextlib.suppress(RuntimeError):
            feed.close()
        history.close()


def _resolve(host: str, port: int, listen: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Family and address of a host; IPv4 first."""
    name = "0.0.0.0" if host == "*" else host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ConfigError(f"page on {listen}: {host} is no address of this machine; give e.g. 127.0.0.1:8080") from None
    found.sort(key=lambda entry: entry[0] is not socket.AF_INET)
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def _limited(report: Callable[[str], None]) -> Callable[[str], None]:
    """`report` with a limited rate; lines beyond it are left out."""
    bucket = TokenBucket(_LINES_PER_S, _LINES_BURST, time.monotonic())

    def give(line: str) -> None:
        if bucket.take(time.monotonic()) == 0.0:
            report(line)

    return give


def _report_errors(loop: asyncio.AbstractEventLoop, report: Callable[[str], None]) -> None:
    """Report errors of asyncio and aiohttp as one line each."""

    class _Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            report(f"web: {record.getMessage()}" + (f": {first_line(error)}" if error else ""))

    for name in ("aiohttp", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [_Lines(logging.WARNING)]
        logger.propagate = False

    def report_unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        report(f"web: {context.get('message')}" + (f": {first_line(error)}" if error else ""))

    loop.set_exception_handler(report_unhandled)
