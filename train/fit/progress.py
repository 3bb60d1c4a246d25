"""Progress display of a fit: bars on a terminal, else at most one line per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["FitProgress"]

LINE_EVERY_S = 1.0


class FitProgress:
    """Progress of one fit; a context manager.

    Args:
        console: output; its `is_terminal` decides between bars and lines.
        clock: monotonic time, s.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._last_line_s = -LINE_EVERY_S
        self._bars: Progress | None = None
        self._epochs: TaskID | None = None
        self._batches: TaskID | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def stage(self, name: str, epochs: int, done: int) -> None:
        """A stage of `epochs` epochs starts, with `done` epochs finished before."""
        if self._bars:
            self._epochs = self._bars.add_task(name, total=epochs, completed=done, note="")
            self._batches = self._bars.add_task("  batches", total=None, note="")

    def batches(self, total: int) -> None:
        """An epoch of `total` batches starts."""
        if self._bars and self._batches is not None:
            self._bars.update(self._batches, completed=0, total=total)

    def batch(self, done: int) -> None:
        """`done` batches of the epoch are finished."""
        if self._bars and self._batches is not None:
            self._bars.update(self._batches, completed=done)

    def epoch(self, name: str, done: int, epochs: int, note: str) -> None:
        """`done` epochs of the stage are finished; `note` holds the losses."""
        if self._bars and self._epochs is not None:
            self._bars.update(self._epochs, completed=done, note=note)
            return
        now_s = self._clock()
        if done == epochs or now_s - self._last_line_s >= LINE_EVERY_S:
            self._last_line_s = now_s
            self._console.print(f"{name} {done}/{epochs}  {note}", highlight=False, markup=False, soft_wrap=True)

    def end_stage(self, text: str) -> None:
        """The stage is finished; `text` is its summary."""
        if self._bars and self._batches is not None:
            self._bars.remove_task(self._batches)
            self._batches = None
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
