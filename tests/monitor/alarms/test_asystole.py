"""Asystole, pause and ventricular fibrillation."""

from __future__ import annotations

import pytest

from detector import Gap, Quality
from monitor.config import AlarmsConfig, KindConfig
from tests.monitor.alarms.helpers import FS_HZ, SimulatedBed, running_bed, states


def test_a_first_sample_far_from_zero_is_no_asystole() -> None:
    bed = SimulatedBed(second=600)
    bed.rhythm(20, 0.8)
    assert bed.changes == []


def test_asystole_is_raised_once_after_four_seconds_of_good_signal_and_latches() -> None:
    bed = running_bed(seconds=20)
    last_r = bed.last_r
    bed.ticks(10)
    pause, onset, covered = bed.changes
    assert (pause.kind, pause.state, pause.priority) == ("pause", "onset", "medium")
    assert (covered.alarm_id, covered.state, covered.covered_by) == (pause.alarm_id, "cleared", onset.alarm_id)
    assert (onset.kind, onset.priority, onset.state, onset.onset_sample) == ("asystole", "high", "onset", last_r)
    assert onset.alarm_id == f"p1/asystole/{last_r}"
    decided_s = (onset.decided_sample - last_r) / FS_HZ
    assert 4.6 <= decided_s <= 5.6  # 4 s, 0.6 s until R-peaks are decided, at most one tick
    assert bed.engine.heart_rate_bpm is None
    bed.rhythm(5, 0.8)
    assert [alarm.state for alarm in bed.changes if alarm.kind == "asystole"] == ["onset", "latched"]
    (cleared,) = bed.engine.acknowledge(onset.alarm_id, "nurse 3")
    assert (cleared.state, cleared.acknowledged_by) == ("cleared", "nurse 3")
    assert bed.engine.active == ()


def test_a_pause_between_two_ticks_is_raised_and_one_across_noise_is_not() -> None:
    bed = running_bed()
    last = bed.last_r or 0
    bed.ticks(3)
    bed.tick(r_samples=(last + round(3.2 * FS_HZ),))
    pause = next(a for a in bed.changes if a.kind == "pause")
    assert (pause.priority, pause.onset_sample, pause.text) == ("medium", last, "no QRS for 3.2 s")
    assert pause.evidence.value == pytest.approx(3.2)
    bed.last_r = last + round(3.2 * FS_HZ)
    bed.rhythm(12, 0.8)
    assert states(bed.changes) == [("pause", "onset"), ("pause", "cleared")]
    noisy = running_bed()
    last = noisy.last_r or 0
    noisy.tick()
    noisy.tick(Quality.MOTION)
    noisy.tick()
    noisy.tick(r_samples=(last + round(3.2 * FS_HZ),))
    assert noisy.changes == []


@pytest.mark.parametrize(("enabled", "kinds"), [(True, ["asystole"]), (False, ["pause"])])
def test_an_asystole_between_two_ticks_is_raised_and_latches_when_qrs_are_back(enabled: bool, kinds: list[str]) -> None:
    bed = running_bed(AlarmsConfig(asystole=KindConfig("high", enabled=enabled, limit=4.0)))
    last = bed.last_r or 0
    bed.tick()
    bed.tick(r_samples=(last + round(4.4 * FS_HZ),))
    assert [alarm.kind for alarm in bed.engine.active] == kinds
    (alarm,) = bed.engine.active
    assert (alarm.onset_sample, alarm.text) == (last, "no QRS for 4.4 s")
    bed.tick(r_samples=tuple(last + round(at_s * FS_HZ) for at_s in (5.2, 6.0, 6.8)))
    if enabled:
        assert states(bed.changes) == [("asystole", "onset"), ("asystole", "latched")]


def standstill(bed: SimulatedBed, seconds: int) -> None:
    bed.ticks(seconds)
    assert [alarm.state for alarm in bed.engine.active if alarm.kind == "asystole"] == ["onset"]


