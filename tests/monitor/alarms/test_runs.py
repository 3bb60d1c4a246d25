"""Anomalous beats: single ones, runs, ventricular runs, burden."""

from __future__ import annotations

import numpy as np
import pytest

from detector import Beat, Gap, Judgement, Quality
from detector.explain import EARLY, ST_T, WIDE, Word
from monitor.alarms.anomaly_run import AnomalyRun
from monitor.alarms.evidence import ScoredBeat
from tests.monitor.alarms.helpers import (
    FS_HZ,
    NEARLY_ODD,
    NORMAL,
    ODD,
    QrsShape,
    SimulatedBed,
    run,
    running_bed,
    single_beats,
    states,
)


def test_single_anomalous_beats_are_grouped() -> None:
    bed = running_bed()
    for k in range(5):
        bed.beat((bed.last_r or 0) + 100, odd=True)
        bed.rhythm(3, 0.8)
        assert bed.kinds() == ["anomalous_beat"], k
    bed.rhythm(12, 0.8)
    onset, cleared = (alarm for alarm in bed.changes if alarm.kind == "anomalous_beat")
    assert (onset.priority, cleared.state, cleared.count) == ("low", "cleared", 5)
    assert len(cleared.evidence.r_samples) == 5
    assert (cleared.evidence.log_prob, cleared.evidence.score) == ((-150.0,) * 5, (7.3,) * 5)
    assert cleared.evidence.threshold == 4.9


def test_three_anomalous_beats_in_a_row_are_a_run_and_an_unscored_beat_breaks_it() -> None:
    bed = running_bed(qrs="usual")
    first = bed.now
    bed.beat(first + 10, odd=True, qrs="wide")
    bed.beat(first + 110, odd=True, qrs="wide")
    bed.beat(first + 210, quality=Quality.MUSCLE)
    bed.beat(first + 310, odd=True, qrs="wide")
    assert bed.kinds() == ["anomalous_beat"]
    bed.beat(first + 410, odd=True, qrs="wide")
    bed.beat(first + 510, odd=True, qrs="wide")
    run = next(alarm for alarm in bed.changes if alarm.kind == "anomaly_run")
    assert (run.priority, run.onset_sample, run.evidence.value) == ("medium", first + 310, 3.0)
    bed.beat(first + 700, qrs="usual")
    assert bed.engine.active == (run,), "the run covers the single beat"
    bed.rhythm(12, 0.8, qrs="usual")
    assert bed.kinds("cleared") == ["anomalous_beat", "anomaly_run"]


def test_a_run_of_wide_beats_ends_as_one_latched_alarm() -> None:
    bed = running_bed(qrs="usual")
    first = (bed.last_r or 0) + round(0.4 * FS_HZ)
    changes = run(bed, 24, 0.4)
    assert states(changes) == [
        ("anomalous_beat", "onset"),
        ("anomaly_run", "onset"),
        ("anomalous_beat", "cleared"),
        ("ventricular_run", "onset"),
        ("anomaly_run", "cleared"),
    ], "the run covers extreme tachycardia"
    single, _, single_over, ventricular, run_over = (a for a in changes if not a.update)
    assert (ventricular.priority, ventricular.onset_sample) == ("high", first)
    assert ventricular.text == "5 wide or different beats in a row at 150 bpm: wide"
    evidence = ventricular.evidence
    assert (evidence.value, evidence.limit, evidence.limit_unit) == (150, 100, "bpm")
    assert len(evidence.r_samples) == len(evidence.words) == 5
    assert single_over.covered_by == f"p1/anomaly_run/{first}"
    assert run_over.covered_by == ventricular.alarm_id
    assert single_over.alarm_id == single.alarm_id
    assert set(run_over.evidence.r_samples) <= set(evidence.r_samples), "its evidence is in the higher alarm"
    after = bed.rhythm(30, 0.8, qrs="usual")
    (latched,) = (a for a in after if a.kind == "ventricular_run")
    assert (latched.state, latched.text) == ("latched", "24 wide or different beats in a row at 150 bpm: wide")
    assert [a for a in states(after) if a[1] == "onset"] == []


def test_a_run_continues_after_the_template_has_adapted() -> None:
    """Within a minute the template adapts to a tachycardia, and its beats are no longer anomalous."""
    bed = running_bed(qrs="usual")
    run(bed, 8, 0.4)
    bed.rhythm(40, 0.4, odd=False, qrs="wide")
    assert states(bed.changes, "ventricular_run") == [("ventricular_run", "onset")]
    bed.rhythm(8, 0.4, odd=False, qrs="usual")
    assert states(bed.changes, "ventricular_run")[-1] == ("ventricular_run", "latched")


