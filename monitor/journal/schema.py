"""The tables of the journal, and the migrations of older files."""

from __future__ import annotations

import re
import sqlite3

__all__ = ["APPLICATION_ID", "VERSION", "create", "migrate"]

APPLICATION_ID = 0x45434721  # "ECG!" in the header of the file marks it as a journal
VERSION = 2

TABLES = """
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, started_s REAL NOT NULL,
    version TEXT NOT NULL DEFAULT '', ended TEXT NOT NULL DEFAULT 'running', ended_s REAL);
CREATE TABLE sessions (
    epoch INTEGER NOT NULL, bed TEXT NOT NULL, source TEXT NOT NULL, lead TEXT NOT NULL, fs_hz REAL NOT NULL,
    model TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (epoch, bed)) WITHOUT ROWID;
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
    fs_hz REAL NOT NULL, channels INTEGER NOT NULL, samples BLOB NOT NULL, wall_s INTEGER NOT NULL DEFAULT 0,
    UNIQUE (alarm_id, epoch));
CREATE TABLE operator_actions (
    id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, wall_s REAL NOT NULL, who TEXT NOT NULL,
    what TEXT NOT NULL, bed TEXT NOT NULL, alarm_id TEXT NOT NULL, sample INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE VIEW log AS
    SELECT epochs.name AS epoch, topics.name AS topic, seq, sample, time, CAST(body AS TEXT) AS body
    FROM messages JOIN epochs ON epochs.id = epoch JOIN topics ON topics.id = topic ORDER BY messages.id;
"""

NAMES = frozenset(re.findall(r"CREATE (?:TABLE|VIEW) (\w+)", TABLES))

# From each version to the next. Version 1 did not record how a run ended.
MIGRATIONS = {
    1: """
ALTER TABLE epochs ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE epochs ADD COLUMN ended TEXT NOT NULL DEFAULT 'running';
ALTER TABLE epochs ADD COLUMN ended_s REAL;
UPDATE epochs SET ended = 'unknown';
ALTER TABLE alarm_strips ADD COLUMN wall_s INTEGER NOT NULL DEFAULT 0;
UPDATE alarm_strips SET wall_s = (SELECT CAST(started_s AS INTEGER) FROM epochs WHERE id = epoch);
CREATE TABLE sessions (
    epoch INTEGER NOT NULL, bed TEXT NOT NULL, source TEXT NOT NULL, lead TEXT NOT NULL, fs_hz REAL NOT NULL,
    model TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (epoch, bed)) WITHOUT ROWID;
""",
}


def create(db: sqlite3.Connection) -> None:
    """Create the tables, in the transaction of the caller."""
    _run(db, TABLES)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Migrate the tables of an older version, in the transaction of the caller: all steps or none."""
    for step in range(version, VERSION):
        _run(db, MIGRATIONS[step])


def _run(db: sqlite3.Connection, script: str) -> None:
    # Not `executescript`: it commits first.
    for statement in script.split(";\n"):
        if statement.strip():
            db.execute(statement)
