"""States of alarms: latching, cover, acknowledgement, audio pause, onsets per hour."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from detector import Quality
from monitor.alarms import AlarmEngine
from monitor.config import AlarmsConfig, KindConfig
from tests.monitor.alarms.helpers import FS_HZ, SimulatedBed, run, running_bed, single_beats


def test_a_disabled_kind_is_never_raised_and_limits_are_configurable() -> None:
    limits = AlarmsConfig(
        asystole=KindConfig(enabled=False, priority="high", limit=4.0),
        extreme_bradycardia=KindConfig(priority="low", limit=80.0, beats=5),
    )
    bed = running_bed(limits)
    bed.ticks(10)
    assert [(a.kind, a.priority) for a in bed.changes if a.state == "onset"] == [
        ("extreme_bradycardia", "low"),
        ("pause", "medium"),
    ]


def test_acknowledging_an_unknown_alarm_is_refused() -> None:
    with pytest.raises(ValueError, match="p1/asystole/5"):
        AlarmEngine("p1", FS_HZ).acknowledge("p1/asystole/5", "me")


def test_an_audio_pause_is_bounded_counts_down_and_ends_at_a_higher_priority() -> None:
    bed = running_bed()
    bed.beat(bed.now + 10, odd=True)
    assert bed.engine.pause_audio(600, bed.now) == 120.0
    assert bed.engine.audio_paused_s(bed.now) == 120.0
    bed.last_r = None
    bed.rhythm(2, 0.8)
    assert bed.engine.audio_paused_s(bed.now) == pytest.approx(118.0)
    bed.ticks(8)
    assert bed.engine.audio_paused_s(bed.now) == 0.0
    with pytest.raises(ValueError, match="seconds=-1"):
        bed.engine.pause_audio(-1, bed.now)


def test_latching_is_configurable_and_technical_alarms_never_latch() -> None:
    limits = AlarmsConfig(
        asystole=KindConfig("high", limit=4.0, latch="never"),
        pause=KindConfig("medium", limit=2.0, latch="always"),
        leads_off=KindConfig("high", limit=1.0),
    )
    bed = running_bed(limits)
    bed.ticks(7)
    bed.rhythm(5, 0.8)
    bed.ticks(3, Quality.LEADS_OFF)
    bed.rhythm(5, 0.8)
    assert {a.kind: a.state for a in bed.changes} == {"asystole": "cleared", "pause": "latched", "leads_off": "cleared"}


@pytest.mark.parametrize(
    "limits", [KindConfig("low", limit=100.0, beats=5), KindConfig("high", enabled=False, beats=5)]
)
def test_a_disabled_kind_covers_nothing_and_no_kind_one_of_higher_configured_priority(limits: KindConfig) -> None:
    bed = running_bed(AlarmsConfig(ventricular_run=limits), qrs="usual")
    run(bed, 24, 0.4)
    low = ["ventricular_run"] if limits.enabled else []
    assert [a.kind for a in bed.engine.active] == ["extreme_tachycardia", "anomaly_run", *low]


def test_an_acknowledged_alarm_does_not_raise_the_rank_of_a_pause() -> None:
    bed = running_bed()
    bed.ticks(8)
    bed.engine.acknowledge(bed.engine.active[0].alarm_id, "nurse 3")
    bed.engine.pause_audio(100, bed.now)
    bed.ticks(2, fibrillatory=True)
    assert bed.engine.audio_paused_s(bed.now) == 0, "another high alarm ends the pause"


@pytest.mark.parametrize(
    ("odd", "every_s"),
    [(1, 12), (2, 90), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((3, 15), (1, 40), (1, 185)))],
)
def test_anomalous_beats_raise_at_most_twenty_low_alarms_an_hour(odd: int, every_s: int) -> None:
    """Single beats or runs, frequent or rare: the limit holds in any hour of three, and every beat is counted."""
    quiet = KindConfig("medium", limit=1000.0)
    bed = SimulatedBed(AlarmsConfig(anomaly_burden=quiet))
    beats = 0
    for _ in range(3 * 3600 // every_s):
        run(bed, odd, 0.5, "usual")
        beats += odd
        bed.rhythm(every_s, 0.8, qrs="usual")
    singles = [a for a in bed.changes if a.kind == "anomalous_beat"]
    onsets = [a.decided_sample for a in singles if a.state == "onset" and not a.update]
    assert onsets
    for first in onsets:
        assert sum(first <= sample < first + 3600 * FS_HZ for sample in onsets) <= 20
    if odd < 3:  # each beat is in the count of one alarm
        last = {a.alarm_id: a for a in bed.changes if a.kind == "anomalous_beat"}
        bed.rhythm(3600, 0.8, qrs="usual")
        last |= {a.alarm_id: a for a in bed.changes if a.kind == "anomalous_beat"}
        assert sum(a.count for a in last.values()) == beats


def test_the_count_of_a_low_alarm_is_published_each_minute() -> None:
    bed = running_bed(AlarmsConfig(anomaly_burden=KindConfig("medium", limit=1000.0)), qrs="usual")
    changes = single_beats(bed, 40, 5)
    updates = [a for a in changes if a.update]
    assert [a.count for a in updates] == sorted(a.count for a in updates)
    assert len(updates) == 3
    assert bed.kinds() == ["anomalous_beat"]


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 60)), min_size=60, max_size=90))
def test_intermittent_noise_raises_at_most_twenty_alarms_an_hour(spells: list[tuple[int, int]]) -> None:
    bed = SimulatedBed(
        AlarmsConfig(asystole=KindConfig("high", enabled=False), pause=KindConfig("medium", enabled=False))
    )
    for bad_s, good_s in spells:
        for second in range(bad_s + good_s):
            bed.tick(Quality.MUSCLE if second < bad_s else Quality.GOOD)
    onsets = [a.decided_sample for a in bed.changes if a.state == "onset" and not a.update]
    assert all(sum(first <= s < first + 3600 * FS_HZ for s in onsets) <= 20 for first in onsets)
