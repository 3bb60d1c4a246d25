"""Runs of a study: measured one by one, side by side, and kept in a file so that a study goes on where it stopped."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from detector import Scorer

__all__ = ["KeyedJob", "Measure", "Runs", "StudyError", "run_jobs"]


class _Keyed(Protocol):
    @property
    def key(self) -> str:
        """Name of the run in the file."""


Job = TypeVar("Job")
KeyedJob = TypeVar("KeyedJob", bound=_Keyed)
Measure = Callable[[Job, Scorer], dict[str, Any]]


class StudyError(Exception):
    """An argument or a file is not usable. One line: what, and the remedy."""


class Runs:
    """The runs measured so far, in a file.

    Args:
        path: the file; it may not be there yet.
        tool: the command whose figures these are.
        about: what else is told in the file.

    Raises:
        StudyError: the file is none of this tool, or was measured with another model.
    """

    def __init__(self, path: Path, tool: str, about: dict[str, Any]) -> None:
        self.path = path
        self.command = ""
        self.model = Scorer().info.sha256
        self.runs: dict[str, dict[str, Any]] = {}
        self._about = about
        if not path.is_file():
            return
        try:
            told = json.loads(path.read_text("utf-8"))
            self.runs, model, self.command = told["runs"], told["model_sha256"], told["command"]
        except (ValueError, KeyError, TypeError) as error:
            raise StudyError(f"{path}: no figures of {tool} ({error!r}); move it away") from None
        if model != self.model:
            raise StudyError(f"{path}: measured with model {model[:12]}, not {self.model[:12]}; move it away")

    def keep(self, key: str, run: dict[str, Any]) -> None:
        """Keep one more run, on disk at once."""
        self.runs[key] = run
        told = {"command": self.command, "seed": None, "model_sha256": self.model, **self._about, "runs": self.runs}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(told, indent=None, sort_keys=True) + "\n", "utf-8")
        part.replace(self.path)


_scorer: Scorer | None = None


def _run(task: tuple[Measure[Job], Job]) -> tuple[Job, dict[str, Any]]:
    global _scorer
    measure, job = task
    _scorer = _scorer or Scorer()
    return job, measure(job, _scorer)


def run_jobs(measure: Measure[Job], jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Every job with what was measured, as they are done; in this process where one is enough."""
    tasks = [(measure, job) for job in jobs]
    if processes == 1 or len(jobs) < 2:
        yield from map(_run, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_run, tasks)
