"""Alarms of the heart rate: limits, hold, cover, missed QRS."""

from __future__ import annotations

import pytest

from detector import Gap, Quality
from detector.events import GapEffect
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
def test_a_rate_raises_its_highest_alarm_alone(rr_s: float, expected: str | None) -> None:
    bed = SimulatedBed()
    bed.rhythm(60, rr_s)
    assert [alarm.kind for alarm in bed.engine.active] == ([expected] if expected else [])


def test_extreme_tachycardia_needs_seventeen_beats() -> None:
    bed = running_bed(seconds=20)
    start = bed.last_r or 0
    for k in range(1, 16):
        assert all(alarm.kind == "tachycardia" for alarm in bed.beat(start + round(0.3 * k * FS_HZ)))
    bed.beat(start + round(0.3 * 16 * FS_HZ))
    bed.beat(start + round(0.3 * 17 * FS_HZ))
    assert bed.kinds() == ["tachycardia", "extreme_tachycardia"]


def test_one_missed_qrs_ends_no_tachycardia() -> None:
    bed = SimulatedBed()
    bed.rhythm(10, 0.3)
    bed.last_r = (bed.last_r or 0) + round(0.3 * FS_HZ)
    bed.rhythm(10, 0.3)
    assert states(bed.changes, "extreme_tachycardia") == [("extreme_tachycardia", "onset")]


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
    bed.rhythm(2, 0.46)  # 130 bpm, on the mean not over the limit
    bed.rhythm(30, 0.8)
    assert bed.changes == []


@pytest.mark.parametrize(
    ("rr_s", "kind"),
    [
        (60 / 122, "tachycardia"),
        (60 / 130, "tachycardia"),
        (60 / 150, "extreme_tachycardia"),
        (60 / 44, "bradycardia"),
        (60 / 40, "bradycardia"),
        (60 / 38, "extreme_bradycardia"),
        (60 / 30, "extreme_bradycardia"),
        (60 / 24, "extreme_bradycardia"),
    ],
)
@pytest.mark.parametrize("before_s", [0.6, 0.75, 0.9])
def test_a_limit_that_is_crossed_is_an_alarm_within_ten_seconds(rr_s: float, kind: str, before_s: float) -> None:
    bed = SimulatedBed()
    bed.rhythm(20, before_s)
    last = bed.last_r or 0
    bed.rhythm(20, rr_s)
    onset = next(alarm for alarm in bed.changes if alarm.kind == kind)
    assert (
        onset.decided_sample - last
    ) / FS_HZ <= 10.0 - 1.15  # the detector decides R-peaks and beats later than here


@pytest.mark.parametrize(("before_s", "rr_s", "most_s"), [(0.75, 0.5, 8), (0.75, 1.5, 10), (0.75, 2.0, 10)])
def test_a_new_rate_is_shown_soon(before_s: float, rr_s: float, most_s: float) -> None:
    bed = SimulatedBed()
    bed.rhythm(20, before_s)
    last, wanted = bed.last_r or 0, 60 / rr_s
    while abs((bed.engine.heart_rate_bpm or 0) - wanted) > max(0.1 * wanted, 5):
        bed.rhythm(1, rr_s)
    assert (bed.now - last) / FS_HZ <= most_s - 1.15


def test_the_rate_falls_while_no_beat_comes_and_is_unknown_in_asystole() -> None:
    bed = running_bed(seconds=20)
    rates = []
    for _ in range(8):
        bed.tick()
        rates.append(bed.engine.heart_rate_bpm)
    assert rates[0] is not None
    assert rates[2] is not None
    assert 40 < rates[2] < rates[0] <= 75
    assert rates[-3:] == [None] * 3


def test_a_slow_heart_in_asystole_has_a_rate() -> None:
    """15 beats a minute are as many as asystole allows."""
    bed = running_bed(seconds=20)
    bed.rhythm(60, 4.1)
    assert "asystole" in bed.kinds()
    assert bed.engine.heart_rate_bpm == pytest.approx(60 / 4.1, abs=0.2)


@pytest.mark.parametrize("quality", [Quality.HUM, Quality.MUSCLE])
def test_a_rate_in_mild_noise_is_shown_and_raises_nothing(quality: Quality) -> None:
    bed = running_bed(seconds=20)
    for _ in range(40):
        r_samples = (bed.now + 10, bed.now + 120, bed.now + 230)
        for r_sample in r_samples:
            bed.beat(r_sample, quality=quality)
        bed.tick(quality, r_samples)
    assert bed.engine.heart_rate_bpm is not None
    assert bed.engine.heart_rate_bpm > 120
    assert set(bed.kinds()) == {"poor_signal"}


def test_a_rate_in_motion_is_unknown_after_some_seconds() -> None:
    bed = running_bed(seconds=20)
    for _ in range(10):
        bed.beat(bed.now + 20, quality=Quality.MOTION)
        bed.tick(Quality.MOTION)
    assert bed.engine.heart_rate_bpm is None


@pytest.mark.parametrize(("effect", "lost"), [("hole", 12), ("restart", 150)])
def test_short_losses_end_no_bradycardia_and_no_rate(effect: GapEffect, lost: int) -> None:
    bed = SimulatedBed()
    for _ in range(12):
        bed.rhythm(3, 1.4)
        bed.changes += bed.engine.handle(Gap(bed.now, lost, effect))
    assert states(bed.changes, "bradycardia") == [("bradycardia", "onset")]
    assert bed.engine.heart_rate_bpm == pytest.approx(60 / 1.4, abs=0.5)
    bed.changes += bed.engine.handle(Gap(bed.now, 400))
    assert states(bed.changes, "bradycardia")[-1] == ("bradycardia", "cleared")
    assert bed.engine.heart_rate_bpm is None


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


def test_a_tachycardia_after_noise_needs_twice_the_beats() -> None:
    bed = running_bed(seconds=20)
    for _ in range(3):
        bed.beat((bed.last_r or 0) + 100, quality=Quality.MOTION)
    bed.tick(Quality.MOTION)
    bed.rhythm(8, 0.45)  # 17 beats
    assert "tachycardia" not in bed.kinds()
    bed.rhythm(7, 0.45)
    assert "tachycardia" in bed.kinds()
