"""`ecg-monitor watch`: the dashboard of monitors that run elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import Given, KeyFile, settings_of, takes
from monitor.config import BusConfig
from monitor.errors import ConfigError

__all__ = ["watch"]


@takes("--bell/--no-bell")
def watch(
    given: Given,
    connect: Annotated[
        list[str] | None,
        typer.Option(help="Alarm socket of a running monitor; may be repeated.", show_default=BusConfig().listen),
    ] = None,
    bed: Annotated[str | None, typer.Option(help="Bed to show first.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write a picture of the dashboard to this file and exit.")] = None,
    after: Annotated[float, typer.Option(min=0.5, max=600, help="For --svg: time before the picture, s.")] = 14.0,
    key: KeyFile = None,
) -> None:
    """Show the dashboard of one or several running monitors; more than one bed is shown as a ward."""
    from rich.console import Console

    from monitor.bus.endpoints import endpoints_from
    from monitor.bus.keys import load_client_key
    from monitor.client.client import WARD, AlarmClient
    from monitor.dashboard.live import fits_dashboard, run_dashboard
    from monitor.dashboard.picture import take_picture

    console, bell = Console(), settings_of(given).dashboard.bell
    addresses = list(dict.fromkeys(connect or [BusConfig().listen]))  # without duplicates
    if svg is None and not (fits_dashboard(console) and sys.stdin.isatty()):
        raise ConfigError(f"watch needs a UTF-8 terminal; for pipes use: ecg-monitor tail --connect {addresses[0]}")
    client_key = load_client_key(key) if key is not None else None
    with contextlib.ExitStack() as stack:
        clients: dict[str, AlarmClient] = {}
        for address in addresses:
            ends = endpoints_from(address)
            client = AlarmClient(ends.alarms, ends.control, streams=WARD, waves_endpoint=ends.waves, key=client_key)
            clients[address] = stack.enter_context(contextlib.closing(client))
        if svg is None:
            raise typer.Exit(run_dashboard(clients, console, time.monotonic, bed=bed, bell=bell))
        try:
            take_picture(clients, svg, after, time.monotonic, time.sleep, bed)
        except OSError as error:
            raise ConfigError(f"--svg {svg}: {error.strerror}; name a file that can be written") from None
