"""The journal: what was published, kept on disk (SQLite), so that a subscriber who missed some can ask.

It also keeps the strip of signal around each alarm and what operators did. It has one owner: the file is
locked while a monitor runs, and used from one thread. A killed process costs at most what was not yet
committed, and the bus commits every alarm before it sends it; losing power may cost the last seconds (WAL,
`synchronous=NORMAL`).

A disk that fills up while the monitor runs must not stop it: what could not be written is counted, reported
once, and writing is tried anew with the next message.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitor.journal_file import JournalError, open_database, unusable
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, Message, StatusMessage

__all__ = ["Action", "Journal", "JournalError", "Limits", "Since", "Strip"]

SINCE_ROWS = 1000  # of one answer: about 0.5 MB, so that one request never holds up the loop for long
SINCE_BYTES = 1 << 20
PRUNE_SLACK = 2000  # rows over the limit before the oldest go: few enough to delete within milliseconds
EPOCHS_KEPT = 1000  # runs remembered even where nothing of them is left
DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept; each may be passed by PRUNE_SLACK (at most by itself) before the oldest go.

    Attributes:
        alarm_rows, beat_rows, status_rows: newest messages kept of each topic; events as status.
        alarm_days: alarms older than this go when the journal is opened, days of wall time.
        strips: newest strips kept, of all beds (10 s of two channels at 360 Hz: 29 kB each).
        actions: newest operator actions kept.
    """

    alarm_rows: int = 200_000
    beat_rows: int = 20_000
    status_rows: int = 2_000
    alarm_days: float = 90.0
    strips: int = 5_000
    actions: int = 100_000

    def rows(self, topic: str) -> int:
        """Rows kept of one topic."""
        stream = topic.rstrip("/").rpartition("/")[2]
        return {"alarm": self.alarm_rows, "beat": self.beat_rows}.get(stream, self.status_rows)


class Since(NamedTuple):
    """What `Journal.since` found.

    Attributes:
        bodies: JSON bodies as published, oldest first.
        complete: False where something asked for is no longer, or never was, in the journal.
        more: the answer was cut short; ask again from `epoch`, `seq`.
        epoch, seq: the position reached: of the last body, or the newest there is where `more` is False.
    """

    bodies: tuple[bytes, ...]
    complete: bool
    more: bool
    epoch: str
    seq: int


class Strip(NamedTuple):
    """A stretch of signal.

    Attributes:
        first_sample: index of the first column, source samples.
        fs_hz: sampling rate, Hz.
        samples: (channels, n) float32, mV; NaN = no valid sample.
    """

    first_sample: int
    fs_hz: float
    samples: NDArray[np.float32]


class Action(NamedTuple):
    """What an operator did.

    Attributes:
        who, what: e.g. `nurse 3`, `acknowledge`.
        bed, alarm_id: what it was done to; empty = all, none.
        sample: the bed's sample clock then.
        detail: anything else, e.g. `60 s`.
        wall_s: when, Unix time, s; filled in by the journal.
        epoch: of the run; filled in by the journal.
    """

    who: str
    what: str
    bed: str = ""
    alarm_id: str = ""
    sample: int = 0
    detail: str = ""
    wall_s: float = 0.0
    epoch: str = ""


