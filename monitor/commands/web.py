"""`ecg-monitor web`: running monitors in a browser."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Annotated

import typer

from monitor.commands.options import Given, KeyFile, settings_of, takes
from monitor.config import BusConfig
from monitor.terminal import notice

__all__ = ["DEFAULT_LISTEN", "web", "with_page_address"]

DEFAULT_LISTEN = "127.0.0.1:8080"


@takes(
    "--keys", "--host", "--cert", "--tls-key", "--config",
    texts={"--keys": "Folder of keys (ecg-monitor keys): only persons with a token of it open the page."},
)  # fmt: skip
def web(
    given: Given,
    connect: Annotated[
        list[str] | None,
        typer.Option(help="Alarm socket of a running monitor; may be repeated.", show_default=BusConfig().listen),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Address of the page; port 0 = any free one.", show_default=DEFAULT_LISTEN)
    ] = "",
    key: KeyFile = None,
) -> None:
    """Serve the dashboard of one or several running monitors to browsers."""
    from dataclasses import replace

    from monitor.bus.endpoints import endpoints_from
    from monitor.bus.keys import load_client_key
    from monitor.commands.signals import stop_on_signals
    from monitor.web.beside import web_options
    from monitor.web.server import address_of, bind, serve

    settings = settings_of(given)
    addresses = list(dict.fromkeys(connect or [BusConfig().listen]))
    options = replace(
        web_options(settings),
        monitors=tuple(endpoints_from(address) for address in addresses),
        key=load_client_key(key) if key is not None else None,
    )
    listening = bind(listen or settings.web.listen or DEFAULT_LISTEN, options)
    stop = threading.Event()
    stop_on_signals(stop)
    address = address_of(listening, options)
    serve(options, listening, stop, notice, lambda: notice(f"page on {address} (not a medical device)"))


def with_page_address(words: Sequence[str]) -> list[str]:
    """The command line with the default address after a `--web` that has none, which typer cannot do.

    >>> with_page_address(["--web", "--speed", "2"])
    ['--web', '127.0.0.1:8080', '--speed', '2']
    >>> with_page_address(["keys", "add", "DIR", "ana", "--web"])
    ['keys', 'add', 'DIR', 'ana', '--web']
    """
    completed: list[str] = []
    for place, word in enumerate(words):
        completed.append(word)
        after = words[place + 1 : place + 2]
        if word == "--web" and "keys" not in words[:place] and (not after or after[0].startswith("-")):
            completed.append(DEFAULT_LISTEN)
    return completed
