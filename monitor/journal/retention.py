"""Delete old rows of the journal by age, size of the file and number of rows: the oldest first, in small steps.

Beats and status are deleted before events, these before strips and operator actions, alarms last.
"""

from __future__ import annotations

import itertools
import math
import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Final

__all__ = ["Retention", "RetentionLimits"]

DAY_S = 86400.0
STEP_ROWS = 250  # deleted per commit, besides twice the rows written since the last: takes milliseconds
STEP_PAGES = 64  # returned to the disk per commit, 256 kB
FREE_PAGES = 256  # kept for the next rows, 1 MB
STRIP_WEIGHT = 60  # size of a strip, in beats
EPOCHS_KEPT = 1000  # newest runs kept although all their rows are deleted
_DELETE_ORDER: Final = (("status", "beat"), ("event",), ("strips",), ("actions",), ("alarm",))
_TABLES: Final = {"strips": "alarm_strips", "actions": "operator_actions"}


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """How much is kept.

    Attributes:
        keep_days: age of the oldest row, days of wall time; 0 = no limit.
        max_mb: size of the file, MB (10^6 bytes), without SQLite's log of usually 4 MB; 0 = no limit.
        alarm_rows, beat_rows, status_rows: newest messages kept of each topic; events as status.
        strips: newest strips kept, of all beds (10 s of two channels at 360 Hz: 29 kB each).
        actions: newest operator actions kept.
        slack_rows: rows over each limit before they are deleted together: saves steps where there are many topics.
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
    """Deletes the oldest rows, in the transaction of the caller."""

    def __init__(self, db: sqlite3.Connection, limits: RetentionLimits) -> None:
        self._db = db
        self._limits = limits
        self._page_bytes: int = db.execute("PRAGMA page_size").fetchone()[0]
        self._turn = 0  # index of the topic whose age is checked next
        query = "SELECT t.name, COUNT(*) FROM messages m JOIN topics t ON t.id = m.topic GROUP BY m.topic"
        self._rows: dict[str, int] = dict(db.execute(query))
        for what, table in _TABLES.items():
            self._rows[what] = db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        self._uncommitted: Counter[str] = Counter()  # rows written less deleted since the last commit
        self._most: dict[str, int] = {}  # limit of each with `slack_rows`
        self._over: set[str] = set()  # topics and tables over their limit
        self._names: list[str] = []  # their ages are checked in turn
        for what in self._rows:
            self._count(what)
        if limits.keep_days:
            self._forget_runs()

    def added(self, what: str, rows: int = 1) -> None:
        """Count rows written to a topic, to `strips` or to `actions`; negative = deleted."""
        self._rows[what] = self._rows.get(what, 0) + rows
        self._uncommitted[what] += rows
        self._count(what)

    def committed(self) -> None:
        """The transaction was committed."""
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        """The transaction was rolled back: undo the counts since the last commit."""
        for what, rows in self._uncommitted.items():
            self._rows[what] -= rows
            self._count(what)
        self._uncommitted.clear()

    def step(self, written: int, unix_s: float | None) -> None:
        """Delete a few of the rows over the limits; called before each commit.

        Rows are deleted by age only where the time, s, is known for certain (`SteadyClock`): not after the start.
        At least as many rows are deleted as were `written` since the last step where the file is full.
        """
        most = STEP_ROWS + 2 * written
        for what in sorted(self._over):
            self._drop(what, min(self._rows[what] - self._limits.rows(_stream(what)), most))
        if unix_s is not None and self._limits.keep_days and self._names:
            self._turn = (self._turn + 1) % len(self._names)
            self._drop_aged(self._names[self._turn], unix_s, most)
        self._bound_size(most)

    def shrink_file(self) -> None:
        """Return some free pages to the disk; called after a commit."""
        pages, free = self._pages()
        if free > 2 * FREE_PAGES or (free and pages > (self._budget() or pages)):
            # Not `execute`, which frees one page and stops; `executescript` runs the statement to its end.
            self._db.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")

    # -- inside ------------------------------------------------------------------------------------------------

    def _count(self, what: str) -> None:
        """Update whether a topic or table is over its limit; runs once per row."""
        most = self._most.get(what)
        if most is None:
            most = self._most[what] = self._limits.rows(_stream(what)) + self._limits.slack_rows
            self._names.append(what)
        if self._rows[what] > most:
            self._over.add(what)
        elif self._over:
            self._over.discard(what)

    def _bound_size(self, most: int) -> None:
        if budget := self._budget():
            pages, free = self._pages()
            # Some pages less than the budget, so that rows written until the next step find free pages.
            if pages - free > budget - min(FREE_PAGES, budget // 8):
                self._drop_oldest(most)

    def _budget(self) -> int:
        """Largest size of the file, pages; 0 = no limit."""
        return max(1, int(self._limits.max_mb * 1e6) // self._page_bytes) if self._limits.max_mb else 0

    def _pages(self) -> tuple[int, int]:
        """Pages of the file, and the free ones of them."""
        pages, free = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return pages, free

    def _drop_oldest(self, most: int) -> None:
        """Delete the oldest rows of the least important streams that have any: of the beds with the most.

        So that a bed that floods the journal loses its own rows. By a range of row ids: rows of these streams lie side
        by side, and a page is freed when all its rows are.
        """
        for streams in _DELETE_ORDER:
            having = [what for what, count in self._rows.items() if count and _stream(what) in streams]
            having = [what for what in having if self._rows[what] >= self._share(_stream(what))]
            if having:
                window = max(1, most // STRIP_WEIGHT) if "strips" in streams else most
                end = min(self._oldest(what, "id") or 0 for what in having) + window
                for what in having:
                    self._drop(what, window, "id", end)
                return

    def _share(self, stream: str) -> float:
        """Mean number of rows of the topics of a stream."""
        counts = [count for what, count in self._rows.items() if _stream(what) == stream]
        return sum(counts) / len(counts)

    def _drop_aged(self, what: str, unix_s: float, most: int) -> None:
        """Delete some rows older than `keep_days`."""
        cut_s = unix_s - self._limits.keep_days * DAY_S
        oldest_s = self._oldest(what, "wall_s")
        if oldest_s is not None and oldest_s < cut_s:
            self._drop(what, most, "wall_s", cut_s)

    def _oldest(self, what: str, column: str) -> float | None:
        """`id` or `wall_s` (Unix time) of the oldest row."""
        return next((row[-1] for row in self._leading(what, 1, column)), None)

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
        """Delete at most `most` oldest rows with `column` below `before`; return their number."""
        oldest = list(itertools.takewhile(lambda row: row[-1] < before, self._leading(what, most, column)))
        if not oldest:
            return 0
        last = oldest[-1][:-1]
        if what in _TABLES:
            self._db.execute(f"DELETE FROM {_TABLES[what]} WHERE id <= ?", last)
        else:
            (topic,) = self._db.execute("SELECT id FROM topics WHERE name = ?", (what,)).fetchone()
            self._db.execute("DELETE FROM messages WHERE topic = ? AND (epoch, seq) <= (?, ?)", (topic, *last))
            # Kept, so that a query from an older position is marked incomplete.
            self._db.execute("UPDATE topics SET pruned_epoch = ?, pruned_seq = ? WHERE id = ?", (*last, topic))
        self.added(what, -len(oldest))
        return len(oldest)

    def _forget_runs(self) -> None:
        """Delete old runs without any rows."""
        self._db.execute(
            "DELETE FROM epochs WHERE id NOT IN (SELECT id FROM epochs ORDER BY id DESC LIMIT ?) "
            "AND id NOT IN (SELECT epoch FROM messages UNION SELECT epoch FROM operator_actions "
            "UNION SELECT epoch FROM alarm_strips)",
            (EPOCHS_KEPT,),
        )
        self._db.execute("DELETE FROM sessions WHERE epoch NOT IN (SELECT id FROM epochs)")


def _stream(what: str) -> str:
    """The stream of a topic: `beat` of `v1/p1/beat/`; a table name stays as it is."""
    return what.rstrip("/").rpartition("/")[2]
