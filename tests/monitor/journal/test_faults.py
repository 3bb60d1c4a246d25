"""A journal after kill -9 at any moment and on a full disk, with readers at the same time and a second monitor."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detector.scorer import Scorer
from monitor.bus.requests import ControlRequest
from monitor.errors import JournalInUse
from monitor.journal import Journal, JournalReader, OperatorAction, RetentionLimits
from monitor.messages import AlarmMessage, EventMessage, Message, bed_topic, decode
from tests.monitor.bus.helpers import alarm, beat
from tests.monitor.commands.helpers import ecg_monitor
from tests.monitor.engine.helpers import FS_HZ, FedSource, Run, Script, ecg, settings
from tests.monitor.journal.helpers import child, count, fillable_disk, put, query

ALARMS, BEATS, EVENTS = (bed_topic("p1", stream) for stream in ("alarm", "beat", "event"))

# Writes as a monitor does: an alarm is published (its number is printed) after its commit.
WRITER = """
import sys
import numpy as np
from tests.monitor.bus.helpers import alarm, beat
from tests.monitor.journal.helpers import put
from monitor.journal import Journal, RetentionLimits, Session
from monitor.messages import bed_topic
journal = Journal(sys.argv[1], limits=RetentionLimits(max_mb=float(sys.argv[3])))
journal.start(sys.argv[2])
journal.put_sessions([Session("p1", "sim", "II", 360.0, "m", "00")], "1.2.3")
print("ready", flush=True)
n = 0
while True:
    n += 1
    for k in range(5):
        put(journal, bed_topic("p1", "beat"), beat(5 * n + k), 5 * n + k - 4)
    journal.put_strip(f"p1/asystole/{n}", n, 360.0, np.full((2, 1000), n))
    put(journal, bed_topic("p1", "alarm"), alarm(n), n)
    journal.commit()
    print(n, flush=True)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_after_a_kill_at_any_moment_no_published_alarm_is_missing(tmp_path, kills):
    path = tmp_path / "j.db"
    draw = random.Random(5)
    published: dict[str, int] = {}
    for run in range(kills):
        epoch = f"run-{run}"
        writer = child(WRITER, str(path), epoch, "3.0")  # small, so that rows are also deleted during the kill
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        lines = [writer.stdout.readline() for _ in range(draw.randrange(1, 120))]
        writer.kill()  # while it writes the next
        lines += writer.communicate()[0].splitlines(keepends=True)
        published[epoch] = int([line for line in lines if line.endswith("\n")][-1])
        with contextlib.closing(JournalReader(path)) as reader:
            assert reader.runs()[-1].ended == "died", "found at once, without a monitor"
        journal = Journal(path, limits=RetentionLimits(max_mb=3.0))
        assert journal.died == (epoch,)
        assert query(path, "PRAGMA integrity_check") == [("ok",)]
        pages = list(journal.pages(ALARMS, epoch, 0))
        assert all(page.complete for page in pages), "beats and strips were deleted, no alarm"
        assert sum(len(page.bodies) for page in pages) >= published[epoch]
        newest = f"p1/asystole/{published[epoch]}"
        assert journal.get_strip(newest, epoch) is not None, "the strip is there as soon as the alarm is"
        runs = {r.epoch: r for r in journal.runs()}
        assert runs[epoch].ended == "died"
        assert runs[epoch].version == "1.2.3"
        assert runs[epoch].ended_s >= int(runs[epoch].started_s)
        assert [s.lead for s in journal.sessions(epoch)] == ["II"]
        journal.close()
    assert sum(published.values()) > 13 * kills


@pytest.mark.slow
def test_other_programs_read_while_a_monitor_writes(tmp_path):
    path = tmp_path / "j.db"
    writer = child(WRITER, str(path), "run-1", "1000")
    assert writer.stdout is not None
    try:
        while writer.stdout.readline() != "20\n":
            pass
        with pytest.raises(JournalInUse):
            Journal(path)
        listed = ecg_monitor("alarms", "--journal", str(path), "--format", "jsonl", "--limit", "0")
        assert listed.returncode == 0, listed.stderr
        rows = [json.loads(line) for line in listed.stdout.splitlines()]
        assert len(rows) >= 20
        assert {row["state"] for row in rows} == {"onset"}, "the monitor lives"
        # Any SQLite program can read, and an open read transaction does not delay the writer.
        other = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        other.execute("BEGIN")
        (before,) = other.execute("SELECT COUNT(*) FROM log").fetchone()
        here = int(writer.stdout.readline())
        while int(writer.stdout.readline()) < here + 50:
            pass
        assert other.execute("SELECT COUNT(*) FROM log").fetchone() == (before,)
        other.close()
        with contextlib.closing(JournalReader(path)) as reader:
            assert [run.ended for run in reader.runs()] == ["running"]
    finally:
        writer.kill()
        writer.communicate()
    listed = ecg_monitor("alarms", "--journal", str(path), "--format", "jsonl", "--state", "died", "--limit", "0")
    assert len(listed.stdout.splitlines()) > 50, "the monitor is dead"
    Journal(path).close()


