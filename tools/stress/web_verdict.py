"""The outcome of a fault of the web face: alarm messages in the monitor's journal against those on the page."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.pages import markdown_table

from stress.subjects import Given

SAYS_S = 2.0  # goal: time within which the page says what it does not know
# What the test itself adds: the time between two looks, and to the signal on a busy machine.
SLACK_S = 0.5
_HEADS = ("fault", "alarm messages sent", "on the page", "twice", "says so after, s", "live again after, s", "says")


@dataclass
class Outcome:
    """One line of the table.

    Attributes:
        fault, detail: what was done.
        sent: alarm messages in the journal since the page knew the monitor.
        given: those of them that the page was given.
        twice, strange: alarm messages that it was given twice, and that the journal does not have.
        active_right: it shows the alarms as active that the monitor has.
        says_s: time until the trace was covered, s; None = it did not have to be.
        live_s: time from the end of the fault until the trace was live again, s.
        words: on the page at `says_s`.
        errors: of the scripts of the page.
    """

    fault: str
    detail: str
    sent: int
    given: int
    twice: int
    strange: int
    active_right: bool
    says_s: float | None
    live_s: float | None
    words: str
    errors: list[str]

    @property
    def good(self) -> bool:
        """No alarm lost, doubled or invented; and the page said so in time."""
        return (
            self.given == self.sent > 0
            and not self.twice
            and not self.strange
            and self.active_right
            and not self.errors
            and (self.says_s is None or self.says_s <= SAYS_S + SLACK_S)
        )


def read_journal(path: Path) -> tuple[list[Given], list[str]]:
    """The alarm messages of a journal, oldest first, and the alarms that are active at its end."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT topic, epoch, seq, body FROM log").fetchall()
    alarms = [(topic, epoch, seq, json.loads(body)) for topic, epoch, seq, body in rows if topic.endswith("/alarm/")]
    active: dict[str, str] = {}
    for _, epoch, _, body in alarms:
        if epoch == alarms[-1][1]:
            active[body["alarm"]["alarm_id"]] = body["alarm"]["state"]
    return [place[:3] for place in alarms], sorted(name for name, state in active.items() if state != "cleared")


def faults_table(figures: dict[str, Any]) -> str:
    """A line for each fault and page, as Markdown for docs/web.md."""
    rows = []
    for row in figures["outcomes"]:
        counts = (f"{row[name]:,}" for name in ("sent", "given", "twice"))
        times = ("-" if row[name] is None else f"{row[name]:.1f}" for name in ("says_s", "live_s"))
        title = f"{row['fault']}, {row['detail']}" if row["detail"] else row["fault"]
        rows.append((title, *counts, *times, row["words"].rpartition("| ")[2] or "-"))
    table = markdown_table(_HEADS, rows, "lrrrrrl")
    return f"{table}\n\nMeasured by `{figures['command']}` on {figures['machine']}."
