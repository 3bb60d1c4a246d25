"""The writing side of the journal.

A lock on the file keeps a second monitor out, and one thread writes. A killed process loses at most the rows that were
not committed, and the bus commits every alarm before it sends it. A loss of power may cost the last seconds (WAL,
`synchronous=NORMAL`).

A disk that fills up must not stop the monitor: rows that cannot be written are counted by stream and reported once, and
the next message is tried again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from monitor.journal.file import journal_error, open_for_writing
from monitor.journal.losses import Losses
from monitor.journal.reader import JournalReader
from monitor.journal.retention import Retention, RetentionLimits
from monitor.journal.rows import OperatorAction, RunEnd, Session
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, Message, StatusMessage

__all__ = ["Journal"]


class Journal(JournalReader):
    """An open journal, written and read by its owner. Call `start` once before writing.

    Args:
        path: file, created with its folder if missing; `:memory:` keeps everything in memory only.
        wall: Unix time, s.
        clock: monotonic time, s.
        report: called with one line when writing begins to fail, and one when it works again.

    Attributes:
        epoch: of the run that writes, empty before `start`.
        ending: end of the run that `close` writes.
        losses: rows that could not be written, and the present failure.
        died: runs found without an end when the file was opened: their monitor was killed.

    Raises:
        JournalInUse: another monitor has it open.
        JournalError: damaged, not a journal, read-only, or of a newer version.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        limits: RetentionLimits | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        report: Callable[[str], None] | None = None,
    ) -> None:
        db, self._lock = open_for_writing(str(path))
        super().__init__(path, db)
        self.ending: RunEnd = "in order"
        self.losses = Losses(self.path, clock, report)
        self._wall = wall
        self._run_id = 0
        self._topics: dict[str, int] = {}
        self._uncommitted: Counter[str] = Counter()  # rows of the open transaction, by stream
        try:
            self.died = self._mark_died()
            self._retention = Retention(db, limits or RetentionLimits(), wall())
            self._load_topics()
        except sqlite3.Error as error:
            self._release()
            raise journal_error(self.path, error) from error

    def start(self, epoch: str) -> None:
        """Begin a run.

        Raises:
            ValueError: this epoch was used before.
            JournalError: the journal cannot be written.
        """
        try:
            self._end_run()
            statement = "INSERT INTO epochs (name, started_s) VALUES (?, ?)"
            self._run_id = self._db.execute(statement, (epoch, self._wall())).lastrowid or 0
        except sqlite3.IntegrityError:
            raise ValueError(f"epoch {epoch!r} is in the journal already; every run needs its own") from None
        except sqlite3.Error as error:
            raise journal_error(self.path, error) from error
        self.epoch = epoch
        self.newest.clear()

    def put_sessions(self, sessions: Iterable[Session], version: str) -> None:
        """Write the beds of this run and the version of the program; committed on return."""
        with self._losing("session"):
            for session in sessions:
                row = (self._run_id, *session[:6])
                self._write("session", "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._write("session", "UPDATE epochs SET version = ? WHERE id = ?", (version, self._run_id))
            self.commit()

    def append(self, topic: str, body: Message, raw: bytes) -> None:
        """Write an alarm, beat, status or event, and its JSON as published; other messages are ignored."""
        alarm_id: str | None = None
        state: str | None = None
        match body:
            case AlarmMessage():
                stream, alarm_id, state = "alarm", body.alarm.alarm_id, body.alarm.state
            case BeatMessage():
                stream = "beat"
            case StatusMessage():
                stream = "status"
            case EventMessage():
                stream = "event"
            case _:
                return
        self.newest[topic] = body.seq
        with self._losing(stream):
            key = self._topic(topic)
            row = (key, self._run_id, body.seq, body.sample, body.time, int(self._wall()), alarm_id, state, raw)
            self._write(stream, "INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._retention.added(topic)

    def put_strip(self, alarm_id: str, first_sample: int, fs_hz: float, samples: ArrayLike) -> None:
        """Write the signal around an alarm of this run; a second strip of an alarm replaces the first.

        Args:
            first_sample: index of the first column, source samples.
            fs_hz: sampling rate, Hz.
            samples: (n,) or (channels, n), mV; stored as float32.

        Raises:
            ValueError: samples of another shape.
        """
        block = np.atleast_2d(np.asarray(samples, dtype="<f4"))
        if block.ndim != 2 or not block.size:
            raise ValueError(f"strip of shape {block.shape}; want (n,) or (channels, n), not empty")
        row = (self._run_id, alarm_id, first_sample, fs_hz, block.shape[0], block.tobytes(), int(self._wall()))
        with self._losing("strip"):
            new = self._db.execute("SELECT 1 FROM alarm_strips WHERE alarm_id = ? AND epoch = ?", (alarm_id, row[0]))
            added = 1 if new.fetchone() is None else 0
            self._write(
                "strip",
                "INSERT INTO alarm_strips VALUES (NULL, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alarm_id, epoch) DO UPDATE "
                "SET first_sample = excluded.first_sample, fs_hz = excluded.fs_hz, channels = excluded.channels, "
                "samples = excluded.samples",
                row,
            )
            self._retention.added("strips", added)

    def put_action(self, action: OperatorAction) -> None:
        """Write an action of an operator; committed on return."""
        row = (self._run_id, self._wall(), *action[:6])
        with self._losing("action"):
            self._write("action", "INSERT INTO operator_actions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._retention.added("actions")
            self.commit()

    def commit(self) -> None:
        """Make the appended rows survive the end of this process. Costs nothing where nothing is new."""
        if not self._db.in_transaction:
            return
        try:
            self._retention.step(self._uncommitted.total(), self._wall())
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(error)
            return
        self._uncommitted.clear()
        self._retention.committed()
        with contextlib.suppress(sqlite3.Error):  # the next commit tries again
            self._retention.shrink_file()
        self.losses.written()

    def close(self) -> None:
        """Commit, write the end of the run and close the file; may be called twice."""
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed before
            self.commit()
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk, which was reported
                self._end_run()
            self.losses.close()
        self._release()

    # -- inside ----------------------------------------------------------------------------------------------

    def _mark_died(self) -> tuple[str, ...]:
        """Mark runs without an end as died: the lock is ours, so their monitor is gone."""
        found = tuple(run.epoch for run in self.runs() if run.ended == "running")
        for epoch in found:
            self._db.execute(
                "UPDATE epochs SET ended = 'died', ended_s = ? WHERE name = ?", (self.last_written_s(epoch), epoch)
            )
        return found

    def _end_run(self) -> None:
        if self._run_id:
            statement = "UPDATE epochs SET ended = ?, ended_s = ? WHERE id = ?"
            self._db.execute(statement, (self.ending, self._wall(), self._run_id))

    def _release(self) -> None:
        self._db.close()
        if self._lock is not None:
            self._lock.release()

    def _load_topics(self) -> None:
        self._topics = {name: key for key, name in self._db.execute("SELECT id, name FROM topics")}

    def _topic(self, name: str) -> int:
        """Id of a topic, inserted at its first message."""
        key = self._topics.get(name)
        if key is None:
            key = self._execute("INSERT INTO topics (name) VALUES (?)", (name,)).lastrowid or 0
            self._topics[name] = key
        return key

    def _write(self, stream: str, statement: str, row: tuple[object, ...]) -> None:
        """Write a row, and count it."""
        self._execute(statement, row)
        self._uncommitted[stream] += 1

    def _execute(self, statement: str, row: tuple[object, ...]) -> sqlite3.Cursor:
        """Execute in the open transaction; begin one if needed."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        return self._db.execute(statement, row)

    @contextlib.contextmanager
    def _losing(self, stream: str) -> Iterator[None]:
        """Roll back at an error, and count the rows as lost."""
        try:
            yield
        except sqlite3.Error as error:
            self._roll_back(error, stream)

    def _roll_back(self, error: sqlite3.Error, stream: str = "") -> None:
        """Count the rows of the open transaction and the failed row as lost; leave a clean state to continue from."""
        with contextlib.suppress(sqlite3.Error):  # SQLite rolls back by itself on some errors
            self._db.execute("ROLLBACK")
        if stream:
            self._uncommitted[stream] += 1
        lost, self._uncommitted = self._uncommitted, Counter()
        self._retention.rolled_back()
        self._topics = {}
        with contextlib.suppress(sqlite3.Error):  # topics inserted in the lost transaction are gone
            self._load_topics()
        self.losses.add(error, lost)
