"""The rhythm in words, and the counts of ventricular beats and their patterns."""

from __future__ import annotations

import pytest

from detector import Gap, Quality
from monitor.alarms.ectopy import Ectopy
from monitor.messages import HourCounts
from tests.monitor.alarms.helpers import FS_HZ, SimulatedBed, run

USUAL_S = 0.5  # the usual RR interval of a bed that knows it
EARLY_S = 0.35  # after the end of the usual T wave: QT is 0.32 s


def play(letters: str, early_s: float = EARLY_S) -> SimulatedBed:
    """A bed after usual beats (N), ventricular ones (V: early, then a pause) and unscored ones (-)."""
    bed = SimulatedBed(knows_rr=True)
    bed.rhythm(10, USUAL_S, qrs="usual")
    before, here = "N", []
    for letter in letters:
        rr_s = early_s if letter == "V" else 2 * USUAL_S - early_s if before == "V" else USUAL_S
        r_sample = (bed.last_r or 0) + round(rr_s * FS_HZ)
        if r_sample >= bed.now + round(FS_HZ):
            bed.tick(r_samples=tuple(here))
            here = []
        if letter == "-":
            bed.beat(r_sample, quality=Quality.MUSCLE)
        else:
            bed.beat(r_sample, odd=letter == "V", qrs="wide" if letter == "V" else "usual")
        here.append(r_sample)
        before = letter
    bed.tick(r_samples=tuple(here))
    return bed


@pytest.mark.parametrize(
    ("letters", "word", "counts"),
    [
        ("NNNN", "regular", {}),
        ("NVN", "regular", {"ventricular_beats": 1}),
        ("NVVN", "regular, ventricular couplet", {"ventricular_beats": 2, "couplets": 1}),
        ("NVVVN", "regular", {"ventricular_beats": 3, "runs": 1}),
        ("NVNVNV", "ventricular bigeminy", {"ventricular_beats": 3, "bigeminy": 1}),
        ("NVNVNVNVNV", "ventricular bigeminy", {"ventricular_beats": 5, "bigeminy": 1}),
        ("NNVNNVNNV", "ventricular trigeminy", {"ventricular_beats": 3, "trigeminy": 1}),
        ("NVNVNVNNN", "regular", {"ventricular_beats": 3, "bigeminy": 1}),
        ("NVNV-NV", "", {"ventricular_beats": 3}),
        ("NV-VN", "", {"ventricular_beats": 2}),
        ("NVNNNVNNNVNNNVNNNVNNNVN", "regular, frequent ventricular beats", {"ventricular_beats": 6}),
    ],
)
def test_patterns_of_ventricular_beats(letters: str, word: str, counts: dict[str, int]) -> None:
    bed = play(letters)
    assert bed.engine.rhythm == word
    watched = bed.engine.last_hour.watched_s
    assert bed.engine.last_hour == HourCounts(watched_s=watched, **counts)


def test_a_beat_on_the_t_wave_is_named_for_10_s() -> None:
    bed = play("NVN", early_s=0.28)
    assert (bed.engine.rhythm, bed.engine.last_hour.r_on_t) == ("regular, R on T", 1)
    bed.rhythm(12, USUAL_S, qrs="usual")
    assert (bed.engine.rhythm, bed.engine.last_hour.r_on_t) == ("regular", 1)


def test_the_hour_forgets_what_is_older() -> None:
    ectopy = Ectopy(FS_HZ)
    minute = round(60 * FS_HZ)
    for k in range(200):
        ectopy.on_good_signal(k * minute, (k + 1) * minute)
        assert ectopy.last_hour((k + 1) * minute).watched_s <= 3600
    assert ectopy.last_hour(230 * minute).watched_s == pytest.approx(1800, abs=60)
    assert ectopy.last_hour(400 * minute) == HourCounts()


def test_alarms_and_the_quality_of_the_signal_name_the_rhythm_first() -> None:
    bed = SimulatedBed(knows_rr=True)
    assert bed.engine.rhythm == ""
    bed.rhythm(10, 0.8, qrs="usual")
    assert bed.engine.rhythm == "regular"
    run(bed, 8, 0.4)
    assert bed.engine.rhythm == "ventricular run"
    bed.ticks(6)
    assert bed.engine.rhythm == "asystole"
    bed.rhythm(5, 0.8, qrs="usual")
    bed.ticks(4, Quality.MUSCLE)
    assert bed.engine.rhythm != "not watched"
    bed.ticks(3, Quality.MUSCLE)
    assert bed.engine.rhythm == "not watched"
    bed.rhythm(6, 0.8, qrs="usual")
    bed.engine.handle(Gap(bed.now, 200, "restart"))
    assert bed.engine.rhythm == "", "nothing is known directly after a gap"
    bed.ticks(10, fibrillatory=True)
    assert bed.engine.rhythm == "ventricular fibrillation"
    bed.engine.source_state("no_data", True, bed.now, "no samples")
    assert bed.engine.rhythm == "not watched"


def test_the_word_stays_while_the_alarm_may_come_back() -> None:
    """The waves of fibrillation lapse for seconds; the screen shows the alarm, and the word agrees."""
    bed = SimulatedBed(knows_rr=True)
    bed.rhythm(10, 0.8, qrs="usual")
    bed.ticks(6, fibrillatory=True)
    bed.tick(fibrillatory=False)
    assert bed.engine.rhythm == "ventricular fibrillation"
    for _ in range(5):
        bed.tick(r_samples=(), fibrillatory=False)
    assert bed.engine.rhythm == "ventricular fibrillation"
    for _ in range(2):
        bed.tick(r_samples=(), fibrillatory=False)
    assert bed.engine.rhythm != "ventricular fibrillation"


def test_intervals_that_change_are_variable() -> None:
    bed = SimulatedBed(knows_rr=True)
    for k in range(20):
        bed.rhythm(1, 0.6 if k % 2 else 0.9, qrs="usual")
    assert bed.engine.rhythm == "variable"
