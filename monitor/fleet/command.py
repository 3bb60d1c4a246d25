"""Run a fleet from the command line: a folder, an engine, signals, and everything gone afterwards."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from monitor.commands.signals import end_in_order_on_signals
from monitor.config import Config
from monitor.engine.bed_plan import planned_beds
from monitor.errors import ConfigError
from monitor.fleet.fleet import Fleet
from monitor.fleet.ray_cluster import RayCluster

__all__ = ["run_fleet"]


def run_fleet(config: Config, folder: Path | None, *, address: str, cores: int, shards: int) -> tuple[str, ...]:
    """Watch the beds of a configuration until their sources end or the process is told to end.

    Args:
        config: the whole configuration.
        folder: a folder of this run is made in it; None = a temporary one, removed in the end.
        address: of a Ray cluster; empty = one of our own.
        cores: of our own; 0 = all.
        shards: how many; 0 = one a core, or some where machines may join.

    Returns:
        What could not be kept, one line each.

    Raises:
        BusError, ConfigError, SourceError: it could not begin.
    """
    plans = planned_beds(config)
    with contextlib.ExitStack() as last:
        run = _folder(folder)
        if folder is None:
            last.callback(shutil.rmtree, run, ignore_errors=True)
        stop = threading.Event()
        # Ray says on standard output what becomes of its processes; what of that concerns a person, we say ourselves.
        last.enter_context(contextlib.redirect_stdout(last.enter_context((run / "ray.log").open("w", buffering=1))))
        engine = RayCluster(address, cores)
        last.callback(engine.close)
        end_in_order_on_signals(stop)  # after Ray, which has handlers of its own
        fleet = Fleet(engine, plans, config, run, shards=shards, report=_tell)
        _tell(f"{len(plans)} beds; journals in {run}")
        fleet.run(stop.is_set, stop.wait)
        return tuple(fleet.incomplete)


def _folder(folder: Path | None) -> Path:
    """A folder for this run alone: what lies in it is gone on from, so it must not be another's."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="ecg-fleet-"))
    name = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    try:
        (folder / name).mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ConfigError(f"--folder {folder}: {error.strerror}; name one that can be written") from None
    return (folder / name).absolute()


def _tell(line: str) -> None:
    print(f"ecg-monitor: {line}", file=sys.stderr, flush=True)
