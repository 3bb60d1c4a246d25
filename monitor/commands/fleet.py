"""`ecg-monitor fleet`: many beds on all cores of one or several machines, behind one address."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import (
    EXIT_INCOMPLETE,
    Beds,
    BedsCount,
    BusAddress,
    ConfigFile,
    Duration,
    Keys,
    Mains,
    Model,
    Seed,
    Start,
    settings_of,
)
from monitor.errors import ConfigError

__all__ = ["fleet"]


def fleet(
    source: Annotated[
        str | None,
        typer.Option(envvar="ECG_MONITOR_SOURCE", help="What to watch, e.g. mitdb:208; mitdb:* = all its records."),
    ] = None,
    beds: Beds = None,
    beds_count: BedsCount = None,
    speed: Annotated[
        float | None, typer.Option(envvar="ECG_MONITOR_SPEED", help="Replay speed: 1 = real time.")
    ] = None,
    start: Start = None,
    duration: Duration = None,
    seed: Seed = None,
    mains: Mains = None,
    model: Model = None,
    bus: BusAddress = None,
    keys: Keys = None,
    journal: Annotated[
        str | None,
        typer.Option(envvar="ECG_MONITOR_JOURNAL", help="The hub's journal: what was published, of all beds."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the shards' journals lie; every machine must see it. Default: temporary.")
    ] = None,
    address: Annotated[
        str, typer.Option(help="Ray cluster to use, e.g. auto; without, one of its own on this machine.")
    ] = "",
    cores: Annotated[int, typer.Option(min=0, help="Cores of its own cluster; 0 = all.")] = 0,
    shards: Annotated[int, typer.Option(min=0, max=999, help="Parts of the beds; 0 = 1 a core, with --address 4.")] = 0,
    config: ConfigFile = None,
) -> None:
    """Watch many beds on all cores of one or several machines; needs the extra cluster (Ray)."""
    if speed is not None and not 0 < speed < float("inf"):
        raise ConfigError(f"--speed {speed:g}: a fleet keeps a pace; give a number above 0 (1 = real time)")
    flags = (
        ("--source", "source", "spec", source),
        ("--beds-count", "source", "beds_count", beds_count),
        ("--speed", "source", "speed", speed),
        ("--start", "source", "start_s", start),
        ("--duration", "source", "duration_s", duration),
        ("--seed", "source", "seed", seed),
        ("--mains", "signal", "mains", mains),
        ("--model", "model", "path", _absolute(model)),
        ("--bus", "bus", "listen", bus),
        ("--keys", "bus", "keys", _absolute(keys)),
        ("--journal", "journal", "path", _absolute(journal)),
    )
    settings = settings_of(config, flags, beds)
    if settings.record.folder:
        raise ConfigError("a fleet keeps journals, no recordings; leave out [record]")
    from monitor.fleet.command import run_fleet

    incomplete = run_fleet(settings, folder, address=address, cores=cores, shards=shards)
    for line in incomplete:
        print(f"ecg-monitor: {line}", file=sys.stderr)
    raise typer.Exit(EXIT_INCOMPLETE if incomplete else 0)


def _absolute(path: str | None) -> str | None:
    """Workers have other working directories."""
    return None if path is None else str(Path(path).absolute())