def test_an_unscored_beat_or_missing_signal_ends_a_run() -> None:
    for disturb in (
        lambda bed: bed.beat(bed.last_r + 100, quality=Quality.MUSCLE),
        lambda bed: bed.engine.handle(Gap(bed.now, 200, "hole")),
    ):
        bed = running_bed(qrs="usual")
        run(bed, 4, 0.4)
        disturb(bed)
        run(bed, 4, 0.4)
        assert "ventricular_run" not in bed.kinds()


def test_runs_close_to_each_other_are_one_alarm() -> None:
    bed = running_bed(qrs="usual")
    for _ in range(5):
        run(bed, 3, 0.5)
        bed.rhythm(7, 0.8, qrs="usual")
    assert states(bed.changes, "anomaly_run") == [("anomaly_run", "onset")]
    bed.rhythm(8, 0.8, qrs="usual")
    cleared = bed.changes[-1]
    assert (cleared.kind, cleared.state, cleared.count) == ("anomaly_run", "cleared", 5)
    assert len(cleared.evidence.r_samples) == 15


def test_many_single_beats_a_minute_are_a_burden_until_clear_of_the_limit() -> None:
    bed = running_bed(qrs="usual")
    single_beats(bed, 10, 5)
    assert bed.kinds() == ["anomalous_beat"]
    single_beats(bed, 2, 5)
    assert bed.kinds() == ["anomalous_beat", "anomaly_burden"]
    (burden,) = bed.engine.active
    assert (burden.priority, burden.evidence.value, burden.evidence.limit) == ("medium", 11.0, 10.0)
    single_beats(bed, 10, 7)  # 8 or 9 a minute: below the limit but not clear of it
    assert [a.kind for a in bed.engine.active] == ["anomaly_burden"]
    bed.rhythm(125, 0.8, qrs="usual")
    assert bed.engine.active == ()


def test_beats_of_a_run_do_not_count_as_burden() -> None:
    bed = running_bed(qrs="usual")
    run(bed, 16, 0.7)
    bed.rhythm(60, 0.8, qrs="usual")
    assert "anomaly_burden" not in bed.kinds()


@pytest.mark.parametrize(
    ("shapes", "rr_s", "expected"),
    [
        (["wide"] * 2, 0.4, "anomalous_beat"),
        (["wide"] * 4, 0.4, "anomaly_run"),
        (["wide"] * 5, 0.4, "ventricular_run"),
        (["wide", "usual", "wide", "usual", "wide"], 0.45, "ventricular_run"),
        (["usual", "wide", "usual", "usual", "wide", "usual", "usual"], 0.45, "anomalous_beat"),  # few are wide
        (["wide"] * 12, 0.62, "anomaly_run"),  # 97 bpm: accelerated rhythm
        (["usual"] * 20, 0.45, "anomalous_beat"),  # the patient's own QRS
        (["noise"] * 20, 0.45, "anomalous_beat"),  # not similar
    ],
)
def test_only_five_wide_similar_and_fast_beats_are_a_ventricular_run(
    shapes: list[QrsShape], rr_s: float, expected: str
) -> None:
    bed = running_bed(seconds=60, qrs="usual")
    for qrs in shapes:
        bed.beat((bed.last_r or 0) + round(rr_s * FS_HZ), odd=True, qrs=qrs)
    assert [kind for kind in bed.kinds() if kind.endswith(("_beat", "_run"))][-1] == expected


@pytest.mark.parametrize(("judged", "is_run"), [(NEARLY_ODD, True), (NORMAL, False)])
def test_a_nearly_anomalous_beat_belongs_to_the_run_it_follows(judged: Judgement, is_run: bool) -> None:
    bed = running_bed(seconds=60, qrs="usual")
    for k, rr_s in enumerate([0.45, 0.4, 0.6, 0.7, 0.35, 0.45]):
        bed.beat((bed.last_r or 0) + round(rr_s * FS_HZ), odd=k != 3, qrs="wide", usual=judged)
    assert ("ventricular_run" in bed.kinds()) == is_run


@pytest.mark.parametrize(
    ("intervals_s", "is_run"),
    [
        ([0.35] * 4, True),  # supraventricular: premature, and so are the beats after it
        ([0.46, 0.43, 0.40, 0.37, 0.35, 0.34, 0.34, 0.34], False),  # the sinus node speeds up
        ([0.44, 0.40, 0.40, 0.46, 0.52], False),  # a sigh
    ],
)
def test_narrow_beats_are_a_run_only_where_they_begin_abruptly(intervals_s: list[float], is_run: bool) -> None:
    bed = SimulatedBed(knows_rr=True)
    bed.rhythm(10, 0.5, qrs="usual")
    for rr_s in intervals_s:
        bed.beat((bed.last_r or 0) + round(rr_s * FS_HZ), odd=rr_s < 0.44, qrs="usual")
    assert ("anomaly_run" in bed.kinds()) == is_run


