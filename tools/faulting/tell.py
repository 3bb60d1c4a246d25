"""The outcomes as a table, the file they are kept in, and the page the table stands in."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faulting.verdict import Outcome
from train.tables import put as put_between

__all__ = ["as_json", "put", "read", "table"]

BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
_HEAD = (
    "fault",
    "alarm messages sent",
    "seen",
    "twice",
    "recovered from the journal",
    "messages lost",
    "latency p99 before / during, ms",
    "memory of monitor, subscriber: before / most, MB",
)


def as_json(outcomes: list[Outcome], command: str, machine: str) -> str:
    """What is kept."""
    rows = [{key: value for key, value in asdict(outcome).items() if key != "others"} for outcome in outcomes]
    return json.dumps({"command": command, "machine": machine, "outcomes": rows}, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> dict[str, Any]:
    """What was kept.

    Raises:
        OSError, ValueError: nothing was, or not this.
    """
    kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return kept


def table(kept: dict[str, Any]) -> str:
    """A line a fault and subscriber."""
    lines = [f"| {' | '.join(_HEAD)} |", "|---|" + "---:|" * (len(_HEAD) - 1)]
    for row in kept["outcomes"]:
        memory = ", ".join(f"{before:.0f} / {most:.0f}" for before, most in row["memory_mb"].values())
        latency = " / ".join("-" if value is None else f"{value:.1f}" for value in row["latency_ms"])
        cells = (
            f"{row['fault']}; {row['detail']}",
            f"{row['alarms_sent']:,}",
            f"{row['alarms_seen']:,}",
            f"{row['duplicates']:,}",
            f"{row['recovered']:,}",
            f"{row['missed']:,}",
            "-" if row["latency_ms"] == [None, None] else latency,
            memory,
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Measured by `{kept['command']}` on {kept['machine']}."]
    return "\n".join(lines)


def put(page: str, text: str) -> str:
    """docs/bus.md with the table between its markers; ValueError where one is missing."""
    return put_between(page, text, (BEGIN, END), "docs/bus.md")
