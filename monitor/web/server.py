"""Running the web server: in the main thread of `ecg-monitor web`, or in a thread beside a monitor."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from monitor.bus.endpoints import endpoints_from
from monitor.bus.keys import ClientKey
from monitor.client.client import WARD, AlarmClient
from monitor.errors import PortInUse
from monitor.web.application import build_application
from monitor.web.feed import Batch, Feed
from monitor.web.pages import Hub

__all__ = ["WebOptions", "serve"]


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Settings of the web server.

    Attributes:
        connect: alarm endpoints of the monitors.
        host, port: address to listen on; port 0 = any free one.
        key: of the server, for monitors with keys.
    """

    connect: Sequence[str]
    host: str = "127.0.0.1"
    port: int = 8080
    key: ClientKey | None = None


def serve(options: WebOptions, stop: threading.Event, on_ready: Callable[[str], None]) -> None:
    """Serve until `stop` is set.

    Args:
        options: settings.
        stop: set to end.
        on_ready: called with the address of the page once the server listens.

    Raises:
        BusError, ClientError: an endpoint that cannot be used.
        PortInUse: another program listens on the address.
    """
    asyncio.run(_serve(options, stop, on_ready))


async def _serve(options: WebOptions, stop: threading.Event, on_ready: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    clients: list[AlarmClient] = []
    for address in options.connect:
        ends = endpoints_from(address)
        client = AlarmClient(ends.alarms, ends.control, streams=WARD, waves_endpoint=ends.waves, key=options.key)
        client.set_detail((), ())
        clients.append(client)

    def accept(batch: Batch) -> None:
        hub.accept(batch)

    feed = Feed(clients, loop, accept)
    hub = Hub(list(options.connect), feed.set_detail)
    runner = web.AppRunner(build_application(hub, feed), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port)
        try:
            await site.start()
        except OSError as error:
            raise PortInUse(f"{options.host}:{options.port}: {error.strerror}; give another --listen") from None
        feed.start()
        host, port = runner.addresses[0][:2]
        on_ready(f"http://{host}:{port}/")
        while not stop.is_set():
            await asyncio.sleep(0.2)
    finally:
        with contextlib.suppress(RuntimeError):
            feed.close()
        await runner.cleanup()
