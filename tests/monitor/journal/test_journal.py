from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import JournalError, JournalInUse
from monitor.journal import Journal, OperatorAction, RetentionLimits
from monitor.messages import Message, bed_topic, encode
from tests.monitor.bus.helpers import BusProcess, alarm, beat, heartbeat, status

ALARMS = bed_topic("p1", "alarm")
BEATS = bed_topic("p1", "beat")
STATUS = bed_topic("p1", "status")


def put(journal: Journal, topic: str, body: Message, seq: int) -> bytes:
    import msgspec

    body = msgspec.structs.replace(body, epoch=journal.epoch, seq=seq)
    raw = encode(body)
    journal.append(topic, body, raw)
    return raw


def fresh(path: Path | str = ":memory:", epoch: str = "run-1", **options: object) -> Journal:
    journal = Journal(path, **options)  # type: ignore[arg-type]
    journal.start(epoch)
    return journal


def test_gives_back_the_bytes_as_published_and_only_what_is_for_it():
    journal = fresh()
    raws = [put(journal, ALARMS, alarm(n), n) for n in range(1, 6)]
    put(journal, "v1/monitor/heartbeat/", heartbeat(), 1)
    since = journal.since(ALARMS, "run-1", 2)
    assert since == (tuple(raws[2:]), True, False, "run-1", 5)
    assert journal.since(ALARMS, "", 0).bodies == tuple(raws)  # empty epoch: this run
    assert journal.since(ALARMS, "run-1", 5) == ((), True, False, "run-1", 5)
    assert journal.since("v1/monitor/heartbeat/", "run-1", 0).bodies == ()
    assert journal.since(BEATS, "run-1", 0) == ((), True, False, "run-1", 0)


def test_since_goes_on_through_later_runs(tmp_path):
    raws = []
    for epoch in ("a", "b", "c"):
        journal = fresh(tmp_path / "j.db", epoch)
        raws += [put(journal, ALARMS, alarm(n), n) for n in (1, 2, 3)]
        journal.close()
    journal = fresh(tmp_path / "j.db", "d")
    assert journal.epochs() == ["a", "b", "c", "d"]
    since = journal.since(ALARMS, "a", 2)
    assert since.bodies == tuple(raws[2:])
    assert since.complete
    assert (since.epoch, since.seq) == ("d", 0)
    since = journal.since(ALARMS, "nobody knows", 2)
    assert not since.complete
    with pytest.raises(ValueError, match="'a' is in the journal already"):
        journal.start("a")


@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    rows=st.integers(1, 5),
    max_bytes=st.sampled_from([1, 1500, 1 << 20]),
    data=st.data(),
)
def test_paging_gives_everything_once_whatever_the_page(counts, rows, max_bytes, data):
    journal = Journal(":memory:")
    published: list[tuple[str, int, bytes]] = []
    for run, count in enumerate(counts):
        journal.start(f"run-{run}")
        published += [(journal.epoch, n, put(journal, ALARMS, alarm(n), n)) for n in range(1, count + 1)]
    start = data.draw(st.integers(0, len(published)))
    epoch, seq = published[start - 1][:2] if start else ("run-0", 0)
    got: list[bytes] = []
    more = True
    while more:
        page = journal.since(ALARMS, epoch, seq, rows=rows, max_bytes=max_bytes)
        assert page.complete
        assert 0 < len(page.bodies) <= rows or not page.more
        got += page.bodies
        epoch, seq, more = page.epoch, page.seq, page.more
    assert got == [raw for _, _, raw in published[start:]]
    assert (epoch, seq) == (f"run-{len(counts) - 1}", counts[-1])
    journal.close()


def test_is_bounded_and_says_what_it_no_longer_has():
    keep = 50
    journal = fresh(limits=RetentionLimits(beat_rows=keep, status_rows=keep, alarm_rows=10 * keep))
    for n in range(1, 1001):
        put(journal, BEATS, beat(n), n)
        put(journal, STATUS, status(n), n)
        journal.commit()
    for n in range(1, 11):
        put(journal, ALARMS, alarm(n), n)
    journal.commit()
    since = journal.since(BEATS, "run-1", 0)
    assert len(since.bodies) == keep
    assert not since.complete
    assert since.seq == 1000
    recent = journal.since(BEATS, "run-1", 1000 - keep)
    assert recent.complete
    assert len(recent.bodies) == keep
    assert len(journal.since(ALARMS, "run-1", 0).bodies) == 10