class Journal:
    """An open journal. Call `start` once before anything is written.

    Args:
        path: file, made with its folder where there is none; `:memory:` keeps everything in memory only.
        limits: how much is kept.
        wall: Unix time, s.
        report: told one line when writing fails, and one when it works again.

    Attributes:
        epoch: of the run that writes, empty before `start`.
        lost_rows: rows that could not be written.
        failure: why the last attempt to write failed, one line; empty while all is well.

    Raises:
        JournalError: in use by another process, damaged, not a journal, read-only, or of another version.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        limits: Limits | None = None,
        wall: Callable[[], float] = time.time,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.path = str(path)
        self.epoch = ""
        self.lost_rows = 0
        self.failure = ""
        self._limits = limits or Limits()
        self._wall = wall
        self._report = report
        self._epoch_id = 0
        self._topics: dict[str, int] = {}
        self._newest: dict[str, int] = {}  # last seq of each topic of this run, written or not
        self._open_rows = 0  # in the transaction that is not yet committed
        self._db = open_database(self.path)
        try:
            self._drop_old()
            self._load_topics()
            counts = dict(self._db.execute("SELECT topic, COUNT(*) FROM messages GROUP BY topic"))
            self._rows = {name: counts.get(key, 0) for name, key in self._topics.items()}
            self._strip_rows = self._db.execute("SELECT COUNT(*) FROM alarm_strips").fetchone()[0]
            self._action_rows = self._db.execute("SELECT COUNT(*) FROM operator_actions").fetchone()[0]
        except sqlite3.Error as error:
            self._db.close()
            raise unusable(self.path, error) from error

    # -- writing ---------------------------------------------------------------------------------------------

    def start(self, epoch: str) -> None:
        """Begin a run.

        Raises:
            ValueError: this epoch was used before.
            JournalError: the journal cannot be written.
        """
        statement = "INSERT INTO epochs (name, started_s) VALUES (?, ?)"
        try:
            self._epoch_id = self._db.execute(statement, (epoch, self._wall())).lastrowid or 0
        except sqlite3.IntegrityError:
            raise ValueError(f"epoch {epoch!r} is in the journal already; every run needs its own") from None
        except sqlite3.Error as error:
            raise unusable(self.path, error) from error
        self.epoch = epoch
        self._newest.clear()

    def append(self, topic: str, body: Message, raw: bytes) -> None:
        """Keep one message: alarms, beats, status and events; the rest is not for the journal.

        Args:
            topic: as published.
            body: the message, with its `seq`.
            raw: the same as published, JSON.
        """
        alarm_id: str | None = None
        state: str | None = None
        if isinstance(body, AlarmMessage):
            alarm_id, state = body.alarm.alarm_id, body.alarm.state
        elif not isinstance(body, BeatMessage | StatusMessage | EventMessage):
            return
        self._newest[topic] = body.seq
        try:
            key = self._topic(topic)
            wall_s = int(self._wall())
            self._write(
                "INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, self._epoch_id, body.seq, body.sample, body.time, wall_s, alarm_id, state, raw),
            )
        except sqlite3.Error as error:
            self._failed(error, 1)
            return
        self._rows[topic] = self._rows.get(topic, 0) + 1

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
        row = (self._epoch_id, alarm_id, first_sample, fs_hz, block.shape[0], block.tobytes())
        try:
            self._write("INSERT OR REPLACE INTO alarm_strips VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._failed(error, 1)
            return
        self._strip_rows += 1

    def put_action(self, action: Action) -> None:
        """Keep what an operator did; committed when this returns."""
        row = (self._epoch_id, self._wall(), *action[:6])
        try:
            self._write("INSERT INTO operator_actions VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._failed(error, 1)
            return
        self._action_rows += 1
        self.commit()

    def commit(self) -> None:
        """Make what was appended outlive this process. Costs nothing where nothing is new."""
        if not self._db.in_transaction:
            return
        try:
            self._prune()
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._failed(error, 0)
            return
        self._open_rows = 0
        if self.failure:
            self.failure = ""
            self._tell(f"journal {self.path} is written again; {self.lost_rows} rows were lost")

    def close(self) -> None:
        """Commit and let go of the file; may be called twice."""
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed before
            self.commit()
        self._db.close()

    # -- reading ---------------------------------------------------------------------------------------------

    def since(self, topic: str, epoch: str, seq: int, *, rows: int = SINCE_ROWS, max_bytes: int = SINCE_BYTES) -> Since:
        """Messages of a topic after a position, those of all later runs included.

        An unknown epoch (another journal's, or forgotten) gives what there is of this run, marked incomplete.

        Args:
            topic: whole topic.
            epoch: run the position belongs to; empty = this run.
            seq: last one the asker has; 0 = none.
            rows, max_bytes: bounds of one answer (one body is always given, however long).

        Raises:
            sqlite3.Error: the journal cannot be read.
        """
        known = self._db.execute("SELECT id FROM epochs WHERE name = ?", (epoch or self.epoch,)).fetchone()
        topic_row = self._db.execute(
            "SELECT id, pruned_epoch, pruned_seq FROM topics WHERE name = ?", (topic,)
        ).fetchone() or (0, 0, 0)
        at = (known[0], seq) if known else (self._epoch_id, 0)
        complete = known is not None and at >= topic_row[1:]
        names = {self._epoch_id: self.epoch, at[0]: epoch if known and epoch else self.epoch}
        bodies: list[bytes] = []
        size = 0
        for row_epoch, row_seq, name, body in self._db.execute(
            "SELECT m.epoch, m.seq, e.name, m.body FROM messages m JOIN epochs e ON e.id = m.epoch "
            "WHERE m.topic = ? AND (m.epoch, m.seq) > (?, ?) ORDER BY m.epoch, m.seq",
            (topic_row[0], *at),
        ):
            size += len(body)
            if bodies and (len(bodies) >= rows or size > max_bytes):
                return Since(tuple(bodies), complete, True, names[at[0]], at[1])
            # Each run counts from 1 without a hole; a hole here was never written (a full disk).
            complete = complete and row_seq == (at[1] + 1 if row_epoch == at[0] else 1)
            at = (row_epoch, row_seq)
            names[row_epoch] = name
            bodies.append(body)
        newest = (self._epoch_id, self._newest.get(topic, 0))
        if at < newest:
            complete = complete and newest[1] == 0
            at = newest
        return Since(tuple(bodies), complete, False, names[at[0]], at[1])

    def active_alarms(self, epoch: str = "") -> list[bytes]:
        """Last message of every alarm that is not cleared, oldest first, of one run (empty = this one)."""
        rows = self._db.execute(
            "SELECT body FROM messages m WHERE epoch = (SELECT id FROM epochs WHERE name = ?) "
            "AND alarm_id IS NOT NULL AND state != 'cleared' AND NOT EXISTS (SELECT 1 FROM messages n "
            "WHERE n.alarm_id = m.alarm_id AND n.epoch = m.epoch AND n.id > m.id) ORDER BY id",
            (epoch or self.epoch,),
        )
        return [row[0] for row in rows]

    def get_strip(self, alarm_id: str, epoch: str = "") -> Strip | None:
        """Signal around an alarm, or None; without an epoch the newest run's (replays give the same ids)."""
        row = self._db.execute(
            "SELECT first_sample, fs_hz, channels, samples FROM alarm_strips WHERE alarm_id = ?1 "
            "AND (?2 = '' OR epoch = (SELECT id FROM epochs WHERE name = ?2)) ORDER BY epoch DESC LIMIT 1",
            (alarm_id, epoch),
        ).fetchone()
        if row is None:
            return None
        return Strip(row[0], row[1], np.frombuffer(row[3], dtype="<f4").reshape(row[2], -1))

    def actions(self, limit: int = 1000) -> list[Action]:
        """The newest operator actions, oldest first."""
        rows = self._db.execute(
            "SELECT who, what, bed, alarm_id, sample, detail, wall_s, e.name FROM operator_actions a "
            "JOIN epochs e ON e.id = a.epoch ORDER BY a.id DESC LIMIT ?",
            (limit,),
        ).fetchall()
        return [Action(*row) for row in reversed(rows)]

    def epochs(self) -> list[str]:
        """Runs in the journal, oldest first."""
        return [row[0] for row in self._db.execute("SELECT name FROM epochs ORDER BY id")]

    # -- inside ----------------------------------------------------------------------------------------------

    def _load_topics(self) -> None:
        self._topics = {name: key for key, name in self._db.execute("SELECT id, name FROM topics")}

    def _topic(self, name: str) -> int:
        """Id of a topic, made at its first message."""
        key = self._topics.get(name)
        if key is None:
            key = self._write("INSERT INTO topics (name) VALUES (?)", (name,)).lastrowid or 0
            self._open_rows -= 1  # not a row of anybody's
            self._topics[name] = key
        return key

    def _write(self, statement: str, row: tuple[object, ...]) -> sqlite3.Cursor:
        """Write inside the open transaction, beginning one where there is none."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN")
        cursor = self._db.execute(statement, row)
        self._open_rows += 1
        return cursor

    def _failed(self, error: sqlite3.Error, rows: int) -> None:
        """Count what is lost, the open transaction too; say so once; leave a clean state to go on from."""
        with contextlib.suppress(sqlite3.Error):  # SQLite rolls back by itself where it cannot go on
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self.lost_rows += rows + self._open_rows
        self._open_rows = 0
        self._topics = {}
        with contextlib.suppress(sqlite3.Error):  # topics made in the lost transaction are gone with it
            self._load_topics()
        first = not self.failure
        self.failure = str(error).replace("\n", " ")
        if first:
            self._tell(f"journal {self.path} cannot be written ({self.failure}); the monitor goes on without it")

    def _tell(self, line: str) -> None:
        if self._report is not None:
            self._report(line)

    def _prune(self) -> None:
        """Drop the oldest rows of each table that has grown over its limit by more than the slack."""
        for topic, count in self._rows.items():
            keep = self._limits.rows(topic)
            if count <= keep + min(keep, PRUNE_SLACK) or topic not in self._topics:
                continue
            key = self._topics[topic]
            newest_to_go = self._db.execute(
                "SELECT epoch, seq FROM messages WHERE topic = ? ORDER BY epoch DESC, seq DESC LIMIT 1 OFFSET ?",
                (key, keep),
            ).fetchone()
            if newest_to_go is not None:
                self._drop_up_to(key, newest_to_go)
            self._rows[topic] = keep
        limits = self._limits
        if self._strip_rows > limits.strips + min(limits.strips, PRUNE_SLACK):
            self._strip_rows = self._keep_newest("alarm_strips", limits.strips)
        if self._action_rows > limits.actions + min(limits.actions, PRUNE_SLACK):
            self._action_rows = self._keep_newest("operator_actions", limits.actions)

    def _drop_up_to(self, topic: int, last: tuple[int, int]) -> None:
        """Delete a topic's messages up to (epoch, seq), and remember that there were some."""
        self._db.execute("DELETE FROM messages WHERE topic = ? AND (epoch, seq) <= (?, ?)", (topic, *last))
        self._db.execute("UPDATE topics SET pruned_epoch = ?, pruned_seq = ? WHERE id = ?", (*last, topic))

    def _drop_old(self) -> None:
        """At opening: alarms past their days, and runs of which nothing is left."""
        cut_s = self._wall() - self._limits.alarm_days * DAY_S
        self._db.execute("BEGIN")
        for (topic,) in self._db.execute("SELECT id FROM topics WHERE name LIKE '%/alarm/'").fetchall():
            last: tuple[int, int] | None = None
            for epoch, seq, wall_s in self._db.execute(
                "SELECT epoch, seq, wall_s FROM messages WHERE topic = ? ORDER BY epoch, seq", (topic,)
            ):
                if wall_s >= cut_s:
                    break
                last = (epoch, seq)
            if last is not None:
                self._drop_up_to(topic, last)
        self._db.execute(
            "DELETE FROM epochs WHERE id NOT IN (SELECT id FROM epochs ORDER BY id DESC LIMIT ?) "
            "AND id NOT IN (SELECT epoch FROM messages UNION SELECT epoch FROM operator_actions "
            "UNION SELECT epoch FROM alarm_strips)",
            (EPOCHS_KEPT,),
        )
        self._db.execute("COMMIT")

    def _keep_newest(self, table: str, keep: int) -> int:
        """Delete all but the newest rows of a table; gives how many are kept."""
        self._db.execute(
            f"DELETE FROM {table} WHERE id <= (SELECT id FROM {table} ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (keep,),
        )
        return keep
