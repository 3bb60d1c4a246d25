"""The outcomes of `tools/bus_faults.py` as a Markdown table, for docs/bus.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from common.pages import markdown_table

from stress.verdict import Outcome

__all__ = ["as_dict", "faults_table"]

_HEADS = (
    "fault",
    "alarm messages sent",
    "seen",
    "twice",
    "recovered from the journal",
    "messages lost",
    "latency p99 before / during, ms",
    "memory of monitor, subscriber: before / most, MB",
)


def as_dict(outcomes: list[Outcome], command: str, machine: str) -> dict[str, Any]:
    """Content of the file of figures."""
    rows = [{key: value for key, value in asdict(outcome).items() if key != "others"} for outcome in outcomes]
    return {"command": command, "machine": machine, "outcomes": rows}


def faults_table(figures: dict[str, Any]) -> str:
    """A line for each fault and subscriber."""
    rows = []
    for row in figures["outcomes"]:
        latency = " / ".join("-" if value is None else f"{value:.1f}" for value in row["latency_ms"])
        counts = (row[name] for name in ("alarms_sent", "alarms_seen", "duplicates", "recovered", "missed"))
        rows.append((
            f"{row['fault']}; {row['detail']}",
            *(f"{count:,}" for count in counts),
            "-" if latency == "- / -" else latency,
            ", ".join(f"{before:.0f} / {most:.0f}" for before, most in row["memory_mb"].values()),
        ))  # fmt: skip
    return f"{markdown_table(_HEADS, rows)}\n\nMeasured by `{figures['command']}` on {figures['machine']}."
