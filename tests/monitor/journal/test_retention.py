"""Deletion of old rows: by size and age, in order of importance, a few rows per commit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.journal import Journal, RetentionLimits
from monitor.journal.retention import DAY_S, STEP_ROWS
from monitor.journal.steady_clock import STEADY_S
from monitor.messages import bed_topic
from tests.monitor.bus.helpers import alarm, beat, status
from tests.monitor.journal.helpers import count, put, query

ALARMS, BEATS, STATUS = (bed_topic("p1", stream) for stream in ("alarm", "beat", "status"))
MB = 1_000_000


def test_the_file_stays_within_its_size_and_alarms_are_kept_longest(tmp_path):
    path = tmp_path / "j.db"
    journal = Journal(path, limits=RetentionLimits(max_mb=1.5))
    journal.start("run-1")
    for n in range(1, 101):
        put(journal, ALARMS, alarm(n), n)
        journal.put_strip(f"p1/asystole/{n}", n, 360.0, [0.0] * 500)
    for n in range(1, 8001):
        put(journal, BEATS, beat(n), n)
        put(journal, STATUS, status(n), n)
        if n % 50 == 0:
            journal.commit()
            assert path.stat().st_size <= 1.6 * MB
    since = journal.since(BEATS, "run-1", 0)
    assert not since.complete
    assert journal.since(BEATS, "run-1", 7900).complete, "the newest are kept"
    assert len(journal.since(ALARMS, "run-1", 0).bodies) == 100
    assert count(path, "alarm_strips") == 100
    # A flood of alarms: beats are deleted, then strips, and the oldest alarms last.
    for n in range(101, 4000):
        put(journal, ALARMS, alarm(n), n)
        if n % 20 == 0:
            journal.commit()
            assert path.stat().st_size <= 1.6 * MB
    assert journal.since(BEATS, "run-1", 0).bodies == ()
    assert count(path, "alarm_strips") == 0
    kept = journal.since(ALARMS, "run-1", 3900)
    assert len(kept.bodies) == 99
    assert kept.complete
    assert not journal.since(ALARMS, "run-1", 0).complete
    journal.close()
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_smaller_limit_shrinks_the_file_step_by_step(tmp_path):
    path = tmp_path / "j.db"
    journal = Journal(path)
    journal.start("run-1")
    for n in range(1, 20_001):
        put(journal, BEATS, beat(n), n)
    journal.close()
    assert path.stat().st_size > 7 * MB
    journal = Journal(path, limits=RetentionLimits(max_mb=2.0))
    journal.start("run-2")
    for n in range(1, 301):
        before = count(path)
        put(journal, BEATS, beat(n), n)
        journal.commit()
        assert before - count(path) <= STEP_ROWS + 2, "a few rows per commit: the loop waits for it"
    journal.close()
    assert path.stat().st_size < 2.1 * MB


class Clocks:
    """A wall clock and a monotonic one, moved by the test."""

    def __init__(self) -> None:
        self.wall_s, self.mono_s = 1e9, 0.0

    def advance(self, seconds: float) -> None:
        self.wall_s += seconds
        self.mono_s += seconds

    def open(self, path: Path, keep_days: float = 2.0) -> Journal:
        limits = RetentionLimits(keep_days=keep_days)
        return Journal(path, limits=limits, wall=lambda: self.wall_s, clock=lambda: self.mono_s)


def commits(journal: Journal, clocks: Clocks, topic: str, first: int, last: int, step_s: float = 0.25) -> None:
    for n in range(first, last + 1):
        put(journal, topic, beat(n), n)
        journal.commit()
        clocks.advance(step_s)


def test_old_rows_are_deleted_while_it_runs_and_after_an_hour(tmp_path: Path) -> None:
    clocks = Clocks()
    path = tmp_path / "j.db"
    journal = clocks.open(path)
    journal.start("run-1")
    for n in range(1, 11):
        put(journal, ALARMS, alarm(n), n)
        put(journal, BEATS, beat(n), n)
        journal.put_strip(f"p1/asystole/{n}", n, 360.0, [0.0])
        journal.commit()
        clocks.advance(0.5 * DAY_S)
    commits(journal, clocks, BEATS, 11, 30, 0.0)  # within the same hour: topics are checked in turn
    assert len(journal.since(ALARMS, "run-1", 0).bodies) == 4
    assert not journal.since(ALARMS, "run-1", 0).complete
    assert len(journal.since(BEATS, "run-1", 0).bodies) == 4 + 20
    assert count(path, "alarm_strips") == 4
    journal.close()
    clocks.advance(1.2 * DAY_S)
    journal = clocks.open(path)
    journal.start("run-2")
    commits(journal, clocks, STATUS, 1, 20)
    assert count(path, "alarm_strips") == 4, "the clock of a machine that has just started may be wrong"
    clocks.advance(STEADY_S)
    commits(journal, clocks, STATUS, 21, 40)
    assert (len(journal.since(ALARMS, "run-1", 0).bodies), count(path, "alarm_strips")) == (1, 1)
    assert journal.since(ALARMS, "run-1", 9).complete
    assert not journal.since(ALARMS, "run-1", 8).complete
    journal.close()


@settings(max_examples=30, deadline=None)
@given(
    jumps=st.lists(st.tuples(st.floats(-4e3, 4e3), st.floats(0.0, 0.8 * STEADY_S)), min_size=1, max_size=4),
    before_s=st.sampled_from([0.0, 2 * STEADY_S]),
)
def test_a_clock_that_jumps_deletes_nothing(jumps: list[tuple[float, float]], before_s: float) -> None:
    """`jumps` of the wall clock, in days, and the time after each. At the end the clock is right again."""
    clocks = Clocks()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j.db"
        journal = clocks.open(path, keep_days=90.0)
        journal.start("run-1")
        for n in range(1, 6):
            put(journal, ALARMS, alarm(n), n)
            journal.commit()
        clocks.advance(before_s)
        n = 0
        for days, seconds in jumps:
            true_s = clocks.wall_s
            clocks.wall_s += days * DAY_S
            for _ in range(8):
                n += 1
                commits(journal, clocks, BEATS, n, n, seconds / 8)
            clocks.wall_s = true_s + seconds
        assert len(journal.since(ALARMS, "run-1", 0).bodies) == 5
        journal.close()


def test_a_start_with_a_wrong_clock_deletes_nothing(tmp_path: Path) -> None:
    """The clock begins in 1970 or in the year 2100, and is set seconds later."""
    clocks = Clocks()
    path = tmp_path / "j.db"
    for run, wrong_s in enumerate((0.0, -1e9 + 5.0, 3e9, 0.0)):
        clocks.wall_s += wrong_s
        journal = clocks.open(path, keep_days=90.0)
        journal.start(f"run-{run}")
        put(journal, ALARMS, alarm(1), 1)
        commits(journal, clocks, BEATS, 1, 20)
        clocks.wall_s -= wrong_s
        commits(journal, clocks, BEATS, 21, 40)
        clocks.advance(STEADY_S)
        commits(journal, clocks, BEATS, 41, 60)
        journal.close()
    assert count(path) == 4 * 61


def test_a_bed_that_floods_the_journal_loses_its_own_rows(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db", limits=RetentionLimits(max_mb=1.5))
    journal.start("run-1")
    quiet, loud = bed_topic("p1", "alarm"), bed_topic("p2", "alarm")
    for n in range(1, 201):
        put(journal, quiet, alarm(n), n)
    for n in range(1, 8001):
        put(journal, loud, alarm(n), n)
        if n % 20 == 0:
            journal.commit()
    assert len(journal.since(quiet, "run-1", 0).bodies) == 200
    assert len(journal.since(loud, "run-1", 0).bodies) < 4000
    journal.close()


@pytest.mark.parametrize("limits", [{"keep_days": 0.0}, {"max_mb": 0.0}])
def test_zero_is_no_limit(limits):
    now = [1e9]
    journal = Journal(":memory:", limits=RetentionLimits(**limits), wall=lambda: now[0])
    journal.start("run-1")
    put(journal, BEATS, beat(1), 1)
    journal.commit()
    now[0] += 50 * DAY_S
    for n in range(2, 50):
        put(journal, BEATS, beat(n), n)
        journal.commit()
    assert journal.since(BEATS, "run-1", 0).complete
    journal.close()
