"""`ecg-monitor fleet`: many beds on all cores of one or several machines, behind one address."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.config import Config, ConfigError, load_beds, load_config, merge

__all__ = ["fleet"]

EXIT_INCOMPLETE = 3


def fleet(
    source: Annotated[
        str | None, typer.Option(help="What to watch, e.g. mitdb:208; mitdb:* = all its records.")
    ] = None,
    beds: Annotated[Path | None, typer.Option(help="File of many beds, each with its source.")] = None,
    beds_count: Annotated[int | None, typer.Option(help="So many beds b0001, ... out of --source.")] = None,
    speed: Annotated[float | None, typer.Option(help="Replay speed: 1 = real time.")] = None,
    start: Annotated[float | None, typer.Option(help="Where in the record to begin, s.")] = None,
    duration: Annotated[float | None, typer.Option(help="How much to watch, s of signal.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the simulator and of where beds begin.")] = None,
    bus: Annotated[
        str | None, typer.Option(help="Where subscribers connect: tcp://127.0.0.1:5556; port * = free.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Folder of keys: who may connect (ecg-monitor keys).")] = None,
    journal: Annotated[Path | None, typer.Option(help="The hub's journal: what was published, of all beds.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the shards' journals lie; every machine must see it. Default: temporary.")
    ] = None,
    address: Annotated[
        str, typer.Option(help="Ray cluster to use, e.g. auto; without, one of its own on this machine.")
    ] = "",
    cores: Annotated[int, typer.Option(min=0, help="Cores of its own cluster; 0 = all.")] = 0,
    shards: Annotated[int, typer.Option(min=0, max=999, help="Parts of the beds; 0 = 4 a core.")] = 0,
    config: Annotated[Path | None, typer.Option(help="Configuration file (see config.toml).")] = None,
) -> None:
    """Watch many beds on all cores of one or several machines; needs the extra cluster (Ray)."""
    settings = load_config(config) if config is not None else Config()
    if beds is not None:
        settings = load_beds(beds, settings)
    if speed is not None and not 0 < speed < float("inf"):
        raise ConfigError(f"--speed {speed:g}: a fleet keeps a pace; give a number above 0 (1 = real time)")
    for flag, section, key, value in (
        ("--source", "source", "spec", source),
        ("--beds-count", "source", "beds_count", beds_count),
        ("--speed", "source", "speed", speed),
        ("--start", "source", "start_s", start),
        ("--duration", "source", "duration_s", duration),
        ("--seed", "source", "seed", seed),
        ("--bus", "bus", "listen", bus),
        ("--keys", "bus", "keys", None if keys is None else str(keys.absolute())),
        ("--journal", "journal", "path", None if journal is None else str(journal.absolute())),
    ):
        if value is not None:
            changes: dict[str, dict[str, Any]] = {section: {key: value}}
            settings = merge(settings, changes, flag)
    named = next((name for name, its in settings.beds.items() if its.source), None)
    if named is not None and source is not None:
        raise ConfigError(f"--source {source}: says one bed, [beds.{named}] and its like say many; give one of the two")
    if settings.record.folder:
        raise ConfigError("a fleet keeps journals, no recordings; leave out [record]")
    from monitor.fleet.command import run_fleet

    incomplete = run_fleet(settings, folder, address=address, cores=cores, shards=shards)
    for line in incomplete:
        print(f"ecg-monitor: {line}", file=sys.stderr)
    raise typer.Exit(EXIT_INCOMPLETE if incomplete else 0)
