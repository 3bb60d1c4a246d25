"""The journal: what was published, kept on disk (SQLite), so that who missed some can ask, also years later.

It also keeps the strip of signal around each alarm, what operators did, and which run watched what and how it ended.
One monitor writes, from one thread; anybody may read meanwhile.
"""

from __future__ import annotations

from monitor.errors import JournalError
from monitor.journal.journal import Journal
from monitor.journal.reader import JournalReader
from monitor.journal.retention import Limits
from monitor.journal.rows import Action, Ended, Run, Session, Since, Strip

__all__ = [
    "Action",
    "Ended",
    "Journal",
    "JournalError",
    "JournalReader",
    "Limits",
    "Run",
    "Session",
    "Since",
    "Strip",
]
