"""Technical alarms: leads off, poor signal, gaps, source and overload."""

from __future__ import annotations

import pytest

from detector import Gap, Quality, QualitySpan, Tick
from monitor.config import AlarmsConfig, KindConfig
from tests.monitor.alarms.helpers import FS_HZ, SimulatedBed, running_bed, states


def test_no_signal_is_leads_off_and_never_asystole() -> None:
    bed = running_bed()
    bed.ticks(30, Quality.LEADS_OFF)
    bed.tick(Quality.SETTLING)
    assert [(a.kind, a.state) for a in bed.changes] == [("leads_off", "onset")]
    bed.rhythm(10, 0.8)
    assert [(a.kind, a.state) for a in bed.changes] == [("leads_off", "onset"), ("leads_off", "cleared")]
    assert bed.changes[0].category == "technical"


def test_a_flat_line_is_asystole_with_a_hint_at_the_electrodes() -> None:
    bed = running_bed()
    bed.ticks(3, Quality.FLAT)
    assert "leads_off" not in {a.kind for a in bed.changes}
    bed.ticks(4, Quality.FLAT)
    kinds = {a.kind: a for a in bed.changes if a.state == "onset"}
    assert kinds.keys() == {"pause", "asystole", "leads_off"}
    assert "flat line: check electrodes" in kinds["asystole"].text


def test_calibration_is_one_low_alarm_and_no_time_watched() -> None:
    bed = running_bed()
    bed.ticks(20, Quality.CALIBRATION)
    (onset,) = bed.changes
    assert (onset.kind, onset.priority, onset.category) == ("calibration", "low", "technical")
    bed.rhythm(5, 0.8)
    assert [(a.kind, a.state) for a in bed.changes[1:]] == [("calibration", "cleared")]


def test_noise_is_poor_signal_after_its_delay_and_never_asystole() -> None:
    bed = running_bed()
    bed.tick(Quality.MUSCLE)
    assert bed.changes == []
    bed.ticks(20, Quality.MUSCLE)  # shorter than it takes to rise
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


def rises(bed: SimulatedBed) -> list[tuple[str, float]]:
    """Each onset of `poor_signal`: its priority, and when it was decided, s."""
    onsets = [a for a in bed.changes if a.kind == "poor_signal" and a.state == "onset" and not a.update]
    assert len({alarm.alarm_id for alarm in onsets}) <= 1, "one alarm"
    return [(alarm.priority, alarm.decided_sample / FS_HZ - 10) for alarm in onsets]


@pytest.mark.parametrize("noise", [Quality.MUSCLE, Quality.MOTION, Quality.CLIPPED, Quality.WANDER, Quality.HUM])
def test_a_bed_that_is_not_watched_rises_to_medium_and_high(noise: Quality) -> None:
    bed = running_bed()
    bed.ticks(90, noise)
    assert rises(bed) == [("low", 2), ("medium", 30), ("high", 60)]
    alarm = bed.engine.active[0]
    assert (alarm.category, alarm.priority, alarm.count) == ("technical", "high", 3)
    assert alarm.text.startswith("not watched for 60 s: no beat could be judged")
    assert bed.engine.rhythm == "not watched"
    bed.rhythm(10, 0.8)
    assert [a.kind for a in bed.engine.active] == [], "a technical alarm does not latch"
    assert states(bed.changes, "poor_signal")[-1] == ("poor_signal", "cleared")
    assert not bed.engine.not_watched
    assert bed.engine.rhythm != "not watched"


def test_a_rise_ends_an_audio_pause_and_an_acknowledgement() -> None:
    bed = running_bed()
    bed.ticks(5, Quality.MUSCLE)
    bed.engine.acknowledge(bed.engine.active[0].alarm_id, "nurse 3")
    bed.engine.pause_audio(120, bed.now)
    bed.ticks(20, Quality.MUSCLE)
    assert bed.engine.audio_paused_s(bed.now) > 90
    bed.ticks(10, Quality.MUSCLE)
    (alarm,) = bed.engine.active
    assert (alarm.state, alarm.priority, alarm.acknowledged_by) == ("onset", "medium", "")
    assert bed.engine.audio_paused_s(bed.now) == 0
    bed.engine.acknowledge(alarm.alarm_id, "nurse 3")
    bed.ticks(30, Quality.MUSCLE)
    (alarm,) = bed.engine.active
    assert (alarm.state, alarm.priority) == ("onset", "high")


