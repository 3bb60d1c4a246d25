"""A bed goes on where a run that was killed left it: alarms as they were, the clock on, the gap told."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from detector import Gap
from detector.scorer import Scorer
from monitor.alarms import AlarmEngine
from monitor.engine.resume import BedState, read_states
from monitor.journal import Journal, JournalReader
from monitor.messages import Alarm, AlarmMessage, EventMessage, StatusMessage, decode
from tests.monitor.bus.helpers import make_bus
from tests.monitor.engine.helpers import FedSource, Run, Script, ecg, settings
from tests.monitor.journal.helpers import abandon
from tests.monitor.journal.test_replay import FS_HZ, STEPS, Ward, seen

SETTLING_S = 12.0  # of signal: the first beats behind a gap are not scored, and the patient is learned anew


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


def told(changes: list[Alarm]) -> list[tuple[str, str, str, str, int]]:
    """What of changes does not hang on what an engine keeps to itself: no updates, no counts, no words."""
    return [
        (a.alarm_id, a.state, a.acknowledged_by, a.covered_by, a.decided_sample) for a in changes if not a.update
    ]  # fmt: skip


class Silent(Ward):
    """An engine whose changes are only kept."""

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
def test_an_engine_begins_where_another_ended(before, gap_s, after):
    ward = Silent(AlarmEngine("p1", FS_HZ))
    for step in before:
        ward.take(step)
    sample = max([ward.now, *(change.decided_sample for change in ward.changes)])
    other = restored(ward.changes, sample)
    assert list(map(seen, other.active)) == list(map(seen, ward.engine.active)), "the same alarms, as urgent"

    # Behind a gap longer than any alarm is held, the two are not to be told apart.
    gap = Gap(sample, (3600 + gap_s) * FS_HZ)
    pair = []
    for engine in (ward.engine, other):
        one = Silent(engine, gap.first_sample + gap.n_samples)
        one.out(engine.handle(gap))
        for step in after:
            one.take(step)
        pair.append((told(one.changes), list(map(seen, engine.active))))
    assert pair[0] == pair[1]


@examples(max_examples=25)
@given(runs=st.lists(st.lists(STEPS, min_size=3, max_size=15), min_size=1, max_size=2))
def test_the_journal_has_all_that_an_engine_begins_with(runs):
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
            for first_sample in (now + 1, 0):  # the last word of what is up; and all of the hour
                bodies = [decode(raw) for raw in reader.alarm_changes("p1", first_sample)]
                engine = restored([body.alarm for body in bodies if isinstance(body, AlarmMessage)], now)
                assert set(map(seen, engine.active)) == set(map(seen, ward.engine.active))
            reader.close()


def test_what_the_pipeline_said_held_ends_when_it_says_so():
    first, second = AlarmEngine("p1", FS_HZ), AlarmEngine("p1", FS_HZ)
    second.restore(first.source_state("no_data", True, 500, "no samples"), 500)
    assert [alarm.kind for alarm in second.active] == ["no_data"]
    assert [alarm.state for alarm in second.source_state("no_data", False, 900, "")] == ["cleared"]


def killed(pipeline) -> None:
    """What is left of a pipeline after kill -9: what it had committed."""
    abandon(pipeline.journal)
    pipeline.bus._sockets.close(0)


class KilledError(Exception):
    """The end of a pipeline that does not end in order."""


def run_and_kill(path: Path, scorer: Scorer, source: FedSource, acts, began=lambda _: None) -> Run:
    script = Script(acts)
    run = Run({"p1": source}, scorer, settings(journal={"path": str(path)}), clock=script.clock)
    began(run.pipeline)
    run.pipeline._close = lambda: None  # kill -9 does not say goodbye

    def stop() -> bool:
        if script():
            raise KilledError
        return False

    with pytest.raises(KilledError):
        run.pipeline.run(stop)
    killed(run.pipeline)
    return run


def test_a_killed_bed_goes_on_with_its_alarms_and_a_gap(tmp_path, scorer):
    signal = ecg("sinus=30,asystole=10,sinus=60")
    cut, later = round(38.0 * FS_HZ), round(45.0 * FS_HZ)
    source = FedSource(live=False, fs_hz=FS_HZ)
    pipeline: list = []

    def acknowledge() -> None:
        bed = pipeline[0].beds["p1"]
        (asystole,) = [alarm for alarm in bed.engine.active if alarm.kind == "asystole"]
        for change in bed.engine.acknowledge(asystole.alarm_id, "nurse 3"):
            bed._alarm(change, pipeline[0]._out)

    path = tmp_path / "j.sqlite"
    acts = [(1.0, lambda: source.feed(signal[:cut])), (2.0, acknowledge), (2.5, lambda: None)]
    run = run_and_kill(path, scorer, source, acts, pipeline.append)
    before = {alarm.alarm_id: alarm for alarm in run.pipeline.beds["p1"].engine.active}
    beats = run.status().beats
    assert any(a.kind == "asystole" and a.state == "acknowledged" for a in before.values())

    states = read_states(path, ["p1", "p2"])
    assert list(states) == ["p1"]
    assert states["p1"].clock == cut
    again = FedSource(live=False, fs_hz=FS_HZ)
    again.next = later
    again.feed(signal[later:])
    again.end()
    resumed = Run({"p1": again}, scorer, settings(journal={"path": str(path)}), resume=states)
    bed = resumed.pipeline.beds["p1"]
    assert {alarm.alarm_id: alarm for alarm in bed.engine.active} == before
    assert (bed.now, bed.counts["beats"]) == (cut, beats)
    resumed.pipeline.run()

    reader = JournalReader(path)
    events = [decode(raw) for raw in reader.since("v1/p1/event/", reader.epochs()[1], 0).bodies]
    kinds = [event.kind for event in events if isinstance(event, EventMessage)]
    assert kinds == ["bed_resumed", "gap"], "told once, and no death of a monitor whose alarms go on"
    (gap,) = [event for event in events if isinstance(event, EventMessage) and event.kind == "gap"]
    watched_until = states["p1"].watched_until
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


def test_a_latched_alarm_waits_for_somebody_in_the_next_run_too(tmp_path, scorer):
    signal = ecg("sinus=20,asystole=8,sinus=60")
    source = FedSource(live=False, fs_hz=FS_HZ)
    cut = round(36 * FS_HZ)
    path = tmp_path / "j.sqlite"
    run_and_kill(path, scorer, source, [(1.0, lambda: source.feed(signal[:cut])), (4.0, lambda: None)])
    for _ in range(2):  # twice, so that the journal of a run that was killed at once is as good
        states = read_states(path, ["p1"])
        source = FedSource(live=False, fs_hz=FS_HZ)
        resumed = Run({"p1": source}, scorer, settings(journal={"path": str(path)}), resume=states)
        (latched,) = [alarm for alarm in resumed.pipeline.beds["p1"].engine.active if alarm.kind == "asystole"]
        assert latched.state == "latched"
        killed(resumed.pipeline)
    source = FedSource(live=False, fs_hz=FS_HZ)
    source.next = cut
    source.feed(signal[cut:])
    source.end()
    resumed = Run({"p1": source}, scorer, settings(journal={"path": str(path)}), resume=read_states(path, ["p1"]))
    resumed.pipeline.run()
    assert [a.state for a in resumed.pipeline.beds["p1"].engine.active if a.kind == "asystole"] == ["latched"]
    reader = JournalReader(path)
    strip = reader.get_strip(latched.alarm_id)
    assert strip is not None
    assert (strip.samples[0] == strip.samples[0]).all(), "the signal of then, not what the last run never saw"
    reader.close()


def test_a_state_without_status_is_none(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    journal.start("run-1")
    journal.close()
    assert read_states(tmp_path / "j.sqlite", ["p1"]) == {}


def test_times_go_on(tmp_path, scorer):
    """Sample 0 keeps its time, so that a sample has one time whichever run told it."""
    signal = ecg("sinus=40")
    source = FedSource(live=False, fs_hz=FS_HZ)
    path = tmp_path / "j.sqlite"
    first = run_and_kill(path, scorer, source, [(1.0, lambda: source.feed(signal)), (4.0, lambda: None)])
    (state,) = read_states(path, ["p1"]).values()
    assert isinstance(state, BedState)
    resumed = Run(
        {"p1": FedSource(live=False, fs_hz=FS_HZ)}, scorer, settings(journal={"path": str(path)}),
        resume={"p1": state},
    )  # fmt: skip
    assert resumed.pipeline.beds["p1"].time_of(12_345) == first.pipeline.beds["p1"].time_of(12_345)
    killed(resumed.pipeline)
