"""Technical alarms: leads off, poor signal, gaps, source and overload."""

from __future__ import annotations

import pytest

from detector import Gap, Quality
from tests.monitor.alarms.helpers import FS_HZ, running_bed, states


@pytest.mark.parametrize("quality", [Quality.LEADS_OFF, Quality.FLAT])
def test_no_signal_is_leads_off_and_never_asystole(quality: Quality) -> None:
    bed = running_bed()
    bed.ticks(30, quality)
    bed.tick(Quality.SETTLING)
    assert [(a.kind, a.state) for a in bed.changes] == [("leads_off", "onset")]
    bed.rhythm(10, 0.8)
    assert [(a.kind, a.state) for a in bed.changes] == [("leads_off", "onset"), ("leads_off", "cleared")]
    assert bed.changes[0].category == "technical"


def test_noise_is_poor_signal_after_its_delay_and_never_asystole() -> None:
    bed = running_bed()
    bed.tick(Quality.MUSCLE)
    assert bed.changes == []
    bed.ticks(20, Quality.MUSCLE)
    (onset,) = bed.changes
    assert (onset.kind, onset.priority, onset.onset_sample) == ("poor_signal", "low", round(10 * FS_HZ))


def test_noise_with_breaks_of_a_second_is_one_poor_signal() -> None:
    bed = running_bed()
    for quality in (Quality.MOTION, Quality.GOOD, Quality.MOTION, Quality.GOOD, Quality.WANDER, Quality.GOOD):
        bed.tick(quality)
    assert bed.kinds() == ["poor_signal"]
    assert bed.changes[-1].text == "poor signal (electrode moves): beats are not scored"
    bed.tick()
    assert bed.kinds("cleared") == ["poor_signal"]


def test_nothing_is_counted_across_a_gap() -> None:
    bed = running_bed()
    bed.beat(bed.now + 10, odd=True)
    bed.beat(bed.now + 110, odd=True)
    bed.changes += bed.engine.handle(Gap(bed.now, round(20 * FS_HZ)))
    bed.second += 20
    bed.last_r = None
    bed.beat(bed.now + 10, odd=True)
    bed.tick(r_samples=(bed.now + 10,))
    assert "anomaly_run" not in bed.kinds()
    assert "asystole" not in bed.kinds()
    gap = next(alarm for alarm in bed.changes if alarm.kind == "gap")
    assert (gap.category, gap.priority, gap.evidence.value) == ("technical", "low", 20.0)
    bed.rhythm(12, 0.8)
    assert "gap" in bed.kinds("cleared")


def test_bridged_samples_raise_gap_and_end_no_other_alarm() -> None:
    bed = running_bed()
    for _ in range(6):  # asystole, one lost packet a second
        bed.changes += bed.engine.handle(Gap(bed.now + 20, 1, "bridged"))
        bed.tick()
    assert bed.kinds() == ["gap", "pause", "asystole"]
    bed.ticks(12)
    assert bed.changes[-1].kind == "gap"
    assert (bed.changes[-1].state, bed.changes[-1].count) == ("cleared", 6)


def test_a_hole_does_not_reset_poor_signal() -> None:
    bed = running_bed()
    for _ in range(3):
        bed.tick(Quality.MUSCLE)
        bed.changes += bed.engine.handle(Gap(bed.now + 20, 10, "hole"))
    assert bed.kinds() == ["gap", "poor_signal"]
    assert bed.kinds("cleared") == []


def test_no_data_and_source_lost_begin_and_end() -> None:
    bed = running_bed(seconds=5)
    for kind in ("no_data", "source_lost"):
        (onset,) = bed.engine.source_state(kind, True, bed.now, "unplugged")
        assert (onset.kind, onset.category, onset.state, onset.text) == (kind, "technical", "onset", "unplugged")
        assert bed.engine.source_state(kind, True, bed.now, "unplugged") == []
        (cleared,) = bed.engine.source_state(kind, False, bed.now, "")
        assert cleared.state == "cleared"
    with pytest.raises(ValueError, match="asystole"):
        bed.engine.source_state("asystole", True, 0, "")


def test_no_data_is_raised_again_when_it_outlasts_source_lost() -> None:
    """`source_lost` covers `no_data`; a port that is back but silent is the same `no_data`."""
    bed = running_bed(seconds=5)
    changes = [
        change
        for kind, holds in (("no_data", True), ("source_lost", True), ("source_lost", False), ("no_data", False))
        for change in bed.engine.source_state(kind, holds, bed.now, "unplugged")
    ]
    assert states(changes) == [
        ("no_data", "onset"),
        ("source_lost", "onset"),
        ("no_data", "cleared"),
        ("source_lost", "cleared"),
        ("no_data", "onset"),
        ("no_data", "cleared"),
    ]
    assert {a.alarm_id for a in changes if a.kind == "no_data"} == {f"p1/no_data/{bed.now}"}
    assert [a.count for a in changes if a.kind == "no_data"] == [1, 1, 2, 2]


def test_overload_begins_at_its_limit_and_ends_clear_of_it() -> None:
    bed = running_bed(seconds=5)
    assert bed.engine.behind(4.9, bed.now) == []
    (onset,) = bed.engine.behind(6.2, bed.now)
    assert (onset.kind, onset.category, onset.priority) == ("overload", "technical", "low")
    assert onset.text == "the monitor is 6.2 s behind its samples"
    assert bed.engine.behind(3.0, bed.now) == []
    (cleared,) = bed.engine.behind(0.1, bed.now)
    assert cleared.state == "cleared"