def test_pruning_a_whole_run_is_not_forgotten():
    journal = fresh(limits=RetentionLimits(beat_rows=10), epoch="a")
    put(journal, BEATS, beat(1), 1)
    put(journal, BEATS, beat(2), 2)
    journal.start("b")
    for n in range(1, 40):
        put(journal, BEATS, beat(n), n)
        journal.commit()
    assert not journal.since(BEATS, "a", 1).complete
    assert not journal.since(BEATS, "b", 0).complete


def test_what_is_past_its_days_goes_at_opening(tmp_path):
    now = [1e9]
    journal = fresh(tmp_path / "j.db", wall=lambda: now[0])
    put(journal, ALARMS, alarm(1), 1)
    put(journal, BEATS, beat(1), 1)
    journal.commit()
    now[0] += 60 * 86400
    put(journal, ALARMS, alarm(2), 2)
    journal.close()
    now[0] += 60 * 86400
    journal = fresh(tmp_path / "j.db", "run-2", wall=lambda: now[0])
    since = journal.since(ALARMS, "run-1", 0)
    assert len(since.bodies) == 1
    assert not since.complete
    assert journal.since(ALARMS, "run-1", 1).complete
    assert journal.since(BEATS, "run-1", 0).bodies == ()


def test_active_alarms_are_the_last_word_on_each():
    journal = fresh()
    put(journal, ALARMS, alarm(1), 1)
    second = put(journal, ALARMS, alarm(2), 2)
    put(journal, ALARMS, alarm(3), 3)
    put(journal, ALARMS, alarm(3, "cleared"), 4)
    first = put(journal, ALARMS, alarm(1, "acknowledged"), 5)
    assert journal.active_alarms() == [second, first]
    journal.start("run-2")
    assert journal.active_alarms() == []
    assert journal.active_alarms("run-1") == [second, first]


def test_strips_and_actions_come_back(tmp_path):
    journal = fresh(tmp_path / "j.db", limits=RetentionLimits(strips=3, actions=3))
    block = np.arange(20, dtype=np.float32).reshape(2, 10)
    block[0, 3] = np.nan
    journal.put_strip("p1/asystole/1", 100, 360.0, block)
    journal.put_strip("p1/asystole/2", 200, 250.0, [1.0, 2.0])
    journal.put_action(OperatorAction("nurse 3", "acknowledge", "p1", "p1/asystole/1", 500))
    journal.close()
    journal = fresh(tmp_path / "j.db", "run-2", limits=RetentionLimits(strips=3, actions=3))
    strip = journal.get_strip("p1/asystole/1")
    assert strip is not None
    assert (strip.first_sample, strip.fs_hz) == (100, 360.0)
    np.testing.assert_array_equal(strip.samples, block)
    assert journal.get_strip("p1/asystole/2").samples.shape == (1, 2)
    assert journal.get_strip("p1/asystole/3") is None
    journal.put_strip("p1/asystole/1", 7, 360.0, block)  # the same id in another run is another alarm
    assert journal.get_strip("p1/asystole/1").first_sample == 7
    assert journal.get_strip("p1/asystole/1", "run-1").first_sample == 100
    (action,) = journal.actions()
    assert (action.who, action.what, action.alarm_id, action.epoch) == (
        "nurse 3", "acknowledge", "p1/asystole/1", "run-1",
    )  # fmt: skip
    for n in range(20):
        journal.put_strip(f"p1/x/{n}", n, 360.0, block)
        journal.put_action(OperatorAction("a", "pause_audio", sample=n))
    journal.commit()
    assert [a.sample for a in journal.actions()][-3:] == [17, 18, 19]
    assert len(journal.actions()) == 3
    assert journal.get_strip("p1/x/19") is not None
    assert journal.get_strip("p1/x/0") is None
    with pytest.raises(ValueError, match="strip of shape"):
        journal.put_strip("p1/x/1", 0, 360.0, np.zeros((1, 2, 3)))


def test_view_for_people(tmp_path):
    journal = fresh(tmp_path / "j.db")
    raw = put(journal, ALARMS, alarm(1), 1)
    journal.close()
    with sqlite3.connect(tmp_path / "j.db") as db:
        assert db.execute("SELECT epoch, topic, seq, body FROM log").fetchall() == [("run-1", ALARMS, 1, raw.decode())]
    db.close()