def test_a_full_disk_loses_the_counted_rows_and_no_others(tmp_path):
    lines: list[str] = []
    now = [0.0]
    with fillable_disk(tmp_path / "disk") as disk:
        path = disk.folder / "j.db"
        journal = Journal(path, clock=lambda: now[0], report=lines.append)
        journal.start("run-1")
        written = {ALARMS: 0, BEATS: 0}

        def write(rounds: int) -> None:
            for _ in range(rounds):
                for topic, body in ((BEATS, beat), (ALARMS, alarm)):
                    written[topic] += 1
                    put(journal, topic, body(written[topic]), written[topic])
                journal.put_strip(f"p1/asystole/{written[ALARMS]}", 0, 360.0, [[0.0] * 500] * 2)
                journal.commit()

        write(50)
        assert not journal.losses.failure
        disk.fill()
        write(500)
        assert journal.losses.failure
        assert re.fullmatch(r".* cannot be written .*; the monitor continues without it", *lines)
        assert set(journal.losses.rows) == {"alarm", "beat", "strip"}
        journal.put_action(OperatorAction("nurse 3", "acknowledge", "p1"))
        assert (journal.losses.rows["action"], journal.actions()) == (1, [])
        disk.empty()
        write(1)
        assert journal.losses.failure, "it counts as working after some seconds only"
        now[0] += 6.0
        write(50)
        assert not journal.losses.failure
        assert len(lines) == 2
        assert lines[1].endswith(f"is written again; lost: {journal.losses.summary()}")
        for topic, stream in ((ALARMS, "alarm"), (BEATS, "beat")):
            since = journal.since(topic, "run-1", 0)
            assert not since.complete, "the answer is marked"
            assert len(since.bodies) == written[topic] - journal.losses.rows[stream]
        journal.close()
        assert query(path, "PRAGMA integrity_check") == [("ok",)]
        with contextlib.closing(JournalReader(path)) as reader:
            assert [run.ended for run in reader.runs()] == ["in order"]


@pytest.mark.slow
def test_a_disk_that_stays_full_is_reported_at_the_end(tmp_path):
    lines: list[str] = []
    with fillable_disk(tmp_path / "disk") as disk:
        journal = Journal(disk.folder / "j.db", report=lines.append)
        journal.start("run-1")
        disk.fill()
        for n in range(1, 2000):
            put(journal, ALARMS, alarm(n), n)
            journal.commit()
        journal.close()
        assert len(lines) == 2
        assert "could not be written to the end" in lines[1]
        assert lines[1].endswith(f"lost: {journal.losses.rows['alarm']} alarm")
        disk.empty()
        with contextlib.closing(JournalReader(disk.folder / "j.db")) as reader:
            kept = sum(len(page.bodies) for page in reader.pages(ALARMS, "run-1", 0))
        assert kept == 1999 - journal.losses.rows["alarm"]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