@pytest.mark.parametrize(
    ("words", "rr_s", "speeds_up"),
    [
        ((EARLY,), 0.75, True),
        ((EARLY, ST_T), 0.75, True),  # the QT interval follows the rate
        ((EARLY, ST_T), 0.6, False),  # premature
        ((EARLY, WIDE), 0.75, False),
        ((ST_T,), 0.75, False),
    ],
)
def test_what_a_heart_that_speeds_up_may_differ_in(words: tuple[str, ...], rr_s: float, speeds_up: bool) -> None:
    run, shape = AnomalyRun(3), np.zeros(187, np.float32)
    run.on_beat(ScoredBeat(Beat(1000, 0.8, shape, Quality.GOOD), -80.0, 1.2, NORMAL))
    odd = ScoredBeat(Beat(1200, rr_s, shape, Quality.GOOD), -150.0, 7.3, ODD, None, tuple(map(Word, words)))
    run.on_beat(odd)
    assert run.gradual == speeds_up


def test_noise_at_the_usual_rate_is_no_run() -> None:
    bed = running_bed(qrs="usual")
    for _ in range(20):
        bed.beat((bed.last_r or 0) + round(0.8 * FS_HZ), odd=True, qrs="noise")
    assert "anomaly_run" not in bed.kinds()


def after_noise(
    quality: Quality, noisy: int, usual: int, wide: int, quiet_s: float = 0.0, qrs: QrsShape = "wide"
) -> list[str]:
    """Kinds raised by a fast run of anomalous beats after noisy (unscored) beats, a rest and usual beats."""
    bed = running_bed(seconds=60, qrs="usual")
    for n in range(noisy + usual + wide):
        rr_s = 0.45 if n >= noisy + usual else 0.8 + quiet_s * (n == noisy)
        bed.beat(
            (bed.last_r or 0) + round(rr_s * FS_HZ),
            odd=n >= noisy + usual,
            quality=quality if n < noisy else Quality.GOOD,
            qrs="usual" if n < noisy + usual else qrs,
        )
    return bed.kinds()


@pytest.mark.parametrize("quality", [Quality.MOTION, Quality.WANDER, Quality.MUSCLE, Quality.HUM, Quality.CLIPPED])
@pytest.mark.parametrize("usual", [0, 4])
def test_a_run_right_after_noise_is_no_ventricular_run(quality: Quality, usual: int) -> None:
    assert "ventricular_run" not in after_noise(quality, 3, usual, 20)


def test_usual_beats_time_or_little_noise_leave_no_doubt() -> None:
    assert "ventricular_run" in after_noise(Quality.MOTION, 20, 5, 5)
    assert "ventricular_run" in after_noise(Quality.MOTION, 20, 0, 80)  # 36 s
    assert "ventricular_run" in after_noise(Quality.MOTION, 20, 4, 5, quiet_s=30.0)
    assert "ventricular_run" in after_noise(Quality.MOTION, 2, 0, 5)
    assert "ventricular_run" in after_noise(Quality.GAP, 9, 0, 5)


@pytest.mark.parametrize("quality", [Quality.MOTION, Quality.WANDER, Quality.MUSCLE, Quality.HUM, Quality.CLIPPED])
@pytest.mark.parametrize("usual", [0, 4])
def test_beats_of_many_shapes_right_after_noise_are_no_run_and_no_burden(quality: Quality, usual: int) -> None:
    kinds = after_noise(quality, 3, usual, 20, qrs="noise")
    assert {"anomaly_run", "anomaly_burden"}.isdisjoint(kinds)
    assert "anomalous_beat" in kinds


def test_a_run_of_alike_beats_right_after_noise_is_a_run() -> None:
    assert "anomaly_run" in after_noise(Quality.MOTION, 20, 0, 3)


def test_beats_of_many_shapes_count_after_little_noise_and_after_usual_beats() -> None:
    assert "anomaly_burden" in after_noise(Quality.MOTION, 2, 0, 20, qrs="noise")
    assert "anomaly_burden" in after_noise(Quality.MOTION, 20, 5, 20, qrs="noise")


def burden_beside(quality: Quality) -> list[str]:
    """Kinds raised by single anomalous beats, each after two beats of a quality."""
    bed = running_bed(seconds=60, qrs="usual")
    for n in range(60):
        good = n % 4 > 1
        bed.beat(
            (bed.last_r or 0) + round(0.8 * FS_HZ),
            odd=n % 4 == 3,
            quality=Quality.GOOD if good else quality,
            qrs="usual",
        )
    return bed.kinds()


def test_anomalous_beats_between_noisy_ones_are_no_burden() -> None:
    assert "anomaly_burden" not in burden_beside(Quality.MOTION)
    assert "anomaly_burden" in burden_beside(Quality.GOOD)
