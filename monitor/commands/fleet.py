"""`ecg-monitor fleet`: many beds on all cores of one or several machines, behind one address."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import threading
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from monitor.commands.options import EXIT_INCOMPLETE, Given, settings_of, takes
from monitor.config import Config
from monitor.errors import ConfigError
from monitor.terminal import notice

__all__ = ["fleet"]


@takes(
    "--source", "--beds", "--beds-count", "--speed", "--start", "--duration", "--seed", "--mains", "--model", "--bus",
    "--keys", "--journal", "--config",
    texts={
        "--source": "Source of the beds, e.g. mitdb:208; mitdb:* = all its records.",
        "--speed": "Replay speed: 1 = real time.",
        "--journal": "Journal of the hub: the published messages of all beds.",
    },
)  # fmt: skip
def fleet(
    given: Given,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the shards' journals, shared by all machines; default: temporary.")
    ] = None,
    address: Annotated[
        str, typer.Option(help="Address of a Ray cluster, e.g. auto; default: a Ray cluster on this machine.")
    ] = "",
    cores: Annotated[int, typer.Option(min=0, help="Cores of the cluster on this machine; 0 = all.")] = 0,
    shards: Annotated[
        int, typer.Option(min=0, max=999, help="Parts of the beds; 0 = one per core, with --address 4.")
    ] = 0,
) -> None:
    """Monitor many beds on all cores of one or several machines; needs the extra `cluster` (Ray)."""
    settings = _absolute(settings_of(given))
    if "--speed" in given and settings.source.speed == 0:
        raise ConfigError(f"--speed {given['--speed']}: a fleet keeps a pace; give a number above 0 (1 = real time)")
    if settings.record.folder:
        raise ConfigError("a fleet keeps journals, not recordings; omit [record]")
    if settings.notify.command or settings.notify.webhook or settings.notify.mqtt:
        raise ConfigError(
            "a fleet has no receivers; omit [notify], and pipe `ecg-monitor tail --resume FILE` to a program"
        )
    incomplete = _run(settings, folder, address, cores, shards)
    for line in incomplete:
        notice(line)
    raise typer.Exit(EXIT_INCOMPLETE if incomplete else 0)


def _absolute(settings: Config) -> Config:
    """Make the paths absolute: the workers have other working directories."""

    def path(given: str) -> str:
        return str(Path(given).absolute()) if given not in ("", ":memory:") else given

    return msgspec.structs.replace(
        settings,
        model=msgspec.structs.replace(settings.model, path=path(settings.model.path)),
        bus=msgspec.structs.replace(settings.bus, keys=path(settings.bus.keys)),
        journal=msgspec.structs.replace(settings.journal, path=path(settings.journal.path)),
    )


def _run(settings: Config, folder: Path | None, address: str, cores: int, shards: int) -> tuple[str, ...]:
    """Run the fleet until its sources end or a signal comes.

    Returns:
        One line per journal that is incomplete.

    Raises:
        BusError, ConfigError, SourceError: it could not start.
    """
    from monitor.commands.signals import stop_on_signals
    from monitor.engine.bed_plan import planned_beds
    from monitor.fleet.fleet import Fleet
    from monitor.fleet.ray_cluster import RayCluster

    plans = planned_beds(settings)
    with contextlib.ExitStack() as stack:
        run = _run_folder(folder)
        if folder is None:
            stack.callback(shutil.rmtree, run, ignore_errors=True)
        stop = threading.Event()
        # Ray prints the life of its processes on standard output; the fleet itself prints what a user needs of it.
        log = stack.enter_context((run / "ray.log").open("w", buffering=1, encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(log))
        cluster = RayCluster(address, cores)
        stack.callback(cluster.close)
        stop_on_signals(stop)  # after Ray, which sets handlers of its own
        fleet = Fleet(cluster, plans, settings, run, shards=shards, report=notice)
        notice(f"{len(plans)} beds; journals in {run}")
        fleet.run(stop.is_set, stop.wait)
        return tuple(fleet.incomplete)


def _run_folder(folder: Path | None) -> Path:
    """Make a new folder for this run: a run resumes from the journals that it finds in its folder."""
    import secrets
    import tempfile

    if folder is None:
        return Path(tempfile.mkdtemp(prefix="ecg-fleet-"))
    name = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    try:
        (folder / name).mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ConfigError(f"--folder {folder}: {error.strerror}; name one that can be written") from None
    return (folder / name).absolute()
