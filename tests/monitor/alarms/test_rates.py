"""Alarms of the heart rate: limits, hold, cover, missed QRS."""

from __future__ import annotations

import pytest

from tests.monitor.alarms.helpers import FS_HZ, SimulatedBed, running_bed, states


def test_sinus_rhythm_raises_nothing() -> None:
    bed = SimulatedBed()
    bed.rhythm(120, 0.85)
    assert bed.changes == []
    assert bed.engine.heart_rate_bpm == pytest.approx(60 / 0.848, abs=0.2)


@pytest.mark.parametrize(
    ("rr_s", "expected"),
    [
        (1.6, "extreme_bradycardia"),
        (1.4, "bradycardia"),
        (1.2, None),
        (0.52, None),
        (0.45, "tachycardia"),
        (0.4, "extreme_tachycardia"),
    ],
)
def test_a_rate_raises_only_its_highest_alarm(rr_s: float, expected: str | None) -> None:
    bed = SimulatedBed()
    bed.rhythm(60, rr_s)
    assert bed.kinds() == ([expected] if expected else [])


def test_extreme_tachycardia_needs_seventeen_beats() -> None:
    bed = running_bed(seconds=20)
    start = bed.last_r or 0
    for k in range(1, 16):
        assert bed.beat(start + round(0.3 * k * FS_HZ)) == []
    bed.beat(start + round(0.3 * 16 * FS_HZ))
    bed.beat(start + round(0.3 * 17 * FS_HZ))
    assert bed.kinds() == ["extreme_tachycardia"]


def test_one_missed_qrs_ends_no_tachycardia() -> None:
    bed = SimulatedBed()
    bed.rhythm(10, 0.3)
    bed.last_r = (bed.last_r or 0) + round(0.3 * FS_HZ)
    bed.rhythm(10, 0.3)
    assert [(a.kind, a.state) for a in bed.changes] == [("extreme_tachycardia", "onset")]


def test_one_pause_is_no_bradycardia() -> None:
    bed = running_bed()
    bed.last_r = (bed.last_r or 0) + round(3.5 * FS_HZ)
    bed.second += 3
    bed.rhythm(10, 0.8)
    assert "extreme_bradycardia" not in bed.kinds()


def test_a_rate_around_its_limit_is_one_alarm() -> None:
    bed = SimulatedBed()
    for _ in range(30):
        bed.rhythm(9, 0.47)  # 128 bpm
        bed.rhythm(9, 0.51)  # 118
    assert states(bed.changes) == [("tachycardia", "onset")]
    bed.rhythm(30, 0.8)
    assert bed.engine.active == ()


def test_a_short_high_rate_raises_nothing() -> None:
    bed = running_bed(seconds=20)
    bed.rhythm(14, 0.46)  # 130 bpm: over the limit on the mean for some seconds
    bed.rhythm(30, 0.8)
    assert bed.changes == []


def test_an_extreme_rate_covers_the_lower_alarm_while_it_lasts() -> None:
    bed = SimulatedBed()
    bed.rhythm(60, 0.47)  # 128 bpm
    bed.rhythm(30, 0.36)  # 167
    bed.rhythm(40, 0.47)
    assert states(bed.changes) == [
        ("tachycardia", "onset"),
        ("extreme_tachycardia", "onset"),
        ("tachycardia", "cleared"),
        ("extreme_tachycardia", "latched"),
        ("tachycardia", "onset"),
    ]
    assert bed.changes[2].covered_by == bed.changes[1].alarm_id
    assert bed.changes[4].alarm_id != bed.changes[0].alarm_id


def test_one_missed_qrs_does_not_change_the_rate_in_an_extreme_alarm() -> None:
    bed = running_bed()
    bed.rhythm(3, 0.4)
    bed.last_r = (bed.last_r or 0) + round(0.4 * FS_HZ)
    bed.rhythm(12, 0.4)
    onset = next(a for a in bed.changes if a.kind == "extreme_tachycardia")
    assert onset.text == "heart rate 150 bpm over 17 beats"
