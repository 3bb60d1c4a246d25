"""Read a journal, also while a monitor writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from monitor.journal.file import is_locked, open_for_reading
from monitor.journal.rows import MessagePage, MonitorRun, OperatorAction, Session, Strip

__all__ = ["JournalReader"]

PAGE_ROWS = 1000  # of one answer: about 0.5 MB, so that one request does not delay the loop
PAGE_BYTES = 1 << 20


class JournalReader:
    """Queries of a journal.

    Args:
        db: connection of the writer; None = open the file for reading.

    Attributes:
        epoch: run that a query without an epoch is about; the newest in the file.
        newest: topic -> last seq of that run; the writer also counts rows that it could not write.

    Raises:
        JournalError: no such file, damaged, not a journal, or of another version.
    """

    def __init__(self, path: str | Path, db: sqlite3.Connection | None = None) -> None:
        self.path = str(path)
        self.epoch = ""
        self.newest: dict[str, int] = {}
        self._db = open_for_reading(self.path) if db is None else db
        self._writing = db is not None
        if not self._writing:
            names = self.epochs()
            self.epoch = names[-1] if names else ""

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close()

    def since(
        self, topic: str, epoch: str, seq: int, *, rows: int = PAGE_ROWS, max_bytes: int = PAGE_BYTES
    ) -> MessagePage:
        """Messages of a topic after a position, of that run and all later runs.

        An unknown epoch (of another journal, or deleted) returns the messages of the present run, marked incomplete.

        Args:
            epoch: run of the position; empty = the present run.
            seq: number of the last message that the caller has; 0 = none.
            rows, max_bytes: bounds of one answer; one body is always returned.

        Raises:
            sqlite3.Error: the journal cannot be read.
        """
        known = self._epoch_id(epoch or self.epoch)
        this = self._epoch_id(self.epoch) or 0
        topic_row = self._db.execute(
            "SELECT id, pruned_epoch, pruned_seq FROM topics WHERE name = ?", (topic,)
        ).fetchone() or (0, 0, 0)
        at = (known, seq) if known is not None else (this, 0)
        complete = known is not None and at >= topic_row[1:]
        names = {this: self.epoch, at[0]: epoch if known is not None and epoch else self.epoch}
        bodies: list[bytes] = []
        size = 0
        for row_epoch, row_seq, name, body in self._db.execute(
            "SELECT m.epoch, m.seq, e.name, m.body FROM messages m JOIN epochs e ON e.id = m.epoch "
            "WHERE m.topic = ? AND (m.epoch, m.seq) > (?, ?) ORDER BY m.epoch, m.seq",
            (topic_row[0], *at),
        ):
            size += len(body)
            if bodies and (len(bodies) >= rows or size > max_bytes):
                return MessagePage(tuple(bodies), complete, True, names[at[0]], at[1])
            # Each run counts from 1 without a hole; rows of a hole were never written (a full disk).
            complete = complete and row_seq == (at[1] + 1 if row_epoch == at[0] else 1)
            at = (row_epoch, row_seq)
            names[row_epoch] = name
            bodies.append(body)
        newest = (this, self.newest.get(topic, 0))
        if at < newest:
            complete = complete and newest[1] == 0
            at = newest
        return MessagePage(tuple(bodies), complete, False, names[at[0]], at[1])

    def pages(self, topic: str, epoch: str, seq: int, **bounds: int) -> Iterator[MessagePage]:
        """Answers of `since`, each with its bounds, up to the newest message."""
        more = True
        while more:
            page = self.since(topic, epoch, seq, **bounds)
            yield page
            epoch, seq, more = page.epoch, page.seq, page.more

    def active_alarms(self, epoch: str = "") -> list[bytes]:
        """Last message of every alarm of a run that is not cleared, oldest first; empty epoch = the present run."""
        rows = self._db.execute(
            "SELECT body FROM messages m WHERE epoch = ? "
            "AND alarm_id IS NOT NULL AND state != 'cleared' AND NOT EXISTS (SELECT 1 FROM messages n "
            "WHERE n.alarm_id = m.alarm_id AND n.epoch = m.epoch AND n.id > m.id) ORDER BY id",
            (self._epoch_id(epoch or self.epoch),),
        )
        return [row[0] for row in rows]

    def alarms(self, bed: str = "", epoch: str = "", alarm_id: str = "") -> Iterator[bytes]:
        """Messages of alarms, by topic, oldest first; of one bed, run or alarm where named.

        Raises:
            sqlite3.Error: the journal cannot be read.
        """
        topics = [f"v1/{bed}/alarm/"] if bed else [name for name in self.topics() if name.endswith("/alarm/")]
        chosen = self._epoch_id(epoch) if epoch else None
        for topic in topics:
            for (body,) in self._db.execute(
                "SELECT body FROM messages WHERE topic = (SELECT id FROM topics WHERE name = :topic) "
                "AND (:epoch = '' OR epoch = :number) AND (:alarm = '' OR alarm_id = :alarm) ORDER BY epoch, seq",
                {"topic": topic, "epoch": epoch, "number": chosen, "alarm": alarm_id},
            ):
                yield body

    def last(self, topic: str) -> bytes | None:
        """The newest message of a topic, of any run; None where there is none."""
        row = self._db.execute(
            "SELECT body FROM messages WHERE topic = (SELECT id FROM topics WHERE name = ?) "
            "ORDER BY epoch DESC, seq DESC LIMIT 1",
            (topic,),
        ).fetchone()
        return None if row is None else bytes(row[0])

    def newest_messages(self, most: int) -> list[tuple[str, bytes]]:
        """Topic and body of the newest messages, newest first, at most `most`."""
        rows = self._db.execute(
            "SELECT t.name, m.body FROM messages m JOIN topics t ON t.id = m.topic ORDER BY m.id DESC LIMIT ?", (most,)
        )
        return [(row[0], bytes(row[1])) for row in rows]

    def alarm_changes(self, bed: str, first_sample: int) -> list[bytes]:
        """Messages that give the state of the alarms of a bed, of all runs, in order.

        All from `first_sample` on; before it only the last of each alarm that is not cleared.
        """
        rows = self._db.execute(
            "SELECT body FROM messages m WHERE topic = (SELECT id FROM topics WHERE name = ?) AND (sample >= ? OR "
            "(state != 'cleared' AND NOT EXISTS (SELECT 1 FROM messages n WHERE n.alarm_id = m.alarm_id "
            "AND n.id > m.id))) ORDER BY epoch, seq",
            (f"v1/{bed}/alarm/", first_sample),
        )
        return [row[0] for row in rows]

    def beats(self, bed: str, epoch: str, first_sample: int, last_sample: int) -> list[bytes]:
        """Beats of one run with their R-peak between two samples, both included, in order."""
        rows = self._db.execute(
            "SELECT body FROM messages WHERE topic = (SELECT id FROM topics WHERE name = ?) AND epoch = ? "
            "AND sample BETWEEN ? AND ? ORDER BY seq",
            (f"v1/{bed}/beat/", self._epoch_id(epoch), first_sample, last_sample),
        )
        return [row[0] for row in rows]

    def last_beats(self, bed: str, first_sample: int) -> list[bytes]:
        """The newest beats of a bed from `first_sample` on, in order; also of earlier runs with the same sample clock.

        A run whose sample clock began anew ends them: its R-peaks do not follow those of the run before.
        """
        found: list[bytes] = []
        before: int | None = None
        for sample, body in self._db.execute(
            "SELECT sample, body FROM messages WHERE topic = (SELECT id FROM topics WHERE name = ?) "
            "ORDER BY epoch DESC, seq DESC",
            (f"v1/{bed}/beat/",),
        ):
            if sample < first_sample or (before is not None and sample >= before):
                break
            found.append(bytes(body))
            before = sample
        return found[::-1]

    def topics(self) -> list[str]:
        """Topics with at least one message so far."""
        return [row[0] for row in self._db.execute("SELECT name FROM topics ORDER BY name")]

    def get_strip(self, alarm_id: str, epoch: str = "") -> Strip | None:
        """Signal around an alarm, or None; of the newest run where no epoch is named (replays repeat alarm ids)."""
        row = self._db.execute(
            "SELECT first_sample, fs_hz, channels, samples FROM alarm_strips WHERE alarm_id = :alarm "
            "AND (:epoch = '' OR epoch = (SELECT id FROM epochs WHERE name = :epoch)) ORDER BY epoch DESC LIMIT 1",
            {"alarm": alarm_id, "epoch": epoch},
        ).fetchone()
        if row is None:
            return None
        return Strip(row[0], row[1], np.frombuffer(row[3], dtype="<f4").reshape(row[2], -1))

    def actions(self, limit: int = 1000) -> list[OperatorAction]:
        """The newest operator actions, oldest first."""
        rows = self._db.execute(
            "SELECT who, what, bed, alarm_id, sample, detail, wall_s, e.name FROM operator_actions a "
            "JOIN epochs e ON e.id = a.epoch ORDER BY a.id DESC LIMIT ?",
            (limit,),
        ).fetchall()
        return [OperatorAction(*row) for row in reversed(rows)]

    def epochs(self) -> list[str]:
        """Runs in the journal, oldest first."""
        return [row[0] for row in self._db.execute("SELECT name FROM epochs ORDER BY id")]

    def runs(self) -> list[MonitorRun]:
        """Runs in the journal, oldest first; a run without an end whose monitor is gone has died."""
        found = self._db.execute("SELECT name, version, started_s, ended, ended_s FROM epochs ORDER BY id")
        rows = [MonitorRun(*row) for row in found]
        if self._writing or is_locked(self.path):
            return rows
        return [run._replace(ended="died", ended_s=self.last_written_s(run.epoch)) if run.ended == "running" else run
                for run in rows]  # fmt: skip

    def last_written_s(self, epoch: str) -> float:
        """Unix time of the last message of a run, s; of its start where it has none."""
        (found,) = self._db.execute(
            "SELECT COALESCE((SELECT wall_s FROM messages WHERE epoch = e.id ORDER BY id DESC LIMIT 1), started_s) "
            "FROM epochs e WHERE name = ?",
            (epoch,),
        ).fetchone() or (0.0,)
        return float(found)

    def sessions(self, epoch: str = "") -> list[Session]:
        """Beds of one run, or of all, oldest run first."""
        rows = self._db.execute(
            "SELECT s.bed, s.source, s.lead, s.fs_hz, s.model, s.sha256, e.name FROM sessions s "
            "JOIN epochs e ON e.id = s.epoch WHERE :epoch = '' OR e.name = :epoch ORDER BY e.id, s.bed",
            {"epoch": epoch},
        )
        return [Session(*row) for row in rows]

    def _epoch_id(self, name: str) -> int | None:
        row = self._db.execute("SELECT id FROM epochs WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]
