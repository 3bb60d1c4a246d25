"""How far a run is: a bar on a terminal, a line a record anywhere else; both on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from monitor.archive.task import Outcome, Task

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Told"]


class Told:
    """Tells each outcome as it comes. A context.

    Args:
        total: records of the run.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bar: Progress | None = None

    def __enter__(self) -> Told:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, task: Task, outcome: Outcome) -> None:
        """One record is done with."""
        self._done += 1
        line = {
            "scored": f"{task.spec}: {outcome.beats} beats of {outcome.duration_s:.0f} s in {outcome.took_s:.1f} s",
            "there": f"{task.spec}: scored before",
            "failed": outcome.text,
        }[outcome.state]
        if self._bar is None:
            print(f"ecg-monitor: {self._done}/{self._total} {line}", file=sys.stderr, flush=True)
            return
        from rich.markup import escape

        (bar,) = self._bar.task_ids
        if outcome.state == "failed":
            self._bar.console.print(f"ecg-monitor: {line}", markup=False, highlight=False, soft_wrap=True)
            self._bar.update(bar, advance=1)
        else:
            self._bar.update(bar, advance=1, description=escape(line))
