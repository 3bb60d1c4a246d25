"""Rows that a journal could not write: counted by stream, reported once per failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

__all__ = ["Losses"]

STEADY_S = 5.0  # writing must succeed for this time before the failure counts as over


class Losses:
    """Counts of rows that were not written, and the present failure.

    Args:
        path: of the journal, for the reports.
        clock: monotonic time, s.
        report: called with one line when writing begins to fail, and one when it works again.

    Attributes:
        rows: stream (`alarm`, `beat`, `status`, `event`, `strip`, `action`, `session`) -> rows lost.
        failure: reason of the last failed write, one line; empty once writing has worked for STEADY_S.
    """

    def __init__(self, path: str, clock: Callable[[], float], report: Callable[[str], None] | None) -> None:
        self.rows: Counter[str] = Counter()
        self.failure = ""
        self._path = path
        self._clock = clock
        self._report = report or (lambda _: None)
        self._failed_s = 0.0

    @property
    def total(self) -> int:
        """Rows lost, of all streams."""
        return self.rows.total()

    def summary(self) -> str:
        """Rows lost in words, e.g. `2 alarm, 31 beat`."""
        return ", ".join(f"{count} {stream}" for stream, count in sorted(self.rows.items())) or "nothing"

    def add(self, error: Exception, rows: Counter[str]) -> None:
        """Count the rows that an error lost; report the first error of a failure."""
        self.rows += rows
        first = not self.failure
        self._failed_s = self._clock()
        self.failure = str(error).replace("\n", " ")
        if first:
            self._report(f"journal {self._path} cannot be written ({self.failure}); the monitor continues without it")

    def written(self) -> None:
        """A commit succeeded: end the failure if it lies STEADY_S back."""
        if self.failure and self._clock() - self._failed_s >= STEADY_S:
            self.failure = ""
            self._report(f"journal {self._path} is written again; lost: {self.summary()}")

    def close(self) -> None:
        """The journal is closed: report a failure that lasted to the end."""
        if self.failure:
            self.failure = ""
            self._report(f"journal {self._path} could not be written to the end; lost: {self.summary()}")
