"""What an attack is, and the table of outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.pages import markdown_table

__all__ = ["Attack", "Outcome", "attacks_table"]


@dataclass(frozen=True)
class Outcome:
    """Result of one attack.

    Attributes:
        attack: what was done, a clause for the table.
        now: what happened, a clause for the table.
        good: the monitor and its honest clients went on as they must.
    """

    attack: str
    now: str
    good: bool


Attack = Callable[[Path], Outcome]
"""Carries out one attack; its argument is an empty folder for files."""


def attacks_table(figures: dict[str, Any], command: str = "python tools/attacks.py") -> str:
    """The outcomes as a Markdown table, from the JSON of a run."""
    rows = [(row["attack"], row["now"] if row["good"] else f"**{row['now']}**") for row in figures["outcomes"]]
    return (
        markdown_table(("attack", "what happens now"), rows, "ll")
        + f"\n\nMeasured by `{command}` on {figures['machine']}."
    )
