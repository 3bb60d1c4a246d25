"""The writing side of the journal.

A lock on the file keeps a second monitor out, and one thread writes. A killed process loses at most the rows that were
not committed, and the bus commits every alarm before it sends it. A loss of power may cost the last seconds (WAL,
`synchronous=NORMAL`).

A disk that fills up must not stop the monitor: rows that cannot be written are counted by stream and reported once, and
the next message is tried again. While another program holds SQLite's lock the rows wait in memory (`waiting.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from monitor.errors import JournalError
from monitor.journal.file import (
    BUSY_TIMEOUT_MS,
    LAST_TIMEOUT_MS,
    FilePlace,
    journal_error,
    open_for_writing,
    wait_for_lock,
)
from monitor.journal.losses import Losses
from monitor.journal.reader import JournalReader
from monitor.journal.retention import Retention, RetentionLimits
from monitor.journal.rows import OperatorAction, RunEnd, Session
from monitor.journal.steady_clock import SteadyClock
from monitor.journal.waiting import WaitingRows, is_locked_out
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, Message, StatusMessage

__all__ = ["Journal"]


class Journal(JournalReader):
    """An open journal, written and read by its owner. Call `start` once before writing.

    Many attributes: its parts, and those of the reader.

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
        self._waiting = WaitingRows(clock)
        self._steady = SteadyClock(wall, clock)
        try:
            self._place = FilePlace(self.path)
            self.died = self._mark_died()
            self._retention = Retention(db, limits or RetentionLimits())
            self._load_topics()
            newest = db.execute("SELECT wall_s FROM messages ORDER BY id DESC LIMIT 1").fetchone()
            self._earliest_s: float = newest[0] if newest else 0.0  # a clock that is behind must not make rows old
        except (sqlite3.Error, OSError) as error:
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
        wait_for_lock(self._db, BUSY_TIMEOUT_MS)

    def put_sessions(self, sessions: Iterable[Session], version: str) -> None:
        """Write the beds of this run and the version of the program; committed on return."""
        rows = [(self._run_id, *session[:6]) for session in sessions]

        def write() -> None:
            self._db.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("UPDATE epochs SET version = ? WHERE id = ?", (version, self._run_id))

        self._put("session", write, 200 * len(rows))
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
        row = (self._run_id, body.seq, body.sample, body.time, self._row_s(), alarm_id, state, raw)

        def write() -> None:
            statement = "INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            self._db.execute(statement, (self._topic(topic), *row))
            self._retention.added(topic)

        self._put(stream, write, len(raw))

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
        row = (self._run_id, alarm_id, first_sample, fs_hz, block.shape[0], block.tobytes(), self._row_s())

        def write() -> None:
            old = "SELECT COUNT(*) FROM alarm_strips WHERE alarm_id = ? AND epoch = ?"
            (before,) = self._db.execute(old, (alarm_id, row[0])).fetchone()
            self._db.execute(
                "INSERT INTO alarm_strips VALUES (NULL, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alarm_id, epoch) DO UPDATE "
                "SET first_sample = excluded.first_sample, fs_hz = excluded.fs_hz, channels = excluded.channels, "
                "samples = excluded.samples",
                row,
            )
            self._retention.added("strips", 1 - before)

        self._put("strip", write, block.nbytes)

    def put_action(self, action: OperatorAction) -> None:
        """Write an action of an operator; committed on return."""
        row = (self._run_id, self._wall(), *action[:6])

        def write() -> None:
            self._db.execute("INSERT INTO operator_actions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._retention.added("actions")

        self._put("action", write, 100)
        self.commit()

    def commit(self) -> None:
        """Make the appended rows survive the end of this process. Costs nothing where nothing is new."""
        self._write_waiting()
        if not self._db.in_transaction:
            return
        try:
            self._retention.step(self._uncommitted.total(), self._steady.unix_s())
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if is_locked_out(error):  # the transaction stays open
                self._locked_out(error)
            else:
                self._roll_back(error)
            return
        self._waiting.released()
        self._uncommitted.clear()
        self._retention.committed()
        with contextlib.suppress(sqlite3.Error):  # the next commit tries again
            self._retention.shrink_file()
        self.losses.written()

    def check(self) -> None:
        """Check that the file is still in its place; call it about once a second. Else it counts as failing."""
        if gone := self._place.gone():
            why = f"{gone} was moved or deleted: put it back, or start the monitor again"
            self.losses.add(JournalError(why), Counter())

    def close(self) -> None:
        """Commit, write the end of the run and close the file; may be called twice."""
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed before
            wait_for_lock(self._db, LAST_TIMEOUT_MS)
            self._waiting.released()
            self.commit()
            if lost := self._waiting.counts + (self._uncommitted if self._db.in_transaction else Counter()):
                self.losses.add(JournalError("another program holds its lock"), lost)
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk or a lock, which was reported
                self._end_run()
            self.losses.close()
        self._release()

    # -- inside ----------------------------------------------------------------------------------------------

    def _row_s(self) -> int:
        """Unix time of a row, s."""
        return int(max(self._wall(), self._earliest_s))

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
            key = self._db.execute("INSERT INTO topics (name) VALUES (?)", (name,)).lastrowid or 0
            self._topics[name] = key
        return key

    def _put(self, stream: str, write: Callable[[], None], size: int) -> None:
        """Write a row now, or as soon as no other program holds the lock."""
        if dropped := self._waiting.put(stream, write, size):
            self.losses.add(JournalError("another program holds its lock for too long"), dropped)
        self._write_waiting()

    def _write_waiting(self) -> None:
        """Write the rows that wait, into the open transaction; begin one if needed."""
        while self._waiting.due:
            row = self._waiting.rows[0]
            try:
                if not self._db.in_transaction:
                    self._db.execute("BEGIN IMMEDIATE")
                row.write()
            except sqlite3.Error as error:
                if is_locked_out(error):
                    self._locked_out(error)
                    return
                self._roll_back(error, self._waiting.take())
                continue
            self._uncommitted[self._waiting.take()] += 1

    def _locked_out(self, error: sqlite3.Error) -> None:
        if self._waiting.locked():
            self.losses.add(error, Counter())

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
