"""Refused connections: counted, and reported in a limited number of lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

__all__ = ["Refusals"]

REPORT_EVERY_S = 10.0
REASONS_PER_REPORT = 5  # reasons with a line of their own, so that invented keys cannot fill the log


class Refusals:
    """Counts refusals; reports the first at once, then one line for each reason every `REPORT_EVERY_S`."""

    def __init__(self, counters: Counter[str], report: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._counters = counters
        self._report = report
        self._clock = clock
        self._due_s = clock()
        self._unreported: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Count one refusal."""
        self._counters["refused"] += 1
        own_line = reason in self._unreported or len(self._unreported) < REASONS_PER_REPORT
        self._unreported[reason if own_line else "others"] += 1
        self.report_due()

    def report_due(self, *, at_end: bool = False) -> None:
        """Report what is unreported if `REPORT_EVERY_S` has passed, or `at_end`."""
        now_s = self._clock()
        if not self._unreported or (now_s < self._due_s and not at_end):
            return
        for reason, times in self._unreported.items():
            more = f", {times} times since the last line" if times > 1 else ""
            self._report(f"bus: refused {reason}{more} ({self._counters['refused']} in all)")
        self._unreported.clear()
        self._due_s = now_s + REPORT_EVERY_S
