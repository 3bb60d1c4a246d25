"""`ecg-monitor score`: score stored records on all cores of a machine or of a cluster."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.options import EXIT_INCOMPLETE, RECORD_FLAGS, RECORD_TEXTS, Given, settings_of, takes
from monitor.commands.stdout import standard_output
from monitor.terminal import notice, print_line

if TYPE_CHECKING:
    from monitor.archive.ray_workers import RayWorkers
    from monitor.archive.results import Results
    from monitor.archive.run import ArchiveOutcome
    from monitor.archive.workers import LocalWorkers

__all__ = ["score"]

_STRIPS_MAX = 100


@takes(*RECORD_FLAGS, texts=RECORD_TEXTS)
def score(
    records: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORDS...",
            help="mitdb:208, 'mitdb:*', wfdb:PATH (or edf, ishne, csv), a pattern ('archive/**/*.hea'), or a folder.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results; records with a result there are skipped.")],
    given: Given,
    processes: Annotated[
        int, typer.Option(min=0, max=1024, help="Parallel processes; 0 = one per core of the machine or the cluster.")
    ] = 0,
    ray: Annotated[
        bool, typer.Option("--ray", help="Use the Ray cluster of RAY_ADDRESS, else a Ray cluster on this machine.")
    ] = False,
    strips: Annotated[int, typer.Option(min=0, max=_STRIPS_MAX, help="Number of worst strips per record.")] = 6,
) -> None:
    """Score stored records: beats as Parquet, a summary and the worst strips of each record."""
    from monitor.archive.beat_table import pyarrow_or_error
    from monitor.archive.records import find_records
    from monitor.archive.results import Results

    settings = settings_of(given)
    found = find_records(records)
    results = Results(out)
    pyarrow_or_error()

    from monitor.archive.progress import ProgressDisplay
    from monitor.archive.run import score_all
    from monitor.archive.task import Task
    from monitor.commands.signals import stop_on_signals
    from monitor.engine.assembly import load_scorer

    sha256 = load_scorer(settings.model).info.sha256
    command = ("ecg-monitor", *sys.argv[1:])
    tasks = [Task(r.name, r.spec, out.resolve(), settings, sha256, strips, command) for r in found]
    stop, started_s = threading.Event(), time.monotonic()
    stop_on_signals(stop)
    with _workers(min(processes, len(tasks)), len(tasks), ray) as workers, ProgressDisplay(len(tasks)) as report:
        done = score_all(tasks, results, workers, report, stop.is_set)
    raise typer.Exit(_conclude(results, done, time.monotonic() - started_s))


def _workers(processes: int, records: int, on_ray: bool) -> LocalWorkers | RayWorkers:
    if on_ray:
        from monitor.archive.ray_workers import RayWorkers

        return RayWorkers(processes)
    from monitor.archive.workers import LocalWorkers, usable_cores

    return LocalWorkers(processes or min(usable_cores(), records))


def _conclude(results: Results, done: ArchiveOutcome, took_s: float) -> int:
    """Write the table of all records, print that of this run and its counts.

    Returns:
        Exit code.

    Raises:
        ConfigError: standard output cannot be written, e.g. because the disk is full.
    """
    from monitor.archive.overview import OVERVIEW_COLUMNS, overview_rows, write_overview
    from monitor.commands.table import Column, write_table

    summaries = [summary for name in results.names() if (summary := results.get(name)) is not None]
    failed = bool(done.failed or done.left)
    try:
        write_overview(results, summaries)
    except OSError as error:
        notice(f"the table of all records in {results.out}: {error.strerror}")
        failed = True
    of_run = {*done.scored, *done.kept}
    if shown := [summary for summary in summaries if summary.name in of_run]:
        with standard_output("score") as out:
            title, rows = overview_rows(shown)
            print_line(title, out)
            columns = [Column(name, rank, right=rank > 0) for name, rank in OVERVIEW_COLUMNS]
            write_table(columns, rows, out)
    counts = f"{len(done.scored)} scored, {len(done.kept)} scored before, {len(done.failed)} failed"
    if done.left:
        counts += f", {len(done.left)} not started: repeat the command to continue"
    notice(f"{counts}; {took_s:.1f} s, {results.out}")
    return EXIT_INCOMPLETE if failed else 0
