"""Incidents: what went wrong in a run without ending it. Such a run ends with exit code 3."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Incidents"]


class Incidents:
    """List of incidents; each is passed to `on_notice` when it happens.

    Args:
        on_notice: prints one line for a person.

    Attributes:
        lines: one line for each incident, in order.
    """

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        self.lines: list[str] = []
        self._on_notice = on_notice

    def report(self, line: str) -> None:
        """Add an incident."""
        self.lines.append(line)
        self._on_notice(line)
