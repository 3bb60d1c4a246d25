"""The journal: published messages on disk (SQLite), so that a subscriber can ask for missed ones, also years later.

It also keeps the strip of signal around each alarm, the actions of operators, and per run: the beds, and how it ended.
One monitor writes, from one thread; any number of programs may read at the same time.
"""

from __future__ import annotations

from monitor.errors import JournalError
from monitor.journal.journal import Journal
from monitor.journal.reader import JournalReader
from monitor.journal.retention import RetentionLimits
from monitor.journal.rows import MessagePage, MonitorRun, OperatorAction, RunEnd, Session, Strip

__all__ = [
    "Journal",
    "JournalError",
    "JournalReader",
    "MessagePage",
    "MonitorRun",
    "OperatorAction",
    "RetentionLimits",
    "RunEnd",
    "Session",
    "Strip",
]