def test_outlives_kill_minus_nine(tmp_path):
    process = BusProcess(tmp_path / "j.db", "run-1")
    process.execute("alarm 200")
    process.kill()
    journal = Journal(tmp_path / "j.db")
    since = journal.since(ALARMS, "run-1", 0)
    assert len(since.bodies) == 200
    assert since.complete
    assert journal._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    journal.close()


def test_a_second_monitor_on_the_same_file_is_refused(tmp_path):
    process = BusProcess(tmp_path / "j.db", "run-1")
    try:
        with pytest.raises(JournalInUse, match=r"j\.db is in use by another program"):
            Journal(tmp_path / "j.db")
    finally:
        process.kill()
    Journal(tmp_path / "j.db").close()


@pytest.mark.parametrize("content", [b"this is no database, only text\n" * 100, os.urandom(8192)])
def test_a_damaged_file_is_one_line(tmp_path, content):
    (tmp_path / "j.db").write_bytes(content)
    with pytest.raises(JournalError, match="damaged or no journal") as error:
        Journal(tmp_path / "j.db")
    assert "\n" not in str(error.value)
    assert (tmp_path / "j.db").read_bytes() == content


def test_a_torn_journal_is_one_line_or_still_serves(tmp_path):
    journal = fresh(tmp_path / "j.db")
    for n in range(1, 300):
        put(journal, ALARMS, alarm(n), n)
    journal.close()
    whole = (tmp_path / "j.db").read_bytes()
    (tmp_path / "j.db").write_bytes(whole[: len(whole) // 3] + bytes(len(whole) // 3))
    refusal = ""
    try:
        journal = fresh(tmp_path / "j.db", "run-2")
        put(journal, ALARMS, alarm(1), 1)
        journal.close()
    except JournalError as error:
        refusal = str(error)
    assert "\n" not in refusal


def test_another_programs_database_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE messages (x)")
    db.close()
    with pytest.raises(JournalError, match="not a journal this version can read"):
        Journal(tmp_path / "other.db")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "j.db", "/proc/nowhere/j.db"):
        with pytest.raises(JournalError, match=r"cannot be written .*; give a file") as error:
            Journal(path)
        assert "\n" not in str(error.value)


def test_a_read_only_file_is_one_line():
    folder = Path(tempfile.mkdtemp())
    try:
        fresh(folder / "j.db").close()
        (folder / "j.db").chmod(0o444)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # root may write everything, nobody may not
        try:
            with pytest.raises(JournalError, match="cannot be written"):
                Journal(folder / "j.db")
        finally:
            if root:
                os.seteuid(0)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


FULL_DISK = """
import resource, signal, sys
from tests.monitor.bus.helpers import alarm, beat
from tests.monitor.journal.test_journal import put, ALARMS
from monitor.journal import Journal
said = []
now = [0.0]
journal = Journal({path!r}, report=said.append, clock=lambda: now[0])
journal.start("run-1")
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limit[1]))
for n in range(1, 3001):
    put(journal, ALARMS, alarm(n), n)
    if n % 10 == 0:
        journal.commit()
assert journal.losses.failure and len(said) == 1, said
lost = journal.losses.total
assert 0 < lost < 3000
assert not journal.since(ALARMS, "run-1", 0).complete
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
put(journal, ALARMS, alarm(3001), 3001)
journal.commit()
assert journal.losses.failure and len(said) == 1, "that it works is believed after a while only"
now[0] += 10
put(journal, ALARMS, alarm(3002), 3002)
journal.commit()
assert said[1].endswith(f"is written again; lost: {{lost}} alarm"), said
assert not journal.losses.failure and len(said) == 2, said
kept = 0
seq, more = 0, True
while more:
    page = journal.since(ALARMS, "run-1", seq)
    kept, seq, more = kept + len(page.bodies), page.seq, page.more
assert journal.losses.total == lost and kept == 3002 - lost, (kept, lost)
journal.close()
print(said[0])
"""


def test_a_full_disk_is_counted_and_reported_once_and_the_rest_goes_on(tmp_path):
    code = FULL_DISK.format(path=str(tmp_path / "j.db"))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert "cannot be written" in result.stdout
    assert "the monitor goes on without it" in result.stdout
    assert result.stdout.count("\n") == 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)  # ours is untouched: the limit was the child's


def test_closing_twice_is_no_error():
    journal = fresh()
    journal.close()
    journal.close()
