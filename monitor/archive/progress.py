"""Progress of a run on standard error: a bar on a terminal, elsewhere one line per record."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.archive.task import RecordOutcome, Task
from monitor.terminal import notice, printable

__all__ = ["ProgressDisplay"]


class ProgressDisplay:
    """Prints the outcome of each of `total` records. A context."""

    def __init__(self, total: int) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._bar = Progress(
            *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
        )  # fmt: skip
        self._bar_id = self._bar.add_task("", total=total)
        self._total = total
        self._done = 0

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, task: Task, outcome: RecordOutcome) -> None:
        """Print one outcome."""
        self._done += 1
        line = {
            "scored": f"{task.spec}: {outcome.beats} beats of {outcome.duration_s:.0f} s in {outcome.took_s:.1f} s",
            "kept": f"{task.spec}: scored before",
            "failed": outcome.text,
        }[outcome.state]
        if self._bar.disable:
            notice(f"{self._done}/{self._total} {line}")
        elif outcome.state == "failed":
            self._bar.console.print(printable(f"ecg-monitor: {line}"), markup=False, highlight=False, soft_wrap=True)
            self._bar.advance(self._bar_id)
        else:
            self._bar.update(self._bar_id, advance=1, description=escape(printable(line)))
