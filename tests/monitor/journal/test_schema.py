"""Files of other versions: older ones are migrated in place, newer ones are refused."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from monitor.errors import JournalError
from monitor.journal import Journal, JournalReader
from monitor.journal.schema import APPLICATION_ID, MIGRATIONS, VERSION
from monitor.messages import Message, bed_topic, encode
from tests.monitor.bus.helpers import alarm, beat
from tests.monitor.commands.helpers import FREE_BUS, ecg_monitor
from tests.monitor.journal.helpers import child, put, query

ALARMS, BEATS = bed_topic("p1", "alarm"), bed_topic("p1", "beat")

# The tables of version 1.
VERSION_1 = """
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
WALL_S = 1_900_000_000
ID = "p1/asystole/1"


def version_1(path: Path) -> list[bytes]:
    """Write a journal of version 1: an alarm with its strip, a beat. Return the bodies of the alarm."""
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute("PRAGMA user_version=1")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("INSERT INTO epochs (name, started_s) VALUES ('old', ?)", (WALL_S,))
    db.execute("INSERT INTO topics (id, name) VALUES (1, ?), (2, ?)", (ALARMS, BEATS))

    def message(topic: int, body: Message, alarm_id: str | None, state: str | None, seq: int) -> bytes:
        raw = encode(body)
        row = (topic, 1, seq, body.sample, body.time, WALL_S, alarm_id, state, raw)
        db.execute("INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        return raw

    raws = [message(1, alarm(1), ID, "onset", 1), message(1, alarm(1, "latched"), ID, "latched", 2)]
    message(2, beat(1), None, None, 1)
    db.execute("INSERT INTO alarm_strips VALUES (NULL, 1, ?, 0, 360.0, 1, ?)", (ID, bytes(40)))
    db.execute(
        "INSERT INTO operator_actions VALUES (NULL, 1, ?, 'nurse 3', 'acknowledge', 'p1', ?, 9, '')", (WALL_S, ID)
    )
    db.commit()
    db.close()
    return raws


def test_a_file_of_version_1_is_migrated_in_place(tmp_path):
    raws = version_1(tmp_path / "j.db")
    with pytest.raises(JournalError, match=r"is of version 1, .* a monitor started with --journal .* brings it up to"):
        JournalReader(tmp_path / "j.db")
    journal = Journal(tmp_path / "j.db", wall=lambda: WALL_S + 60.0)
    journal.start("new")
    assert journal.since(ALARMS, "old", 0).bodies == tuple(raws)
    assert journal.since(ALARMS, "old", 0).complete
    assert journal.active_alarms("old") == raws[1:]
    assert journal.get_strip(ID).samples.shape == (1, 10)
    assert [action.who for action in journal.actions()] == ["nurse 3"]
    assert [(run.epoch, run.ended) for run in journal.runs()] == [("old", "unknown"), ("new", "running")]
    assert journal.died == (), "version 1 did not record how a run ended"
    put(journal, ALARMS, alarm(2), 1)
    journal.put_strip(ID, 0, 360.0, [1.0])
    journal.close()
    Journal(tmp_path / "fresh.db").close()
    columns = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type != 'index'"
    migrated, new = (sorted(query(tmp_path / name, columns)) for name in ("j.db", "fresh.db"))
    assert migrated == new, "the tables of a new file"


KILLED = """
import os, signal, sys
from monitor.journal import file, schema
left = int(sys.argv[2])
real = schema._run
class Counting:
    def __init__(self, db): self.db = db
    def execute(self, statement):
        global left
        if left == 0: os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return self.db.execute(statement)
schema._run = lambda db, script: real(Counting(db), script)
file.open_for_writing(sys.argv[1])
"""


def test_a_kill_in_the_middle_of_a_migration_leaves_version_1(tmp_path):
    steps = MIGRATIONS[1].count(";\n")
    assert steps > 4
    for step in range(2, steps, 4):
        path = tmp_path / f"{step}.db"
        raws = version_1(path)
        process = child(KILLED, str(path), str(step))
        process.communicate(timeout=60)
        assert process.returncode == -9
        assert query(path, "PRAGMA user_version") == [(1,)]
        assert query(path, "SELECT name FROM sqlite_master WHERE name = 'sessions'") == []
        assert query(path, "PRAGMA integrity_check") == [("ok",)]
        journal = Journal(path, wall=lambda: WALL_S + 60.0)
        assert journal.since(ALARMS, "old", 0).bodies == tuple(raws)
        journal.close()


@pytest.mark.parametrize("open_it", [Journal, JournalReader])
def test_a_file_of_a_newer_version_is_refused_in_one_line_and_unchanged(tmp_path, open_it):
    Journal(tmp_path / "j.db").close()
    query(tmp_path / "j.db", f"PRAGMA user_version={VERSION + 1}")
    before = (tmp_path / "j.db").read_bytes()
    with pytest.raises(
        JournalError, match=rf"of version {VERSION + 1}, written by a newer ecg-monitor.*update it"
    ) as error:
        open_it(tmp_path / "j.db")
    assert "\n" not in str(error.value)
    assert (tmp_path / "j.db").read_bytes() == before


ODD = ("loop", "a" * 300, "folder", "no tables", "half", "odd \udcff\n.db")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["monitor", "alarms"])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_one_line_or_works(tmp_path: Path, name: str, command: str) -> None:
    path = tmp_path / name
    if name == "loop":
        path.symlink_to("loop")
    elif name == "folder":
        path.mkdir()
    elif not name.startswith("aa"):
        journal = Journal(path)
        journal.start("run-1")
        journal.close()
        if name == "no tables":
            with contextlib.closing(sqlite3.connect(os.fsencode(path))) as db:
                db.executescript("DROP VIEW log; DROP TABLE messages;")
        elif name == "half":
            path.write_bytes(path.read_bytes()[:20_000])
    arguments = ["alarms"] if command == "alarms" else ["--source", "sim:sinus=3", "--speed", "max", *FREE_BUS]
    arguments += [] if command == "alarms" else ["--no-dashboard"]
    done = ecg_monitor(*arguments, "--journal", str(path))
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if name.startswith("odd") else 2), done.stderr
    if done.returncode:
        assert done.stderr.count("\n") == 1
