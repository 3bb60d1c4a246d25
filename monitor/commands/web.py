"""`ecg-monitor web`: running monitors in a browser."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from monitor.commands.options import KeyFile
from monitor.config import BusConfig
from monitor.errors import ConfigError
from monitor.terminal import notice

__all__ = ["web"]


def web(
    connect: Annotated[
        list[str] | None,
        typer.Option(help="Alarm socket of a running monitor; may be repeated.", show_default=BusConfig().listen),
    ] = None,
    listen: Annotated[str, typer.Option(help="Address of the page.")] = "127.0.0.1:8080",
    key: KeyFile = None,
) -> None:
    """Serve the dashboard of one or several running monitors to browsers."""
    from monitor.bus.keys import load_client_key
    from monitor.commands.signals import stop_on_signals
    from monitor.web.server import WebOptions, serve

    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"--listen {listen}: give HOST:PORT, e.g. 127.0.0.1:8080")
    stop = threading.Event()
    stop_on_signals(stop)
    addresses = list(dict.fromkeys(connect or [BusConfig().listen]))
    client_key = load_client_key(key) if key is not None else None
    options = WebOptions(addresses, host.strip("[]"), int(port), client_key)
    serve(options, stop, lambda address: notice(f"{address} (not a medical device)"))
