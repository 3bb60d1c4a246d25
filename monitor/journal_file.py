"""The journal's file: SQLite tables, opened, checked and locked, or one line that says why not."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

__all__ = ["JournalError", "open_database", "unusable"]

APPLICATION_ID = 0x45434721  # "ECG!" in the file's header, so that another program's database is not taken for ours
VERSION = 1
OPEN_TIMEOUT_S = 1.0

TABLES = """
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, started_s REAL NOT NULL);
CREATE TABLE topics (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    pruned_epoch INTEGER NOT NULL DEFAULT 0, pruned_seq INTEGER NOT NULL DEFAULT 0);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
    sample INTEGER NOT NULL, time TEXT NOT NULL, wall_s INTEGER NOT NULL, alarm_id TEXT, state TEXT,
    body BLOB NOT NULL);
CREATE UNIQUE INDEX messages_order ON messages (topic, epoch, seq);
CREATE INDEX messages_alarm ON messages (alarm_id) WHERE alarm_id IS NOT NULL;
CREATE TABLE alarm_strips (
    id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, alarm_id TEXT NOT NULL, first_sample INTEGER NOT NULL,
    fs_hz REAL NOT NULL, channels INTEGER NOT NULL, samples BLOB NOT NULL, UNIQUE (alarm_id, epoch));
CREATE TABLE operator_actions (
    id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, wall_s REAL NOT NULL, who TEXT NOT NULL,
    what TEXT NOT NULL, bed TEXT NOT NULL, alarm_id TEXT NOT NULL, sample INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE VIEW log AS
    SELECT epochs.name AS epoch, topics.name AS topic, seq, sample, time, CAST(body AS TEXT) AS body
    FROM messages JOIN epochs ON epochs.id = epoch JOIN topics ON topics.id = topic ORDER BY messages.id;
"""


class JournalError(Exception):
    """The journal cannot be opened. One line: which file, why, and the remedy."""


def open_database(path: str) -> sqlite3.Connection:
    """Open a journal's file, made with its folder and tables where there is none, locked until it is closed.

    The connection is in autocommit mode: transactions begin and end where the caller says.

    Args:
        path: of the file, or `:memory:`.

    Raises:
        JournalError: in use by another process, damaged, not a journal, read-only, or of another version.
    """
    db: sqlite3.Connection | None = None
    try:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            # SQLite opens what it may not write and complains later, of a disk I/O error. Trying by opening the file
            # ourselves would, on closing it, drop the locks of a journal open in this process.
            effective = os.access in os.supports_effective_ids
            if Path(path).exists() and not os.access(path, os.W_OK, effective_ids=effective):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        # The thread that opens need not be the one of the loop; there is never more than one at a time.
        db = sqlite3.connect(path, timeout=OPEN_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA locking_mode=EXCLUSIVE")  # before WAL: a second monitor is refused, not slowed down
        empty = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0
        marks = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if not empty and marks != [APPLICATION_ID, VERSION]:
            raise JournalError(
                f"journal {path} is not a journal this version can read (marks {marks[0]:#x}, {marks[1]}); "
                f"give another file"
            )
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("BEGIN EXCLUSIVE")
        if empty:
            for statement in TABLES.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={VERSION}")  # a write, so that a read-only file is found out now
        db.execute("COMMIT")
    except (sqlite3.Error, OSError, ValueError) as error:
        if db is not None:
            db.close()
        raise unusable(path, error) from error
    except JournalError:
        if db is not None:
            db.close()
        raise
    return db


def unusable(path: str, error: Exception) -> JournalError:
    """The world's reason in one line, with a remedy."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        why = "is in use by another program; give this monitor another file"
    elif name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        why = f"is damaged or no journal ({error}); move it away or give another file"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")) or isinstance(error, OSError):
        why = f"cannot be written ({error}); give a file in a folder of your own"
    else:
        why = f"cannot be used ({error}); give another file"
    return JournalError(f"journal {path} {why}, or :memory: for none on disk".replace("\n", " "))
