"""Deletion of old rows: by size and age, in order of importance, a few rows per commit."""

from __future__ import annotations

import pytest

from monitor.journal import Journal, RetentionLimits
from monitor.journal.retention import DAY_S, STEP_ROWS
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


def test_old_rows_are_deleted_while_it_runs_and_on_opening(tmp_path):
    now = [1e9]
    path = tmp_path / "j.db"
    journal = Journal(path, limits=RetentionLimits(keep_days=2.0), wall=lambda: now[0])
    journal.start("run-1")
    for n in range(1, 11):
        put(journal, ALARMS, alarm(n), n)
        put(journal, BEATS, beat(n), n)
        journal.put_strip(f"p1/asystole/{n}", n, 360.0, [0.0])
        journal.commit()
        now[0] += 0.5 * DAY_S
    for n in range(11, 31):  # within the same hour: topics are checked in turn
        put(journal, BEATS, beat(n), n)
        journal.commit()
    assert len(journal.since(ALARMS, "run-1", 0).bodies) == 4
    assert not journal.since(ALARMS, "run-1", 0).complete
    assert len(journal.since(BEATS, "run-1", 0).bodies) == 4 + 20
    assert count(path, "alarm_strips") == 4
    journal.close()
    now[0] += 1.2 * DAY_S  # on opening all old rows are deleted at once
    journal = Journal(path, limits=RetentionLimits(keep_days=2.0), wall=lambda: now[0])
    journal.start("run-2")
    assert (len(journal.since(ALARMS, "run-1", 0).bodies), count(path, "alarm_strips")) == (1, 1)
    assert journal.since(ALARMS, "run-1", 9).complete
    assert not journal.since(ALARMS, "run-1", 8).complete
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
