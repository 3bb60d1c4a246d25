"""A bed resumes where a killed run left it: same alarms, same clock, and a gap."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from detector import Gap, Quality
from detector.scorer import Scorer
from monitor.alarms import AlarmEngine
from monitor.engine.resume import read_resume_points
from monitor.journal import Journal, JournalReader
from monitor.messages import Alarm, AlarmMessage, EventMessage, Request, StatusMessage, decode
from tests.monitor.bus.helpers import make_bus
from tests.monitor.engine.helpers import FedSource, Run, Script, ecg, settings
from tests.monitor.journal.test_replay import FS_HZ, STEPS, Ward, seen

Acts = Sequence[tuple[float, Callable[[], object]]]


def essentials(changes: list[Alarm]) -> list[tuple[str, str, str, str, int]]:
    """The parts of changes that do not depend on the history of an engine: no updates, counts or texts."""
    return [
        (a.alarm_id, a.state, a.acknowledged_by, a.covered_by, a.decided_sample) for a in changes if not a.update
    ]  # fmt: skip


class Silent(Ward):
    """An engine whose changes are collected."""

    def __init__(self, engine: AlarmEngine, now: int = 0) -> None:
        self.engine, self.now = engine, now
        self.changes: list[Alarm] = []

    def out(self, changes: list[Alarm]) -> None:
        self.changes += changes


def restored(changes: list[Alarm], sample: int) -> AlarmEngine:
    engine = AlarmEngine("p1", FS_HZ)
    engine.restore(changes, sample)
    return engine


@examples(max_examples=150)
@given(before=st.lists(STEPS, max_size=25), gap_s=st.integers(1, 9), after=st.lists(STEPS, max_size=15))
def test_a_restored_engine_behaves_as_the_original(before, gap_s, after):
    ward = Silent(AlarmEngine("p1", FS_HZ))
    for step in before:
        ward.take(step)
    sample = max([ward.now, *(change.decided_sample for change in ward.changes)])
    other = restored(ward.changes, sample)
    assert list(map(seen, other.active)) == list(map(seen, ward.engine.active)), "same alarms, same priorities"

    # After a gap longer than any hold time of an alarm, both engines behave the same.
    gap = Gap(sample, (3600 + gap_s) * FS_HZ)
    pair = []
    for engine in (ward.engine, other):
        one = Silent(engine, gap.first_sample + gap.n_samples)
        one.out(engine.handle(gap))
        one.take(("second", Quality.GOOD, 1))  # the detector states the quality of every second, from the first one
        for step in after:
            one.take(step)
        pair.append((essentials(one.changes), list(map(seen, engine.active))))
    assert pair[0] == pair[1]


@pytest.mark.slow
@examples(max_examples=25)
@given(runs=st.lists(st.lists(STEPS, min_size=3, max_size=15), min_size=1, max_size=2))
def test_an_engine_can_be_restored_from_the_journal(runs):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j.db"
        engine, now = AlarmEngine("p1", FS_HZ), 0
        for number, steps in enumerate(runs):
            journal = Journal(path)
            bus = make_bus(journal, epoch=f"run-{number}")
            ward = Ward(bus)
            ward.engine, ward.now = engine, now
            for step in steps:
                ward.take(step)
            bus.close()
            journal.close()
            now = max([ward.now, *(change.decided_sample for change in ward.changes)])
            reader = JournalReader(path)
            for first_sample in (now + 1, 0):  # the last change of each active alarm; and all changes of an hour
                bodies = [decode(raw) for raw in reader.alarm_changes("p1", first_sample)]
                engine = restored([body.alarm for body in bodies if isinstance(body, AlarmMessage)], now)
                assert set(map(seen, engine.active)) == set(map(seen, ward.engine.active))
            reader.close()


def copy_as_killed(path: Path, to: Path) -> Path:
    """Copy the journal of a running monitor: the file and its log, as kill -9 would leave them."""
    for suffix in ("", "-wal"):
        if (file := Path(f"{path}{suffix}")).exists():
            shutil.copy(file, f"{to}{suffix}")
    return to


def resumed_run(path: Path, source: FedSource, scorer: Scorer) -> Run:
    return Run({"p1": source}, scorer, settings(journal={"path": str(path)}), resume=read_resume_points(path, ["p1"]))


def test_a_bed_resumes_after_a_kill_with_its_alarms_and_a_gap(tmp_path, scorer):
    signal = ecg("sinus=30,asystole=10,sinus=60")
    cut, later = round(38.0 * FS_HZ), round(45.0 * FS_HZ)
    source = FedSource(live=False, fs_hz=FS_HZ)
    path, killed = tmp_path / "j.sqlite", tmp_path / "killed.sqlite"
    before: dict[str, Alarm] = {}
    beats = 0

    def acknowledge() -> None:
        bed = run.pipeline.beds["p1"]
        (asystole,) = [alarm for alarm in bed.engine.active if alarm.kind == "asystole"]
        bed.answer(Request(op="acknowledge", alarm_id=asystole.alarm_id, who="nurse 3"), run.pipeline.publisher)

    def kill() -> None:
        nonlocal beats
        copy_as_killed(path, killed)
        before.update({alarm.alarm_id: alarm for alarm in run.pipeline.beds["p1"].engine.active})
        beats = run.status().beats

    script = Script([(1.0, lambda: source.feed(signal[:cut])), (2.0, acknowledge), (2.5, kill)])
    run = Run({"p1": source}, scorer, settings(journal={"path": str(path)}), clock=script.clock)
    run.pipeline.run(script)
    assert any(a.kind == "asystole" and a.state == "acknowledged" for a in before.values())

    points = read_resume_points(killed, ["p1", "p2"])
    assert list(points) == ["p1"], "no other bed has a status"
    assert points["p1"].clock == cut
    again = FedSource(live=False, fs_hz=FS_HZ)
    again.next = later
    again.feed(signal[later:])
    again.end()
    resumed = resumed_run(killed, again, scorer)
    bed = resumed.pipeline.beds["p1"]
    assert {alarm.alarm_id: alarm for alarm in bed.engine.active} == before
    assert (bed.now, bed.counts["beats"]) == (cut, beats)
    assert bed.input.time_of(12_345) == run.pipeline.beds["p1"].input.time_of(12_345)
    resumed.pipeline.run()

    reader = JournalReader(killed)
    events = [decode(raw) for raw in reader.since("v1/p1/event/", reader.epochs()[1], 0).bodies]
    kinds = [event.kind for event in events if isinstance(event, EventMessage)]
    assert kinds == ["bed_resumed", "gap"], "resumed once; no `monitor_died`, because the alarms continue"
    (gap,) = [event for event in events if isinstance(event, EventMessage) and event.kind == "gap"]
    watched_until = points["p1"].watched_until
    assert (gap.first_sample, gap.n_samples) == (watched_until, later - watched_until)
    assert cut - 2 * FS_HZ <= watched_until <= cut
    messages = [m for m in resumed.alarms if m.alarm.kind == "asystole"]
    assert [(m.alarm.state, m.alarm.update) for m in messages] == [("acknowledged", True), ("cleared", False)]
    assert messages[0].alarm.acknowledged_by == "nurse 3"
    assert messages[0].alarm.alarm_id in before
    status = reader.last("v1/p1/status/")
    assert status is not None
    last = decode(status)
    assert isinstance(last, StatusMessage)
    assert last.samples_lost == later - cut
    assert last.beats > beats
    reader.close()


def test_variability_continues_after_two_kills(tmp_path, scorer):
    """The window is filled from the beats of both runs; the gap takes one interval away."""
    signal = ecg("sinus=330")
    path, before = tmp_path / "0.sqlite", 0.0
    for number, (first, end) in enumerate(((0, 270), (270, 300), (300, 330))):
        source = FedSource(live=False, fs_hz=FS_HZ)
        source.next = first * FS_HZ
        source.feed(signal[first * FS_HZ : end * FS_HZ])
        killed = tmp_path / f"{number + 1}.sqlite"
        script = Script([(9.0, lambda to=killed, of=path: copy_as_killed(of, to)), (9.5, lambda: None)])
        points = read_resume_points(path, ["p1"]) if number else {}
        run = Run({"p1": source}, scorer, settings(journal={"path": str(path)}), clock=script.clock, resume=points)
        if number:
            resumed = run.pipeline.beds["p1"].engine.hrv
            assert resumed.nn_s > before - 3
        run.pipeline.run(script)
        hrv = run.pipeline.beds["p1"].engine.hrv
        assert hrv.nn_s > min(before + 10, 270), "the second run adds to the beats of the first"
        assert hrv.sdnn_ms is not None
        path, before = killed, hrv.nn_s


def test_a_latched_alarm_stays_latched_in_the_next_runs(tmp_path, scorer):
    signal = ecg("sinus=20,asystole=8,sinus=60")
    source = FedSource(live=False, fs_hz=FS_HZ)
    cut = round(36 * FS_HZ)
    path, killed = tmp_path / "0.sqlite", tmp_path / "1.sqlite"
    script = Script([(1.0, lambda: source.feed(signal[:cut])), (4.0, lambda: copy_as_killed(path, killed))])
    Run({"p1": source}, scorer, settings(journal={"path": str(path)}), clock=script.clock).pipeline.run(script)
    for number in (2, 3):  # runs killed at once leave as good a journal
        path, killed = killed, tmp_path / f"{number}.sqlite"
        resumed = resumed_run(path, FedSource(live=False, fs_hz=FS_HZ), scorer)
        copy_as_killed(path, killed)
        (latched,) = [alarm for alarm in resumed.pipeline.beds["p1"].engine.active if alarm.kind == "asystole"]
        assert latched.state == "latched"
        resumed.pipeline.run(lambda: True)
    source = FedSource(live=False, fs_hz=FS_HZ)
    source.next = cut
    source.feed(signal[cut:])
    source.end()
    resumed = resumed_run(killed, source, scorer)
    resumed.pipeline.run()
    assert [a.state for a in resumed.pipeline.beds["p1"].engine.active if a.kind == "asystole"] == ["latched"]
    reader = JournalReader(killed)
    strip = reader.get_strip(latched.alarm_id)
    assert strip is not None
    assert np.isfinite(strip.samples).all(), "the strip of the first run: the last one has not read this signal"
    reader.close()
