"""What the commands of the studies do alike: measure what is not kept yet, write the page of figures or check it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from studies.kept import KeyedJob, Measure, Runs, run_jobs

__all__ = ["command_line", "measure_all", "tell_page"]

HOW = ("--again", "--processes")  # options that change nothing about the figures


def command_line(tool: str, words: Sequence[str]) -> str:
    """The command whose figures these are, without how they were come by.

    >>> command_line("tools/noise.py", ["--processes", "1", "--minutes", "13", "--again"])
    'python tools/noise.py --minutes 13'
    """
    told: list[str] = []
    left_out = False
    for word in words:
        if not left_out and word.partition("=")[0] not in HOW:
            told.append(word)
        left_out = word == "--processes"
    return " ".join(["python", tool, *told])


def measure_all(
    what: str,
    study: Runs,
    jobs: Sequence[KeyedJob],
    measure: Measure[KeyedJob],
    processes: int,
    *,
    again: bool = False,
) -> None:
    """Measure the jobs that are not in the file yet (or all of them `again`), with a bar, each kept at once."""
    todo = [job for job in jobs if again or job.key not in study.runs]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=len(jobs), completed=len(jobs) - len(todo))
        for job, run in run_jobs(measure, todo, processes):
            study.keep(job.key, run)
            progress.update(task, advance=1, description=job.key)


def tell_page(page: Path, put: Callable[[str, str], str], tables: str, *, check: bool) -> None:
    """Write the tables into a page, or end with 1 where it differs from them and with 0 where not."""
    before = page.read_text("utf-8")
    after = put(before, tables)
    if check:
        if after != before:
            print(f"{page.name} differs from the figures: run the command with --write", file=sys.stderr)
        raise typer.Exit(int(after != before))
    page.write_text(after, "utf-8")
