"""Runs of a study: measured in parallel, and kept in a file, so that an interrupted study continues."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from common.pages import save_json
from common.programs import ToolError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from detector import Scorer

__all__ = ["Runs", "command_line", "measure_all"]

HOW = ("--again", "--processes")  # options without influence on the figures


class _Keyed(Protocol):
    @property
    def key(self) -> str:
        """Name of the run in the file."""


Job = TypeVar("Job", bound=_Keyed)
Measure = Callable[[Job, Scorer], dict[str, Any]]


class Runs:
    """The runs of a study that are measured so far.

    Args:
        path: file that keeps them; it need not exist.
        tool: the command that writes this file.
        about: other fields of the file.

    Attributes:
        runs: key -> figures of the run.
        command: command line that measured them.
        model: SHA-256 of the shipped model.

    Raises:
        ToolError: the file is of another tool, or was measured with another model.
    """

    def __init__(self, path: Path, tool: str, about: dict[str, Any]) -> None:
        self.command = ""
        self.model = Scorer().info.sha256
        self.runs: dict[str, dict[str, Any]] = {}
        self._path, self._about = path, about
        if not path.is_file():
            return
        try:
            content = json.loads(path.read_text("utf-8"))
            self.runs, model, self.command = content["runs"], content["model_sha256"], content["command"]
        except (ValueError, KeyError, TypeError) as error:
            raise ToolError(f"{path}: no figures of {tool} ({error!r}); move it away") from None
        if model != self.model:
            raise ToolError(f"{path}: measured with model {model[:12]}, not {self.model[:12]}; move it away")

    def keep(self, key: str, run: dict[str, Any]) -> None:
        """Add a run, and write the file."""
        self.runs[key] = run
        content = {"command": self.command, "seed": None, "model_sha256": self.model, **self._about, "runs": self.runs}
        save_json(self._path, content, indent=None)


def command_line(tool: str, words: Sequence[str]) -> str:
    """The command that gives these figures, without options that have no influence on them.

    >>> command_line("tools/study.py", ["noise", "--processes", "1", "--minutes", "13", "--again"])
    'python tools/study.py noise --minutes 13'
    """
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word.partition("=")[0] not in HOW:
            kept.append(word)
        skip = word == "--processes"
    return " ".join(["python", tool, *kept])


def measure_all(
    what: str, runs: Runs, jobs: Sequence[Job], measure: Measure[Job], processes: int, *, again: bool = False
) -> None:
    """Measure the jobs that the file lacks (`again`: all of them), with a progress bar; keep each run at once."""
    todo = [job for job in jobs if again or job.key not in runs.runs]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=len(jobs), completed=len(jobs) - len(todo))
        for job, run in _run_jobs(measure, todo, processes):
            runs.keep(job.key, run)
            progress.update(task, advance=1, description=job.key)


_scorer: Scorer | None = None  # one a process


def _run(task: tuple[Measure[Job], Job]) -> tuple[Job, dict[str, Any]]:
    global _scorer
    measure, job = task
    _scorer = _scorer or Scorer()
    return job, measure(job, _scorer)


def _run_jobs(measure: Measure[Job], jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    tasks = [(measure, job) for job in jobs]
    if processes == 1 or len(jobs) < 2:
        yield from map(_run, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_run, tasks)
