"""The writing side of the journal.

It has one owner: the file is locked against a second monitor, and written from one thread. A killed process costs at
most what was not yet committed, and the bus commits every alarm before it sends it; losing power may cost the last
seconds (WAL, `synchronous=NORMAL`).

A disk that fills up while the monitor runs must not stop it: what could not be written is counted by stream, reported
once, and writing is tried anew with the next message.
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

from monitor.journal.file import open_for_writing, unusable
from monitor.journal.reader import SINCE_BYTES, SINCE_ROWS, JournalReader
from monitor.journal.retention import Limits, Retention
from monitor.journal.rows import Action, Ended, Run, Session, Since, Strip
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, Message, StatusMessage

__all__ = ["Journal"]

STEADY_S = 5.0  # so long it must write without an error before it counts as working again


class Journal:
    """An open journal. Call `start` once before anything is written.

    Args:
        path: file, made with its folder where there is none; `:memory:` keeps everything in memory only.
        limits: how much is kept.
        wall: Unix time, s.
        clock: monotonic time, s.
        report: told one line when writing fails, and one when it works again.

    Attributes:
        epoch: of the run that writes, empty before `start`.
        ending: how the run will have ended, when `close` is called.
        lost: rows that could not be written, by stream (`alarm`, `beat`, `status`, `event`, `strip`, `action`).
        failure: why an attempt to write failed, one line; empty once it has worked again for STEADY_S.
        died: runs that were found without an end when the file was opened: their monitor was killed.

    Raises:
        JournalError: in use by another monitor, damaged, not a journal, read-only, or of a newer version.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        limits: Limits | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.path = str(path)
        self.epoch = ""
        self.ending: Ended = "in order"
        self.lost: Counter[str] = Counter()
        self.failure = ""
        self._wall = wall
        self._clock = clock
        self._report = report
        self._failed_s = 0.0
        self._epoch_id = 0
        self._topics: dict[str, int] = {}
        self._open: Counter[str] = Counter()  # rows of the transaction that is not yet committed, by stream
        self._db, self._lock = open_for_writing(self.path)
        self._reader = JournalReader(self.path, self._db)
        try:
            self.died = self._mark_died()
            self._retention = Retention(self._db, limits or Limits(), wall())
            self._load_topics()
        except sqlite3.Error as error:
            self._let_go()
            raise unusable(self.path, error) from error

    @property
    def lost_rows(self) -> int:
        """Rows that could not be written, of all streams."""
        return self.lost.total()

    # -- writing ---------------------------------------------------------------------------------------------

    def start(self, epoch: str) -> None:
        """Begin a run.

        Raises:
            ValueError: this epoch was used before.
            JournalError: the journal cannot be written.
        """
        try:
            self._end_run(self.ending)
            statement = "INSERT INTO epochs (name, started_s) VALUES (?, ?)"
            self._epoch_id = self._db.execute(statement, (epoch, self._wall())).lastrowid or 0
        except sqlite3.IntegrityError:
            raise ValueError(f"epoch {epoch!r} is in the journal already; every run needs its own") from None
        except sqlite3.Error as error:
            raise unusable(self.path, error) from error
        self.epoch = self._reader.epoch = epoch
        self._reader.newest.clear()

    def put_sessions(self, sessions: Iterable[Session], version: str) -> None:
        """Keep what this run watches, and by which version of the program; committed when this returns."""
        try:
            for session in sessions:
                row = (self._epoch_id, *session[:6])
                self._write("session", "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._write("session", "UPDATE epochs SET version = ? WHERE id = ?", (version, self._epoch_id))
        except sqlite3.Error as error:
            self._failed(error, "session")
            return
        self.commit()

    def append(self, topic: str, body: Message, raw: bytes) -> None:
        """Keep one message: alarms, beats, status and events; the rest is not for the journal.

        Args:
            topic: as published.
            body: the message, with its `seq`.
            raw: the same as published, JSON.
        """
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
        self._reader.newest[topic] = body.seq
        try:
            key = self._topic(topic)
            row = (key, self._epoch_id, body.seq, body.sample, body.time, int(self._wall()), alarm_id, state, raw)
            self._write(stream, "INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._failed(error, stream)
            return
        self._retention.added(topic)

    def put_strip(self, alarm_id: str, first_sample: int, fs_hz: float, samples: ArrayLike) -> None:
        """Keep the signal around an alarm of this run; a second strip of the same alarm replaces the first.

        Args:
            alarm_id: of the alarm.
            first_sample: index of the first column, source samples.
            fs_hz: sampling rate, Hz.
            samples: (n,) or (channels, n), mV; kept as float32.

        Raises:
            ValueError: samples of another shape.
        """
        block = np.atleast_2d(np.asarray(samples, dtype="<f4"))
        if block.ndim != 2 or not block.size:
            raise ValueError(f"strip of shape {block.shape}; want (n,) or (channels, n), not empty")
        row = (self._epoch_id, alarm_id, first_sample, fs_hz, block.shape[0], block.tobytes(), int(self._wall()))
        try:
            new = self._db.execute("SELECT 1 FROM alarm_strips WHERE alarm_id = ? AND epoch = ?", (alarm_id, row[0]))
            added = 1 if new.fetchone() is None else 0
            self._write(
                "strip",
                "INSERT INTO alarm_strips VALUES (NULL, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alarm_id, epoch) DO UPDATE "
                "SET first_sample = excluded.first_sample, fs_hz = excluded.fs_hz, channels = excluded.channels, "
                "samples = excluded.samples",
                row,
            )
        except sqlite3.Error as error:
            self._failed(error, "strip")
            return
        self._retention.added("strips", added)

    def put_action(self, action: Action) -> None:
        """Keep what an operator did; committed when this returns."""
        row = (self._epoch_id, self._wall(), *action[:6])
        try:
            self._write("action", "INSERT INTO operator_actions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._failed(error, "action")
            return
        self._retention.added("actions")
        self.commit()

    def commit(self) -> None:
        """Make what was appended outlive this process. Costs nothing where nothing is new."""
        if not self._db.in_transaction:
            return
        try:
            self._retention.step(self._open.total(), self._wall())
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._failed(error)
            return
        self._open.clear()
        self._retention.committed()
        with contextlib.suppress(sqlite3.Error):  # there is time for it with the next one
            self._retention.give_back()
        if self.failure and self._clock() - self._failed_s >= STEADY_S:
            self.failure = ""
            self._tell(f"journal {self.path} is written again; lost: {self.lost_words()}")

    def close(self) -> None:
        """Commit, note the end of the run and let go of the file; may be called twice."""
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed before
            self.commit()
            with contextlib.suppress(sqlite3.OperationalError):  # a full disk: it was said
                self._end_run(self.ending)
            if self.failure:
                self.failure = ""
                self._tell(f"journal {self.path} could not be written to the end; lost: {self.lost_words()}")
        self._let_go()

    def lost_words(self) -> str:
        """What could not be written, e.g. `2 alarm, 31 beat`."""
        return ", ".join(f"{count} {stream}" for stream, count in sorted(self.lost.items())) or "nothing"

    # -- reading ---------------------------------------------------------------------------------------------

    def since(self, topic: str, epoch: str, seq: int, *, rows: int = SINCE_ROWS, max_bytes: int = SINCE_BYTES) -> Since:
        """See `JournalReader.since`."""
        return self._reader.since(topic, epoch, seq, rows=rows, max_bytes=max_bytes)

    def active_alarms(self, epoch: str = "") -> list[bytes]:
        """See `JournalReader.active_alarms`."""
        return self._reader.active_alarms(epoch)

    def get_strip(self, alarm_id: str, epoch: str = "") -> Strip | None:
        """See `JournalReader.get_strip`."""
        return self._reader.get_strip(alarm_id, epoch)

    def actions(self, limit: int = 1000) -> list[Action]:
        """See `JournalReader.actions`."""
        return self._reader.actions(limit)

    def epochs(self) -> list[str]:
        """Runs in the journal, oldest first."""
        return self._reader.epochs()

    def runs(self) -> list[Run]:
        """See `JournalReader.runs`."""
        return self._reader.runs()

    def sessions(self, epoch: str = "") -> list[Session]:
        """See `JournalReader.sessions`."""
        return self._reader.sessions(epoch)

    # -- inside ----------------------------------------------------------------------------------------------

    def _mark_died(self) -> tuple[str, ...]:
        """Runs without an end: nobody but us may write, so their monitor is no more."""
        found = tuple(run.epoch for run in self._reader.runs() if run.ended == "running")
        for epoch in found:
            self._db.execute(
                "UPDATE epochs SET ended = 'died', ended_s = ? WHERE name = ?",
                (self._reader.last_written_s(epoch), epoch),
            )
        return found

    def _end_run(self, ending: Ended) -> None:
        if self._epoch_id:
            statement = "UPDATE epochs SET ended = ?, ended_s = ? WHERE id = ?"
            self._db.execute(statement, (ending, self._wall(), self._epoch_id))

    def _let_go(self) -> None:
        self._db.close()
        if self._lock is not None:
            self._lock.release()

    def _load_topics(self) -> None:
        self._topics = {name: key for key, name in self._db.execute("SELECT id, name FROM topics")}

    def _topic(self, name: str) -> int:
        """Id of a topic, made at its first message."""
        key = self._topics.get(name)
        if key is None:
            self._begin()
            key = self._db.execute("INSERT INTO topics (name) VALUES (?)", (name,)).lastrowid or 0
            self._topics[name] = key
        return key

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _write(self, stream: str, statement: str, row: tuple[object, ...]) -> sqlite3.Cursor:
        """Write inside the open transaction, beginning one where there is none."""
        self._begin()
        cursor = self._db.execute(statement, row)
        self._open[stream] += 1
        return cursor

    def _failed(self, error: sqlite3.Error, stream: str = "") -> None:
        """Count what is lost, the open transaction too; say so once; leave a clean state to go on from."""
        with contextlib.suppress(sqlite3.Error):  # SQLite rolls back by itself where it cannot go on
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self.lost += self._open
        if stream:
            self.lost[stream] += 1
        self._open.clear()
        self._retention.rolled_back()
        self._topics = {}
        with contextlib.suppress(sqlite3.Error):  # topics made in the lost transaction are gone with it
            self._load_topics()
        first = not self.failure
        self._failed_s = self._clock()
        self.failure = str(error).replace("\n", " ")
        if first:
            self._tell(f"journal {self.path} cannot be written ({self.failure}); the monitor goes on without it")

    def _tell(self, line: str) -> None:
        if self._report is not None:
            self._report(line)