def test_single_good_seconds_hide_no_unwatched_bed_and_good_signal_between_noise_is_watched() -> None:
    bed = running_bed()
    for _ in range(7):
        bed.ticks(19, Quality.MUSCLE)
        bed.tick()
    assert [priority for priority, _ in rises(bed)] == ["low", "medium", "high"]
    usual = running_bed()
    for _ in range(40):
        usual.ticks(8, Quality.MUSCLE)
        usual.tick()
    assert {a.priority for a in usual.changes if a.kind == "poor_signal"} == {"low"}


@pytest.mark.parametrize("gap_s", [1, 3, 8])
def test_gaps_that_leave_no_second_watched_rise_likewise(gap_s: int) -> None:
    """Between two losses the detector has a second of good signal, and decides no R-peak in it."""
    bed = running_bed()
    while len(rises(bed)) < 2:
        bed.changes += bed.engine.handle(Gap(bed.now, round(gap_s * FS_HZ)))
        bed.second += gap_s
        bed.changes += bed.engine.handle(QualitySpan(bed.now, bed.now + 250, Quality.GOOD))
        bed.changes += bed.engine.handle(Tick(bed.now + 250, bed.now, ()))
        bed.second += 1
        assert bed.second < 110
    assert [priority for priority, _ in rises(bed)] == ["medium", "high"]
    assert [at <= limit for (_, at), limit in zip(rises(bed), (40, 75), strict=True)] == [True, True]
    assert "samples missing" in bed.engine.active[0].text
    bed.rhythm(10, 0.8)
    assert "poor_signal" not in [alarm.kind for alarm in bed.engine.active]


def test_leads_off_and_a_long_gap_are_told_by_their_own_alarms() -> None:
    bed = running_bed()
    bed.ticks(15, Quality.MUSCLE)
    bed.ticks(200, Quality.LEADS_OFF)
    bed.tick(Quality.SETTLING)
    bed.ticks(15, Quality.MUSCLE)
    bed.changes += bed.engine.handle(Gap(bed.now, round(3600 * FS_HZ)))
    bed.second += 3600
    bed.rhythm(5, 0.8)
    assert {a.priority for a in bed.changes if a.kind == "poor_signal"} == {"low"}


def test_the_times_are_configurable() -> None:
    limits = AlarmsConfig(
        poor_signal=KindConfig("low", limit=2.0, high_s=20.0, hold_s=2.0, per_hour=20),
        leads_off=KindConfig("medium", limit=1.0, high_s=40.0),
    )
    bed = running_bed(limits)
    bed.ticks(100, Quality.MUSCLE)
    assert rises(bed) == [("low", 2), ("high", 20)]
    bed.ticks(60, Quality.LEADS_OFF)
    onsets = [alarm.priority for alarm in bed.changes if alarm.kind == "leads_off" and alarm.state == "onset"]
    assert onsets == ["medium", "high"]
    never = running_bed(AlarmsConfig(poor_signal=KindConfig("low", limit=2.0, hold_s=2.0)))
    never.ticks(100, Quality.MUSCLE)
    assert rises(never) == [("low", 2)]


def test_a_rise_whose_onsets_of_the_hour_are_used_up_falls_back_when_the_bed_is_watched() -> None:
    bed = running_bed()
    for _ in range(20):
        bed.ticks(3, Quality.MUSCLE)
        bed.rhythm(60, 0.8)
    bed.ticks(80, Quality.MUSCLE)
    assert bed.engine.active[0].priority == "high"
    bed.rhythm(20, 0.8)
    assert [(a.kind, a.priority) for a in bed.engine.active] == [("poor_signal", "low")]