@pytest.mark.slow
def test_the_monitor_continues_on_a_full_disk_and_raises_an_alarm(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    signal = iter(ecg("sinus=100").reshape(-1, round(FS_HZ)))
    with fillable_disk(tmp_path / "disk") as disk:
        config = settings(journal={"path": str(disk.folder / "j.db")}, source={"speed": 1.0})
        events_at = {20: disk.fill, 60: disk.empty, 80: source.end}
        acts = [(float(s), events_at.get(s, lambda: source.feed(next(signal)))) for s in range(1, 81)]
        script = Script([*acts, (81.0, int)], step_s=1.0)
        run = Run({"p1": source}, scorer, config, clock=script.clock)
        run.pipeline.run(script)
        assert run.states("journal_failed") == ["onset", "cleared"]
        onset = next(m.alarm for m in run.alarms if m.alarm.kind == "journal_failed")
        assert (onset.category, onset.priority) == ("technical", "medium")
        assert "cannot be written" in onset.text
        assert run.status().beats > 85, "every beat was scored"
        assert run.status().unscored_beats < 5
        lost = run.pipeline.journal.losses.rows
        assert lost["beat"] > 10
        assert sum("cannot be written" in line for line in run.pipeline.incomplete) == 1
        assert sum("is written again; lost: " in line for line in run.pipeline.incomplete) == 1
        reader = JournalReader(disk.folder / "j.db")
        events = [decode(raw) for raw in reader.since(EVENTS, "", 0).bodies]
        (back,) = [e for e in events if isinstance(e, EventMessage) and e.kind == "journal_back"]
        assert f"{lost['beat']} beat" in back.text
        bodies = reader.since(BEATS, "", 0, rows=10_000).bodies
        assert len(bodies) == run.status().beats - lost["beat"]
        reader.close()


# -- after a crash ---------------------------------------------------------------------------------------------


def test_alarms_active_at_a_kill_are_reported_by_the_next_run(tmp_path: Path, scorer: Scorer) -> None:
    path = tmp_path / "j.db"
    writer = child(WRITER, str(path), "run-1", "1000")
    assert writer.stdout is not None
    while writer.stdout.readline() != "3\n":
        pass
    writer.kill()
    writer.communicate()
    source = FedSource(live=False)
    source.feed(ecg("sinus=5"))
    source.end()
    run = Run({"p1": source}, scorer, settings(journal={"path": str(path)}))
    run.pipeline.run()
    assert sum("was killed; alarms then active: asystole (onset)" in line for line in run.notices) == 1
    reader = JournalReader(path)
    bodies: list[Message] = [decode(raw) for raw in reader.since(EVENTS, "run-1", 0).bodies]
    (died,) = [body for body in bodies if isinstance(body, EventMessage) and body.kind == "monitor_died"]
    assert "run-1 was killed; alarms then active: asystole (onset)" in died.text
    assert died.count >= 3
    ends = {r.epoch: r.ended for r in reader.runs()}
    assert ends == {"run-1": "died", run.pipeline.bus.epoch: "in order"}
    assert isinstance(decode(reader.since(ALARMS, "run-1", 0).bodies[0]), AlarmMessage)
    assert [session[:4] for session in reader.sessions(run.pipeline.bus.epoch)] == [("p1", "fed", "II", FS_HZ)]
    reader.close()


def test_a_run_that_raised_has_ended_with_an_error(tmp_path: Path, scorer: Scorer) -> None:
    run = Run({"p1": FedSource()}, scorer, settings(journal={"path": str(tmp_path / "j.db")}))

    def fail(_: float) -> list[ControlRequest]:
        raise RuntimeError("a defect")

    run.pipeline.bus.service = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="a defect"):
        run.pipeline.run()
    with contextlib.closing(JournalReader(tmp_path / "j.db")) as reader:
        assert [r.ended for r in reader.runs()] == ["error"]


def test_an_alarm_of_a_silent_source_has_its_strip_before_it_is_published(tmp_path: Path, scorer: Scorer) -> None:
    source = FedSource()
    script = Script([(0.25, lambda: source.feed(ecg("sinus=3"))), (4.0, int)])
    run = Run({"p1": source}, scorer, settings(journal={"path": str(tmp_path / "j.db")}), clock=script.clock)
    seen = []
    real = run.pipeline.bus.publish

    def publish(topic: str, body: Message):  # what another process reads as soon as an alarm is published
        published = real(topic, body)
        if isinstance(body, AlarmMessage):
            with contextlib.closing(JournalReader(tmp_path / "j.db")) as reader:
                seen.append(reader.get_strip(body.alarm.alarm_id))
        return published

    run.pipeline.bus.publish = publish  # type: ignore[method-assign]
    run.pipeline.run(script)
    assert run.onsets()[:1] == ["no_data"]
    assert seen[0] is not None
    assert seen[0].samples.shape == (2, round(10 * FS_HZ))


# -- other programs ------------------------------------------------------------------------------------------------


LOCKER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
other.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
other.execute("ROLLBACK")
print("released", flush=True)
"""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Another process holds the write lock of a journal, until the function is called."""
    other = child(LOCKER, str(path))
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"

    def release() -> None:
        assert other.communicate("\n")[0] == "released\n"

    yield release
    if other.poll() is None:
        release()


