"""How much the journal keeps: by age, by size, by number; the oldest goes first, in small steps.

Beats and status go before events, these before strips and operator actions, alarms last.
"""

from __future__ import annotations

import itertools
import math
import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Final

__all__ = ["Limits", "Retention"]

DAY_S = 86400.0
STEP_ROWS = 250  # deleted with one commit, at least; with what was written since the last: few enough for milliseconds
STEP_PAGES = 64  # given back to the disk with one commit, 256 kB
FREE_PAGES = 256  # kept for what comes next, 1 MB
STRIP_WEIGHT = 60  # a strip is as large as so many beats
EPOCHS_KEPT = 1000  # runs remembered even where nothing of them is left
_ORDER: Final = (("status", "beat"), ("event",), ("strips",), ("actions",), ("alarm",))
_TABLES: Final = {"strips": "alarm_strips", "actions": "operator_actions"}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept.

    Attributes:
        keep_days: what is older goes, days of wall time; 0 = no limit.
        max_mb: the file grows no larger, MB (10^6 bytes); beside it is SQLite's log, usually 4 MB. 0 = no limit.
        alarm_rows, beat_rows, status_rows: newest messages kept of each topic; events as status.
        strips: newest strips kept, of all beds (10 s of two channels at 360 Hz: 29 kB each).
        actions: newest operator actions kept.
        slack_rows: so many more may stay until they are deleted together, of each: the more topics, the fewer steps.
    """

    keep_days: float = 90.0
    max_mb: float = 1000.0
    alarm_rows: int = 200_000
    beat_rows: int = 2_000_000
    status_rows: int = 1_000_000
    strips: int = 20_000
    actions: int = 100_000
    slack_rows: int = 0

    def rows(self, stream: str) -> int:
        """Rows kept of one topic of a stream, or of a table."""
        counts = {"alarm": self.alarm_rows, "beat": self.beat_rows, "strips": self.strips, "actions": self.actions}
        return counts.get(stream, self.status_rows)


class Retention:
    """Lets the oldest rows go; works within the caller's transaction.

    Args:
        db: open for writing.
        limits: how much is kept.
        wall_s: Unix time now.
    """

    def __init__(self, db: sqlite3.Connection, limits: Limits, wall_s: float) -> None:
        self._db = db
        self._limits = limits
        self._page_bytes: int = db.execute("PRAGMA page_size").fetchone()[0]
        self._turn = 0  # whose age is looked at next
        query = "SELECT t.name, COUNT(*) FROM messages m JOIN topics t ON t.id = m.topic GROUP BY m.topic"
        self._rows: dict[str, int] = dict(db.execute(query))
        for what, table in _TABLES.items():
            self._rows[what] = db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        self._open: Counter[str] = Counter()  # what of it is not yet committed
        self._most: dict[str, int] = {}  # rows kept of each, with what may stay for a while
        self._over: set[str] = set()  # which have more
        self._names: list[str] = []  # in turn for a look at their age
        for what in self._rows:
            self._count(what)
        if limits.keep_days:  # whole runs of the past: unlike later, nobody waits for the next sample
            self._db.execute("BEGIN")
            while any(self._drop_aged(topic, wall_s, 10_000) for topic in self._rows):
                pass
            self._forget_runs()
            self._db.execute("COMMIT")
            self.committed()

    def added(self, what: str, rows: int = 1) -> None:
        """Rows were written to a topic, to `strips` or to `actions`; negative where they were deleted."""
        self._rows[what] = self._rows.get(what, 0) + rows
        self._open[what] += rows
        self._count(what)

    def committed(self) -> None:
        """What was written stays."""
        self._open.clear()

    def rolled_back(self) -> None:
        """What was written and deleted since the last commit was not."""
        for what, rows in self._open.items():
            self._rows[what] -= rows
            self._count(what)
        self._open.clear()

    def step(self, written: int, wall_s: float) -> None:
        """Delete a little of what is too much; called before each commit.

        Args:
            written: rows written since the last step: at least as many go where there is no room.
            wall_s: Unix time now.
        """
        most = STEP_ROWS + 2 * written
        for what in sorted(self._over):
            self._drop(what, min(self._rows[what] - self._limits.rows(_stream(what)), most))
        if self._limits.keep_days and self._names:
            self._turn = (self._turn + 1) % len(self._names)
            self._drop_aged(self._names[self._turn], wall_s, most)
        self._bound_size(most)

    def give_back(self) -> None:
        """Give a little of what is free back to the disk; called after a commit."""
        pages, free = self._pages()
        if free > 2 * FREE_PAGES or (free and pages > (self._budget() or pages)):
            # Not `execute`, which takes one page and stops; `executescript` goes on to the end of the statement.
            self._db.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")

    # -- inside ------------------------------------------------------------------------------------------------

    def _count(self, what: str) -> None:
        """Note whether there are too many rows of it; the hot path, once a row."""
        most = self._most.get(what)
        if most is None:
            most = self._most[what] = self._limits.rows(_stream(what)) + self._limits.slack_rows
            self._names.append(what)
        if self._rows[what] > most:
            self._over.add(what)
        elif self._over:
            self._over.discard(what)

    def _bound_size(self, most: int) -> None:
        budget = self._budget()
        if not budget:
            return
        pages, free = self._pages()
        # Some pages short of it, so that what is written until the next step finds room among the free ones.
        if budget and pages - free > budget - min(FREE_PAGES, budget // 8):
            self._drop_oldest(most)

    def _budget(self) -> int:
        """Pages of the file at most; 0 = no limit."""
        return max(1, int(self._limits.max_mb * 1e6) // self._page_bytes) if self._limits.max_mb else 0

    def _pages(self) -> tuple[int, int]:
        """Pages of the file, and how many of them are free."""
        pages, free = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return pages, free

    def _drop_oldest(self, most: int) -> None:
        """From the least wanted streams that have any rows, those that were written first.

        By a stretch of row numbers: rows of these streams lie side by side, and a page is free when all of it is.
        """
        for streams in _ORDER:
            having = [what for what, count in self._rows.items() if count and _stream(what) in streams]
            if having:
                window = max(1, most // STRIP_WEIGHT) if "strips" in streams else most
                end = min(self._oldest(what, "id") or 0 for what in having) + window
                for what in having:
                    self._drop(what, window, "id", end)
                return

    def _drop_aged(self, what: str, wall_s: float, most: int) -> bool:
        """Delete what is past its days, some of it; whether there was any."""
        cut_s = wall_s - self._limits.keep_days * DAY_S
        oldest_s = self._oldest(what, "wall_s")
        return oldest_s is not None and oldest_s < cut_s and self._drop(what, most, "wall_s", cut_s) > 0

    def _oldest(self, what: str, column: str) -> float | None:
        """`id` or `wall_s` (Unix time) of the oldest row."""
        row = next(iter(self._leading(what, 1, column)), None)
        return None if row is None else row[-1]

    def _leading(self, what: str, most: int, column: str) -> list[tuple[float, ...]]:
        """The oldest rows of a topic (epoch, seq, column) or table (id, column), in order."""
        if what in _TABLES:
            return self._db.execute(f"SELECT id, {column} FROM {_TABLES[what]} ORDER BY id LIMIT ?", (most,)).fetchall()
        return self._db.execute(
            f"SELECT epoch, seq, {column} FROM messages WHERE topic = (SELECT id FROM topics WHERE name = ?) "
            "ORDER BY epoch, seq LIMIT ?",
            (what, most),
        ).fetchall()

    def _drop(self, what: str, most: int, column: str = "id", before: float = math.inf) -> int:
        """Delete the oldest rows of a topic or table, up to the first whose column is not before; gives how many."""
        going = list(itertools.takewhile(lambda row: row[-1] < before, self._leading(what, most, column)))
        if not going:
            return 0
        last = going[-1][:-1]
        if what in _TABLES:
            self._db.execute(f"DELETE FROM {_TABLES[what]} WHERE id <= ?", last)
        else:
            (topic,) = self._db.execute("SELECT id FROM topics WHERE name = ?", (what,)).fetchone()
            self._db.execute("DELETE FROM messages WHERE topic = ? AND (epoch, seq) <= (?, ?)", (topic, *last))
            # Remembered, so that who asks from before is told that some is missing.
            self._db.execute("UPDATE topics SET pruned_epoch = ?, pruned_seq = ? WHERE id = ?", (*last, topic))
        self.added(what, -len(going))
        return len(going)

    def _forget_runs(self) -> None:
        """Runs of which nothing is left."""
        self._db.execute(
            "DELETE FROM epochs WHERE id NOT IN (SELECT id FROM epochs ORDER BY id DESC LIMIT ?) "
            "AND id NOT IN (SELECT epoch FROM messages UNION SELECT epoch FROM operator_actions "
            "UNION SELECT epoch FROM alarm_strips)",
            (EPOCHS_KEPT,),
        )
        self._db.execute("DELETE FROM sessions WHERE epoch NOT IN (SELECT id FROM epochs)")


def _stream(what: str) -> str:
    """`beat` of `v1/p1/beat/`; a table's word is its own."""
    return what.rstrip("/").rpartition("/")[2]
