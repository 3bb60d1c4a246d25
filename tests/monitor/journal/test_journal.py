"""Write a journal and read it back; files that cannot be used."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import JournalError, JournalInUse
from monitor.journal import Journal, OperatorAction, RetentionLimits
from monitor.messages import bed_topic
from tests.monitor.bus.helpers import alarm, beat, heartbeat, status
from tests.monitor.journal.helpers import put, query

ALARMS = bed_topic("p1", "alarm")
BEATS = bed_topic("p1", "beat")
STATUS = bed_topic("p1", "status")


def fresh(path: Path | str = ":memory:", epoch: str = "run-1", **options: object) -> Journal:
    journal = Journal(path, **options)  # type: ignore[arg-type]
    journal.start(epoch)
    return journal


def test_a_query_names_a_run_or_means_the_present_one():
    journal = fresh()
    raws = [put(journal, ALARMS, alarm(n), n) for n in range(1, 6)]
    put(journal, "v1/monitor/heartbeat/", heartbeat(), 1)
    assert journal.since(ALARMS, "", 0).bodies == tuple(raws)
    assert journal.since("v1/monitor/heartbeat/", "run-1", 0).bodies == (), "heartbeats are not kept"
    assert journal.since(BEATS, "run-1", 0) == ((), True, False, "run-1", 0)
    assert journal.since(ALARMS, "unknown", 2) == (tuple(raws), False, False, "run-1", 5)
    with pytest.raises(ValueError, match="'run-1' is in the journal already"):
        journal.start("run-1")


@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    rows=st.integers(1, 5),
    max_bytes=st.sampled_from([1, 1500, 1 << 20]),
    data=st.data(),
)
def test_pages_of_any_size_give_every_message_once(counts, rows, max_bytes, data):
    journal = Journal(":memory:")
    published: list[tuple[str, int, bytes]] = []
    for run, count in enumerate(counts):
        journal.start(f"run-{run}")
        published += [(journal.epoch, n, put(journal, ALARMS, alarm(n), n)) for n in range(1, count + 1)]
    start = data.draw(st.integers(0, len(published)))
    epoch, seq = published[start - 1][:2] if start else ("run-0", 0)
    pages = list(journal.pages(ALARMS, epoch, seq, rows=rows, max_bytes=max_bytes))
    assert all(page.complete and (0 < len(page.bodies) <= rows or not page.more) for page in pages)
    assert [raw for page in pages for raw in page.bodies] == [raw for _, _, raw in published[start:]]
    assert pages[-1][3:] == (f"run-{len(counts) - 1}", counts[-1])
    journal.close()
    journal.close()


def test_rows_are_bounded_and_a_query_for_deleted_rows_is_incomplete():
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
    assert (len(since.bodies), since.complete, since.seq) == (keep, False, 1000)
    recent = journal.since(BEATS, "run-1", 1000 - keep)
    assert (recent.bodies, recent.complete) == (since.bodies, True)
    assert len(journal.since(ALARMS, "run-1", 0).bodies) == 10
    journal.start("run-2")
    for n in range(1, 61):
        put(journal, BEATS, beat(n), n)
        journal.commit()
    assert not journal.since(BEATS, "run-1", 999).complete
    assert not journal.since(BEATS, "run-2", 0).complete


def test_strips_and_actions_are_read_back(tmp_path):
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
    journal.close()


def test_the_view_log_has_readable_rows(tmp_path):
    journal = fresh(tmp_path / "j.db")
    raw = put(journal, ALARMS, alarm(1), 1)
    journal.close()
    rows = query(tmp_path / "j.db", "SELECT epoch, topic, seq, body FROM log")
    assert rows == [("run-1", ALARMS, 1, raw.decode())]


def test_a_second_monitor_on_the_same_file_is_refused(tmp_path):
    first = Journal(tmp_path / "j.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "j.db")
    for name in ("j.db", "link.db"):
        with pytest.raises(JournalInUse, match=rf"{name} is in use by another program; give this monitor another file"):
            Journal(tmp_path / name)
    first.close()
    Journal(tmp_path / "j.db").close()


def other_program(path: Path) -> bytes:
    query(path, "CREATE TABLE messages (x)")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda _: b"this is no database, only text\n" * 100, "damaged or no journal"),
        (lambda _: os.urandom(8192), "damaged or no journal"),
        (other_program, "not a journal this version can read"),
    ],
)
def test_a_file_that_is_no_journal_is_one_line_and_left_alone(tmp_path, content, reason):
    path = tmp_path / "j.db"
    before = content(path)
    path.write_bytes(before)
    with pytest.raises(JournalError, match=reason) as error:
        Journal(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_a_truncated_journal_is_one_line_or_still_works(tmp_path):
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


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "j.db", "/proc/nowhere/j.db"):
        with pytest.raises(JournalError, match=r"cannot be written .*; give a file") as error:
            Journal(path)
        assert "\n" not in str(error.value)


def test_a_read_only_file_is_one_line():
    with tempfile.TemporaryDirectory() as name:  # the user `nobody` may not enter pytest's folders
        folder = Path(name)
        fresh(folder / "j.db").close()
        (folder / "j.db").chmod(0o444)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # root may write everything, the user `nobody` may not
        try:
            with pytest.raises(JournalError, match="cannot be written"):
                Journal(folder / "j.db")
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)