def test_rows_wait_for_a_lock_of_another_program(tmp_path: Path) -> None:
    lines: list[str] = []
    path = tmp_path / "j.db"
    now = [0.0]
    journal = Journal(path, report=lines.append, clock=lambda: now[0])
    journal.start("run-1")
    put(journal, ALARMS, alarm(1), 1)  # in a transaction that is open when the lock is wanted
    journal.commit()
    with locked(path) as release:
        for n in range(2, 102):
            put(journal, ALARMS, alarm(n), n)
            put(journal, BEATS, beat(n), n - 1)
            journal.put_strip(f"p1/asystole/{n}", n, 360.0, [0.0])
            journal.commit()
            now[0] += 0.003
        journal.put_action(OperatorAction("nurse 3", "acknowledge", "p1"))
        assert count(path) == 1
        assert not lines, "a short lock is no failure"
        release()
    now[0] += 1.0
    journal.commit()
    assert not lines
    assert not journal.losses.rows
    assert (count(path), count(path, "alarm_strips"), len(journal.actions())) == (201, 100, 1)
    assert journal.since(ALARMS, "run-1", 0).complete
    journal.close()


def test_a_lock_that_is_held_is_reported_and_loses_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.journal.waiting.MOST_BYTES", 100_000)
    lines: list[str] = []
    path = tmp_path / "j.db"
    now = [0.0]
    journal = Journal(path, report=lines.append, clock=lambda: now[0])
    journal.start("run-1")
    with locked(path) as release:
        for n in range(1, 1001):
            put(journal, ALARMS, alarm(n), n)
            journal.commit()
            now[0] += 0.1 if n < 30 else 0.0
        assert "locked" in journal.losses.failure or "lock" in journal.losses.failure
        assert len(lines) == 1
        release()
    now[0] += 10.0
    journal.commit()
    assert journal.losses.rows["alarm"] + count(path) == 1000, "each row is written, or counted"
    assert count(path) > 50
    assert not journal.losses.failure
    journal.close()


def test_a_monitor_starts_and_ends_while_another_program_locks_for_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    lines: list[str] = []
    journal = Journal(path, report=lines.append)
    with locked(path) as release:
        threading.Timer(0.3, release).start()
        journal.start("run-1")
    with locked(path) as release:
        put(journal, ALARMS, alarm(1), 1)
        threading.Timer(0.3, release).start()
        journal.close()
    assert not lines
    with contextlib.closing(JournalReader(path)) as reader:
        assert len(reader.since(ALARMS, "run-1", 0).bodies) == 1
        assert [run.ended for run in reader.runs()] == ["in order"]


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced", "log deleted", "lock deleted"])
def test_a_journal_that_vanishes_is_an_alarm_at_once(tmp_path: Path, scorer: Scorer, how: str) -> None:
    source = FedSource()
    signal = iter(ecg("sinus=100").reshape(-1, round(FS_HZ)))
    folder = tmp_path / "journals"
    path = folder / "j.db"
    config = settings(journal={"path": str(path)}, source={"speed": 1.0})

    def vanish() -> None:
        if how == "moved":
            folder.rename(tmp_path / "elsewhere")
        elif how == "deleted":
            shutil.rmtree(folder)
        elif how == "replaced":
            path.rename(folder / "old.db")
            path.touch()
        else:
            (folder / {"log deleted": "j.db-wal", "lock deleted": "j.db-lock"}[how]).unlink()

    def back() -> None:
        if how == "moved":
            (tmp_path / "elsewhere").rename(folder)

    seen: list[list[str]] = []
    events_at = {10: vanish, 12: lambda: seen.append(run.states("journal_failed")), 20: back}
    acts = [(float(s), lambda: source.feed(next(signal))) for s in range(1, 40)]
    acts += [(s + 0.5, act) for s, act in events_at.items()]
    script = Script([*sorted(acts, key=lambda act: act[0]), (41.0, int)], step_s=0.5)
    run = Run({"p1": source}, scorer, config, clock=script.clock)
    run.pipeline.run(script)
    assert seen == [["onset"]], "within two seconds"
    assert run.states("journal_failed") == (["onset", "cleared"] if how == "moved" else ["onset"])
    text = next(m.alarm.text for m in run.alarms if m.alarm.kind == "journal_failed")
    assert "was moved or deleted: put it back, or start the monitor again" in text
    assert run.status().beats > 30