def test_one_qrs_ends_no_asystole_and_four_do() -> None:
    bed = running_bed()
    standstill(bed, 20)
    for _ in range(10):  # a QRS every 6 s: a dying heart
        bed.tick(r_samples=(bed.now + 20,))
        bed.ticks(5)
        assert bed.engine.heart_rate_bpm is None
    assert states(bed.changes, "asystole") == [("asystole", "onset")]
    assert bed.engine.active[0].text.startswith("no QRS for ")
    last = bed.now + 20
    bed.tick(r_samples=(last,))
    bed.ticks(3)
    assert states(bed.changes, "asystole") == [("asystole", "onset")]
    bed.tick(r_samples=(last + round(3.9 * FS_HZ),))
    assert states(bed.changes, "asystole") == [("asystole", "onset")]
    bed.ticks(2)
    bed.tick(r_samples=(last + round(7.7 * FS_HZ),))
    assert states(bed.changes, "asystole") == [("asystole", "onset")], "three may be noise"
    bed.ticks(3)
    bed.tick(r_samples=(last + round(11.5 * FS_HZ),))
    assert states(bed.changes, "asystole") == [("asystole", "onset"), ("asystole", "latched")]


def test_an_acknowledged_asystole_stays_through_five_minutes_of_noise_and_losses() -> None:
    bed = running_bed()
    standstill(bed, 10)
    bed.engine.acknowledge(bed.engine.active[0].alarm_id, "nurse 3")
    bed.changes.clear()
    noise = (Quality.MUSCLE, Quality.MOTION, Quality.CLIPPED, Quality.WANDER, Quality.HUM, Quality.SETTLING)
    for minute in range(5):
        bed.tick(noise[minute], r_samples=(bed.now + 50, bed.now + 200))  # peaks of noise
        bed.ticks(20, noise[minute])
        bed.changes += bed.engine.handle(Gap(bed.now, 300))
        bed.ticks(38)
        bed.changes += bed.engine.handle(Gap(bed.now + 20, 12, "hole"))
        bed.tick(r_samples=(bed.now + 100,))
    assert states(bed.changes, "asystole", "pause") == []
    bed.rhythm(3, 0.8)
    assert states(bed.changes, "asystole") == [("asystole", "cleared")]


@pytest.mark.parametrize("noise", [Quality.MUSCLE, Quality.MOTION, Quality.CLIPPED, Quality.WANDER])
def test_noise_restarts_the_time_of_a_new_asystole(noise: Quality) -> None:
    bed = running_bed()
    for _ in range(20):
        bed.ticks(3)
        bed.tick(noise)
    assert "asystole" not in bed.kinds()
    bed.ticks(5)
    assert "asystole" in bed.kinds()


@pytest.mark.parametrize(
    ("lost", "every_s"), [(12, 1), (12, 3), (1, 1), (140, 3), (250, 3), (375, 4)], ids=lambda value: str(value)
)
def test_losses_that_repeat_hide_no_asystole(lost: int, every_s: int) -> None:
    """The time watched counts; holes of 4 ms to 1.5 s."""
    bed = running_bed(seconds=20)
    last = bed.last_r or 0
    missing = 0
    while "asystole" not in bed.kinds():
        gap = Gap(bed.now + 20, lost, "bridged" if lost <= 3 else "hole" if lost < 125 else "restart")
        bed.changes += bed.engine.handle(gap)
        missing += lost
        if lost > 230:
            bed.second += 1 + (lost > 250)
        bed.ticks(every_s)
        assert bed.second < 40
    onset = next(alarm for alarm in bed.changes if alarm.kind == "asystole")
    assert onset.onset_sample == last
    watched_s = (onset.decided_sample - last - missing) / FS_HZ
    assert 4.0 <= watched_s <= 9.5 + every_s


@pytest.mark.parametrize("lost", [376, 2500])
def test_a_long_loss_ends_an_asystole_and_restarts_its_time(lost: int) -> None:
    bed = running_bed()
    standstill(bed, 10)
    bed.changes += bed.engine.handle(Gap(bed.now, lost))
    assert states(bed.changes, "asystole") == [("asystole", "onset"), ("asystole", "latched")]
    bed.second += lost // 250 + 1
    bed.ticks(3)
    assert states(bed.changes, "asystole")[-1] == ("asystole", "latched")


