"""`ecg-monitor watch` and `tail`: subscribers to a monitor that runs elsewhere, for the eye and for pipes."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from monitor.errors import ConfigError

__all__ = ["tail", "watch"]

DEFAULT = "tcp://127.0.0.1:5556"
KEY_OPTION = typer.Option(envvar="ECG_MONITOR_KEY", help="Our key file, for a monitor with --keys.")


def watch(
    connect: Annotated[
        list[str] | None,
        typer.Option(help="Alarm socket of a running monitor; again for more.", show_default=DEFAULT),
    ] = None,
    bed: Annotated[str | None, typer.Option(help="Bed to show first.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write a picture of the dashboard instead, and exit.")] = None,
    after: Annotated[float, typer.Option(min=0.5, max=600, help="For --svg: watch so long before, s.")] = 14.0,
    key: Annotated[Path | None, KEY_OPTION] = None,
) -> None:
    """Show the dashboard of a monitor that runs elsewhere, or of several: a ward where there is more than one bed."""
    from rich.console import Console

    from monitor.bus.endpoints import endpoints_from
    from monitor.bus.keys import load_client_key
    from monitor.client.client import WARD, AlarmClient
    from monitor.dashboard.live import fits_dashboard, run_dashboard
    from monitor.dashboard.picture import take_picture

    console = Console()
    addresses = list(dict.fromkeys(connect or [DEFAULT]))  # the same one twice is one monitor
    if svg is None and not (fits_dashboard(console) and sys.stdin.isatty()):
        raise ConfigError(f"watch needs a UTF-8 terminal; for pipes use: ecg-monitor tail --connect {addresses[0]}")
    ours = load_client_key(key) if key is not None else None
    with contextlib.ExitStack() as stack:
        clients: dict[str, AlarmClient] = {}
        for address in addresses:
            ends = endpoints_from(address)
            client = AlarmClient(ends.alarms, ends.control, streams=WARD, waves_endpoint=ends.waves, key=ours)
            clients[address] = stack.enter_context(contextlib.closing(client))
        if svg is None:
            raise typer.Exit(run_dashboard(clients, console, time.monotonic, bed=bed))
        try:
            take_picture(clients, svg, after, time.monotonic, time.sleep, bed)
        except OSError as error:
            raise ConfigError(f"--svg {svg}: {error.strerror}; name a file that can be written") from None


def tail(
    connect: Annotated[str, typer.Option(help="Alarm socket of a running monitor.")] = DEFAULT,
    bed: Annotated[str | None, typer.Option(help="Only this bed.")] = None,
    events: Annotated[bool, typer.Option(help="Also gaps, losses and bad input.")] = False,
    key: Annotated[Path | None, KEY_OPTION] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Keep the position in this file, and go on from it at the next start.")
    ] = None,
) -> None:
    """Print alarms as JSON lines, for pipes; connection changes go to standard error."""
    from monitor.bus.keys import load_client_key
    from monitor.commands.tail import run_tail

    ours = load_client_key(key) if key is not None else None
    raise typer.Exit(run_tail(connect, bed, sys.stdout, events=events, resume=resume, key=ours))
