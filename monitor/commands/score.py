"""`ecg-monitor score`: archives, as fast as the machine or a cluster can."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands.options import EXIT_INCOMPLETE, Channel, ConfigFile, Mains, Model, MvPerUnit, Seed, settings_of
from monitor.config import Config
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from monitor.archive.ray_workers import RayWorkers
    from monitor.archive.results import Results
    from monitor.archive.run import Done
    from monitor.archive.workers import LocalWorkers

__all__ = ["score"]

_STRIPS_MAX = 100
_PIPE_COLUMNS = 240  # the table is not folded where no terminal says how wide it is


def score(
    records: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORDS...",
            help="mitdb:208, 'mitdb:*', wfdb:PATH, edf:PATH, csv:PATH, a pattern ('archive/**/*.hea'), or a folder.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results; what is there already is not scored again.")],
    processes: Annotated[
        int, typer.Option(min=0, max=1024, help="Records at once; 0 = one a core of the machine or the cluster.")
    ] = 0,
    ray: Annotated[
        bool, typer.Option("--ray", help="Score on the Ray cluster of RAY_ADDRESS, else on one here.")
    ] = False,
    strips: Annotated[int, typer.Option(min=0, max=_STRIPS_MAX, help="Worst strips to draw of each record.")] = 6,
    start: Annotated[float | None, typer.Option(help="Where in each record to begin, s.")] = None,
    duration: Annotated[float | None, typer.Option(help="How much of each to score, s.")] = None,
    channel: Channel = None,
    fs: Annotated[float | None, typer.Option(help="csv, sim: sampling rate, Hz.")] = None,
    column: Annotated[str | None, typer.Option(help="csv: column by name or number.")] = None,
    unit: Annotated[str | None, typer.Option(help="csv, edf: mV, uV, V or adc.")] = None,
    mv_per_unit: MvPerUnit = None,
    seed: Seed = None,
    mains: Mains = None,
    model: Model = None,
    config: ConfigFile = None,
) -> None:
    """Score archives: beats as Parquet, a summary and the worst strips of every record, each exactly once."""
    flags = (
        ("--start", "source", "start_s", start),
        ("--duration", "source", "duration_s", duration),
        ("--channel", "source", "channel", channel),
        ("--fs", "source", "fs_hz", fs),
        ("--column", "source", "column", column),
        ("--unit", "source", "unit", unit),
        ("--mv-per-unit", "source", "mv_per_unit", mv_per_unit),
        ("--seed", "source", "seed", seed),
        ("--mains", "signal", "mains", mains),
        ("--model", "model", "path", model),
    )
    raise typer.Exit(_score(records, out, settings_of(config, flags), strips, processes, ray))


def _score(records: list[str], out: Path, settings: Config, strips: int, processes: int, on_ray: bool) -> int:
    """Everything that can be wrong with the whole is told before anything begins; the exit code."""
    from monitor.archive.beat_table import pyarrow_or_error
    from monitor.archive.records import find_records
    from monitor.archive.results import Results

    found = find_records(records)
    results = Results(out)
    pyarrow_or_error()

    from monitor.archive.progress import Told
    from monitor.archive.run import score_all
    from monitor.archive.task import Task
    from monitor.commands.signals import end_in_order_on_signals
    from monitor.engine.assembly import load_scorer

    sha256 = load_scorer(settings.model).info.sha256
    command = ("ecg-monitor", *sys.argv[1:])
    tasks = [Task(r.name, r.spec, out.resolve(), settings, sha256, strips, command) for r in found]
    stop, began_s = threading.Event(), time.monotonic()
    end_in_order_on_signals(stop)
    with _workers(min(processes, len(tasks)), len(tasks), on_ray) as workers, Told(len(tasks)) as told:
        done = score_all(tasks, results, workers, told, stop.is_set)
    return _conclude(results, done, time.monotonic() - began_s)


def _workers(processes: int, records: int, on_ray: bool) -> LocalWorkers | RayWorkers:
    if on_ray:
        from monitor.archive.ray_workers import RayWorkers

        return RayWorkers(processes)
    from monitor.archive.workers import LocalWorkers, usable_cores

    return LocalWorkers(processes or min(usable_cores(), records))


def _conclude(results: Results, done: Done, took_s: float) -> int:
    """The table over all that is there, and what is not."""
    from monitor.archive.overview import write_overview

    summaries = [summary for name in results.names() if (summary := results.get(name)) is not None]
    failed = bool(done.failed or done.left)
    try:
        write_overview(results, summaries)
    except OSError as error:
        print(f"ecg-monitor: the table of all records in {results.out}: {error.strerror}", file=sys.stderr)
        failed = True
    of_run = {*done.scored, *done.there}
    _print([summary for summary in summaries if summary.name in of_run])
    told = f"{len(done.scored)} scored, {len(done.there)} scored before, {len(done.failed)} failed"
    if done.left:
        told += f", {len(done.left)} not come to: the same command goes on"
    print(f"ecg-monitor: {told}; {took_s:.1f} s, {results.out}", file=sys.stderr)
    return EXIT_INCOMPLETE if failed else 0


def _print(summaries: list[Any]) -> None:
    """A table on standard output, as wide as it is where that is no terminal.

    Raises:
        ConfigError: it cannot be written, e.g. on a full disk.
    """
    from rich.console import Console

    from monitor.archive.overview import overview_table

    if not summaries:
        return
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_PIPE_COLUMNS)
    try:
        console.print(overview_table(summaries))
        sys.stdout.flush()
    except OSError as error:
        # Else the interpreter complains of the same error when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ConfigError(f"score: standard output: {error.strerror}; write somewhere else") from None
