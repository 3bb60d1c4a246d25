"""The patient's reference by its statistics, and its calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, kstest

from detector.baseline import (
    DOUBT_BEATS,
    PRIOR_BEATS,
    REFERENCE_BEATS,
    Calibration,
    PatientReference,
    calibrate,
)

ALPHA = 0.02
LEARNT = 64  # beats after which a reference is the patient's own more than the population's


# -- reference -----------------------------------------------------------------------------------------------


def patients(n: int, beats: int, seed: int, centre_sd: float = 10.0) -> list[NDArray[np.float64]]:
    """Exchangeable scores: each patient with a level and a spread of its own."""
    rng = np.random.default_rng(seed)
    return [rng.normal(rng.normal(40.0, centre_sd), rng.uniform(3.0, 6.0), beats) for _ in range(n)]


CALIBRATION = calibrate(patients(40, 600, seed=1), ALPHA)
NEW_PATIENTS = patients(40, 600, seed=2)


def judged(
    scores: Sequence[float] | NDArray[np.float64], calibration: Calibration = CALIBRATION
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """p-values and verdicts of one patient's beats, in order."""
    reference = PatientReference(calibration)
    judgements = [reference.judge(float(score)) for score in scores]
    return np.array([j.p_value for j in judgements]), np.array([j.anomalous for j in judgements])


def test_alpha_is_kept_on_the_calibration_patients() -> None:
    flags = np.concatenate([judged(scores)[1] for scores in patients(40, 600, seed=1)])
    assert flags.mean() == pytest.approx(ALPHA, abs=0.001)


def test_alpha_is_kept_on_new_patients_within_chance() -> None:
    flags = np.concatenate([judged(scores)[1][LEARNT:] for scores in NEW_PATIENTS])
    # Binomial limits at 1e-6, widened by half: the beats of one patient share their reference.
    low, high = binom.interval(1 - 1e-6, flags.size, ALPHA)
    assert low - 0.5 * ALPHA * flags.size <= flags.sum() <= high + 0.5 * ALPHA * flags.size


def test_p_values_of_new_patients_are_uniform() -> None:
    """Over all beats, the first included, as in the table. The patients are similar, because forty different ones
    are too few: half of each one's level stays in the p-values.
    """
    calibration = calibrate(patients(40, 600, seed=1, centre_sd=1.0), ALPHA)
    p = np.concatenate([judged(scores, calibration)[0] for scores in patients(40, 600, seed=2, centre_sd=1.0)])
    assert kstest(p, "uniform").statistic < 0.03
    for level in (0.01, 0.05, 0.2, 0.5):
        assert np.mean(p < level) == pytest.approx(level, rel=0.2 if level > 0.02 else 0.5)


def test_p_values_of_the_calibration_patients_are_uniform() -> None:
    p = np.concatenate([judged(scores)[0] for scores in patients(40, 600, seed=1)])
    assert kstest(p, "uniform").statistic < 0.01


def threshold(scores: Sequence[float] | NDArray[np.float64]) -> float:
    """A patient's threshold after these beats."""
    reference = PatientReference(CALIBRATION)
    for score in scores:
        reference.judge(float(score))
    return reference.judge(0.0).threshold


@pytest.mark.parametrize("shift", [-6.0, -1.0, 3.0, 6.0])
def test_the_threshold_moves_half_way_to_the_patient(shift: float) -> None:
    """The same beats at another level, none of them anomalous: the limit moves by half of the difference, from the
    32nd beat on; before, by the share n / (n + 32).
    """
    scores = CALIBRATION.centre + np.random.default_rng(3).uniform(-4, 4, 2000)
    for beats, share in ((8, 8 / 40), (16, 16 / 48), (PRIOR_BEATS, 0.5), (256, 0.5), (2000, 0.5)):
        moved = threshold(scores[:beats] + shift) - threshold(scores[:beats])
        assert moved == pytest.approx(share * shift), beats


def test_a_patient_with_high_normal_scores_is_flagged_less_once_learnt() -> None:
    scores = np.random.default_rng(3).normal(CALIBRATION.centre + 15.0, 4.5, 3000)
    at_first = np.array([PatientReference(CALIBRATION).judge(float(score)).anomalous for score in scores])
    _, flags = judged(scores)
    assert flags[400:].mean() < ALPHA < at_first.mean() / 5


def test_a_patient_with_low_normal_scores_is_flagged_earlier_once_learnt() -> None:
    level = CALIBRATION.centre_bounds[0]
    scores = np.random.default_rng(3).normal(level, 2.0, 400)
    limit = threshold(scores)
    assert limit < threshold([]) - 3.0
    between = (limit + threshold([])) / 2
    assert not judged([between])[1].any()
    assert judged([*scores, between])[1][-1]


def test_bigeminy_is_not_learnt() -> None:
    """Each second beat is anomalous and stays so."""
    rng = np.random.default_rng(4)
    scores = rng.normal(CALIBRATION.centre, 4.5, 1000)
    scores[1::2] += 60.0
    _, flags = judged(scores)
    assert flags[1::2].mean() > 0.95
    assert flags[::2].mean() < ALPHA


def test_a_burst_of_anomalies_is_not_learnt() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(CALIBRATION.centre, 4.5, 1200)
    scores[400:440] += 60.0
    _, flags = judged(scores)
    assert flags[400:440].all()
    assert flags[440:].mean() < 2 * ALPHA


def test_a_patient_abnormal_all_the_time_is_held_at_the_bounds() -> None:
    high = CALIBRATION.centre_bounds[1]
    _, flags = judged(np.full(2000, high + 60.0))
    assert flags.all()


