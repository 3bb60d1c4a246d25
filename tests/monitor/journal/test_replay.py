"""Alarms read back from the journal are the state and all changes of the alarm engine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import Beat, Gap, Judgement, Quality, QualitySpan, Tick
from monitor.alarms import AlarmEngine
from monitor.alarms.evidence import ScoredBeat, explained
from monitor.bus.server import Bus
from monitor.journal import Journal, JournalReader
from monitor.messages import Alarm, AlarmMessage, bed_topic, decode
from tests.monitor.bus.helpers import MODEL, make_bus
from tests.monitor.journal.helpers import abandon

FS_HZ = 250
SHAPE = np.zeros(187, np.float32)
TOPIC = bed_topic("p1", "alarm")

STEPS = st.one_of(
    st.tuples(st.just("second"), st.sampled_from(list(Quality)), st.sampled_from([0, 0, 1, 2, 4])),
    st.tuples(st.just("quiet"), st.integers(2, 6)),
    st.tuples(st.just("beats"), st.integers(1, 8), st.booleans(), st.sampled_from([75, 110, 300, 500])),
    st.tuples(st.just("gap"), st.integers(1, 800)),
    st.tuples(
        st.just("state"),
        st.sampled_from(["no_data", "source_lost", "sampling_rate", "journal_failed"]),
        st.booleans(),
    ),
    st.tuples(st.just("acknowledge"), st.integers(0, 5), st.sampled_from(["", "nurse 3", "Dr Ä"])),
)


class Ward:
    """An alarm engine whose changes are published on a bus with a journal."""

    def __init__(self, bus: Bus) -> None:
        self.engine = AlarmEngine("p1", FS_HZ)
        self.bus = bus
        self.now = 0
        self.changes: list[Alarm] = []

    def out(self, changes: list[Alarm]) -> None:
        for change in changes:
            self.changes.append(change)
            message = AlarmMessage(sample=change.decided_sample, time="2026-01-01T00:00:00Z", alarm=change, model=MODEL)
            self.bus.publish(TOPIC, message)

    def second(self, quality: Quality, beats: int) -> None:
        first, self.now = self.now, self.now + FS_HZ
        self.out(self.engine.handle(QualitySpan(first, self.now, quality)))
        r_samples = tuple(first + (n + 1) * FS_HZ // (beats + 1) for n in range(beats))
        self.out(self.engine.handle(Tick(self.now, max(0, self.now - FS_HZ // 2), r_samples)))

    def beats(self, count: int, odd: bool, rr: int) -> None:
        for _ in range(count):
            judged = Judgement(0.0005, 4.9, True) if odd else Judgement(0.6, 4.9, False)
            beat = Beat(self.now, rr / FS_HZ, SHAPE, Quality.GOOD, decided_sample=self.now + FS_HZ)
            self.out(self.engine.handle(explained(ScoredBeat(beat, -80.0, 7.0, judged))))
            self.now += rr

    def take(self, step: tuple) -> None:
        match step:
            case "second", quality, beats:
                self.second(quality, beats)
            case "quiet", seconds:
                for _ in range(seconds):
                    self.second(Quality.GOOD, 0)
            case "beats", count, odd, rr:
                self.beats(count, odd, rr)
            case "gap", n:
                self.out(self.engine.handle(Gap(self.now, n)))
                self.now += n
            case "state", kind, holds:
                self.out(self.engine.source_state(kind, holds, self.now, kind if holds else ""))
            case "acknowledge", which, who:
                if self.engine.active:
                    chosen = self.engine.active[which % len(self.engine.active)]
                    self.out(self.engine.acknowledge(chosen.alarm_id, who))


def seen(alarm: Alarm) -> tuple[str, str, str, int]:
    return alarm.alarm_id, alarm.state, alarm.acknowledged_by, alarm.onset_sample


def alarms_of(bodies: list[bytes]) -> list[Alarm]:
    return [message.alarm for message in map(decode, bodies) if isinstance(message, AlarmMessage)]


@settings(max_examples=20)
@given(
    runs=st.lists(st.lists(STEPS, min_size=3, max_size=25), min_size=1, max_size=2), rows=st.sampled_from([1, 7, 1000])
)
def test_the_journal_has_the_state_and_all_changes_of_the_engine(runs, rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j.db"
        expected = []
        for number, steps in enumerate(runs):
            journal = Journal(path)
            bus = make_bus(journal, epoch=f"run-{number}")
            ward = Ward(bus)
            for step in steps:
                ward.take(step)
                live = alarms_of(journal.active_alarms())
                assert sorted(map(seen, live)) == sorted(map(seen, ward.engine.active)), step
                changed = list(dict.fromkeys(alarm.alarm_id for alarm in ward.changes[::-1]))[::-1]
                assert [i for i in changed if i in {alarm.alarm_id for alarm in live}] == [a.alarm_id for a in live]
            bus.close()
            expected.append((ward.changes, sorted(map(seen, ward.engine.active))))
            if number % 2:
                abandon(journal)  # as after a kill: all alarms are committed
            else:
                journal.close()
        reader = JournalReader(path)
        for number, (changes, active) in enumerate(expected):
            epoch = f"run-{number}"
            assert sorted(map(seen, alarms_of(reader.active_alarms(epoch)))) == active
            assert alarms_of(list(reader.alarms(epoch=epoch))) == changes, "all changes, in order"
        pages = list(reader.pages(TOPIC, "run-0", 0, rows=rows))
        assert all(page.complete for page in pages)
        everything = [raw for page in pages for raw in page.bodies]
        assert alarms_of(everything) == [change for changes, _ in expected for change in changes]
        reader.close()
