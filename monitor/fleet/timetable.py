"""Periodic tasks of a loop."""

from __future__ import annotations

__all__ = ["Timetable"]


class Timetable:
    """Tells when a periodic task is due; the first time at once.

    Args:
        periods_s: task -> period, s.
    """

    def __init__(self, **periods_s: float) -> None:
        self._periods_s = periods_s
        self._due_s = dict.fromkeys(periods_s, float("-inf"))

    def due(self, task: str, now_s: float) -> bool:
        """Whether a task is due; if so, it is due again one period after `now_s`."""
        if now_s < self._due_s[task]:
            return False
        self._due_s[task] = now_s + self._periods_s[task]
        return True