@given(scores=st.lists(st.floats(-1e6, 1e6) | st.sampled_from([-1.0, 0.0, -0.0, 1.0, 40.0]), min_size=1, max_size=700))
@settings(max_examples=60)
def test_invariants_of_the_reference(scores: list[float]) -> None:
    """Anomalous is over the threshold and under alpha; centre and spread stay in their bounds; memory is bounded."""
    reference = PatientReference(CALIBRATION)
    verdicts: list[bool] = []
    learnt: list[float] = []
    for score in scores:
        centre, spread = reference._usual()
        assert CALIBRATION.centre_bounds[0] <= centre <= CALIBRATION.centre_bounds[1]
        assert CALIBRATION.spread_bounds[0] <= spread <= CALIBRATION.spread_bounds[1]
        judgement = reference.judge(score)
        assert 0.0 <= judgement.p_value <= 1.0
        assert judgement.anomalous == (judgement.p_value < ALPHA)
        if abs(score - judgement.threshold) > 1e-9 * (1 + abs(score)):
            assert judgement.anomalous == (score > judgement.threshold)
        verdicts.append(judgement.anomalous)
        if not judgement.anomalous or sum(verdicts[-DOUBT_BEATS:]) > DOUBT_BEATS // 2:
            learnt.append(score)
    assert list(reference._recent) == learnt[-REFERENCE_BEATS:]
    assert reference._sorted == sorted(learnt[-REFERENCE_BEATS:])


@given(a=st.floats(-200, 200), b=st.floats(-200, 200))
def test_a_higher_score_is_never_more_normal(a: float, b: float) -> None:
    low, high = (PatientReference(CALIBRATION).judge(score) for score in sorted((a, b)))
    assert low.p_value >= high.p_value
    assert low.anomalous <= high.anomalous


def test_a_beat_is_judged_before_it_is_learnt() -> None:
    first, second = PatientReference(CALIBRATION), PatientReference(CALIBRATION)
    assert first.judge(1e5).threshold == second.judge(-1e5).threshold
    assert first.judge(0.0).threshold != second.judge(0.0).threshold


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_anomalous_and_not_learnt(bad: float) -> None:
    reference = PatientReference(CALIBRATION)
    for _ in range(2 * DOUBT_BEATS):
        judgement = reference.judge(bad)
    assert (judgement.p_value, judgement.anomalous) == (0.0, True)
    assert math.isfinite(judgement.threshold)
    with pytest.raises(ValueError, match=r"score=.*finite"):
        reference.learn(bad)
    with pytest.raises(ValueError, match="finite"):
        calibrate([np.full(100, bad)], ALPHA)
    assert len(reference._recent) == 0
    assert reference.judge(40.0) == PatientReference(CALIBRATION).judge(40.0)


# -- calibration ---------------------------------------------------------------------------------------------


def test_the_table_rises_in_its_scores_and_falls_from_one() -> None:
    z, p = np.array(CALIBRATION.z), np.array(CALIBRATION.p)
    assert z.shape == p.shape
    assert (np.diff(z) >= 0).all()
    assert (np.diff(p) < 0).all()
    assert p[0] == 1.0
    assert CALIBRATION.centre_bounds[0] < CALIBRATION.centre < CALIBRATION.centre_bounds[1]
    assert CALIBRATION.spread_bounds[0] < CALIBRATION.spread < CALIBRATION.spread_bounds[1]


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_alpha_must_be_a_share(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha="):
        calibrate(patients(2, 100, 0), alpha)


@pytest.mark.parametrize("scores", [[], [np.zeros(PRIOR_BEATS - 1)]])
def test_too_few_beats_are_refused(scores: list[NDArray[np.float64]]) -> None:
    with pytest.raises(ValueError, match="at least 32"):
        calibrate(scores, ALPHA)


def test_every_patient_weighs_the_same() -> None:
    """A patient with a hundred times the beats does not set the table."""
    rng = np.random.default_rng(6)
    quiet = [rng.normal(40, 4, 400) for _ in range(9)]
    long = rng.normal(40, 4, 400)
    few, many = calibrate([*quiet, long], 0.05), calibrate([*quiet, np.tile(long, 20)], 0.05)
    np.testing.assert_allclose(few.z[:90], many.z[:90], atol=0.25)


def test_equal_scores_give_no_spread_of_zero() -> None:
    calibration = calibrate([np.full(100, 40.0), *patients(3, 100, 0)], ALPHA)
    assert calibration.spread_bounds[0] > 0
    judged([40.0, 41.0, 39.0], calibration)


def test_the_highest_score_is_far_above_every_normal_beat() -> None:
    highest = max(float(scores.max()) for scores in NEW_PATIENTS)
    assert highest < CALIBRATION.score_max < 100 * abs(highest)


@given(st.floats(-200, 200), st.floats(0.1, 3.0), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_an_own_reference_follows_a_patient_unlike_all_others(level: float, spread: float, seed: int) -> None:
    """Wherever its scores lie: none is anomalous, and one far above its own is."""
    reference = PatientReference(CALIBRATION, own=True)
    scores = np.random.default_rng(seed).normal(level, spread, 200)
    first = [reference.judge(float(score)) for score in scores[:PRIOR_BEATS]]
    assert not any(judgement.anomalous for judgement in first)
    assert all(score <= judgement.threshold for score, judgement in zip(scores, first, strict=False))
    later = [reference.judge(float(score)).anomalous for score in scores[PRIOR_BEATS:]]
    assert np.mean(later) < 0.05
    far = reference.judge(level + 20 * CALIBRATION.spread)
    assert far.anomalous
    assert level < far.threshold < level + 20 * CALIBRATION.spread