def test_a_flicker_of_the_electrode_ends_no_asystole_and_leads_off_does() -> None:
    bed = running_bed()
    standstill(bed, 10)
    for _ in range(10):
        bed.tick(Quality.LEADS_OFF)
        bed.tick(Quality.SETTLING)
        bed.ticks(2)
    assert states(bed.changes, "asystole") == [("asystole", "onset")]
    bed.ticks(2, Quality.LEADS_OFF)
    assert states(bed.changes, "asystole") == [("asystole", "onset"), ("asystole", "latched")]
    bed.ticks(20, Quality.LEADS_OFF)
    bed.tick(Quality.SETTLING)
    bed.ticks(3)
    assert states(bed.changes, "asystole")[-1] == ("asystole", "latched")


def test_fibrillation_is_one_alarm_that_covers_asystole() -> None:
    bed = running_bed(qrs="usual")
    bed.ticks(6, fibrillatory=False)
    bed.ticks(20, fibrillatory=True)  # without R-peaks: asystole but for the waveform
    assert states(bed.changes, "ventricular_fibrillation") == [("ventricular_fibrillation", "onset")]
    assert "asystole" in bed.kinds(), "raised before the waveform was judged"
    onset = next(a for a in bed.changes if a.kind == "ventricular_fibrillation")
    asystole = next(a for a in bed.changes if a.kind == "asystole" and a.state == "latched")
    assert asystole.covered_by == onset.alarm_id
    assert (onset.priority, onset.evidence.limit, onset.evidence.limit_unit) == ("high", 4.0, "s")
    bed.tick(fibrillatory=False)
    bed.tick(fibrillatory=True)
    assert states(bed.changes, "ventricular_fibrillation") == [("ventricular_fibrillation", "onset")], (
        "within the hold time"
    )
    bed.last_r = None
    bed.rhythm(2, 0.8)
    bed.ticks(4, fibrillatory=False)
    assert states(bed.changes, "ventricular_fibrillation")[-1] == ("ventricular_fibrillation", "onset")
    bed.ticks(3, fibrillatory=False)
    assert states(bed.changes, "ventricular_fibrillation")[-1] == ("ventricular_fibrillation", "latched")


def test_a_regular_fast_run_is_no_fibrillation_until_it_becomes_irregular() -> None:
    bed = running_bed(qrs="usual")
    last = bed.last_r or 0
    waving = [last + 100 + 80 * k for k in range(30)]  # 188 bpm, every window fibrillatory
    irregular = [waving[-1] + 190 * k + extra for k in range(15) for extra in (50, 190)]
    for second in range(24):
        upto = bed.now + round(FS_HZ)
        here = tuple(r for r in [*waving, *irregular] if bed.now <= r < upto)
        for r in here:
            bed.beat(r, odd=True, qrs="wide")
        bed.tick(r_samples=here, fibrillatory=second >= 4)
        if upto <= waving[-1] + 3 * FS_HZ:  # the first windows of 4 s belong to the run
            assert "ventricular_fibrillation" not in bed.kinds()
    high = [alarm for alarm in states(bed.changes) if alarm[0].startswith("ventricular")]
    assert high[:3] == [
        ("ventricular_run", "onset"),
        ("ventricular_fibrillation", "onset"),
        ("ventricular_run", "latched"),
    ]


def test_a_longer_limit_needs_consecutive_windows() -> None:
    bed = SimulatedBed(AlarmsConfig(ventricular_fibrillation=KindConfig("high", limit=6.0)))
    for fibrillatory in (True, True, False, True, True):
        bed.tick(fibrillatory=fibrillatory)
    assert "ventricular_fibrillation" not in bed.kinds()
    bed.tick(fibrillatory=True)
    assert "ventricular_fibrillation" in bed.kinds()
    onset = next(a for a in bed.changes if a.kind == "ventricular_fibrillation")
    assert onset.onset_sample == 0
