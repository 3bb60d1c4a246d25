"""Trials by name, such as faults and attacks: which of them to carry out, and what is kept of their outcomes."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from common.programs import ToolError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def chosen_trials(only: str, known: Collection[str]) -> list[str]:
    """The names in `only`, separated by commas, or all that are known; ToolError: one is not known."""
    names = only.split(",") if only else list(known)
    if unknown := [name for name in names if name not in known]:
        raise ToolError(f"--only {unknown[0]}: there are {', '.join(known)}")
    return names


def figures_of(outcomes: Sequence[DataclassInstance]) -> dict[str, Any]:
    """The machine and the outcomes, for JSON and for the table of the docs."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
