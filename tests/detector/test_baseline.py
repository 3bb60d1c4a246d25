"""What is usual for the patient: the template by hand, the reference by its statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, kstest

from detector import PatientTemplate, template_score
from detector.baseline import (
    DOUBT_BEATS,
    PRIOR_BEATS,
    REFERENCE_BEATS,
    Calibration,
    PatientReference,
    calibrate,
)
from detector.template import TEMPLATE_BEATS, TEMPLATE_MIN_BEATS

ALPHA = 0.02
LEARNT = 64  # beats after which a reference is the patient's own more than the population's


def beat(seed: int = 0, gain: float = 1.0) -> NDArray[np.float32]:
    """A QRS and a T wave, and a little noise."""
    t = np.arange(187) - 62
    shape = np.exp(-0.5 * (t / 2.0) ** 2) + 0.3 * np.exp(-0.5 * ((t - 33) / 6.0) ** 2)
    return (gain * shape + np.random.default_rng(seed).normal(0, 0.01, 187)).astype(np.float32)


# -- template ------------------------------------------------------------------------------------------------


def test_there_is_no_template_before_the_eighth_beat() -> None:
    template = PatientTemplate()
    for n in range(TEMPLATE_MIN_BEATS):
        assert template.residual(beat()) is None
        assert template.ratios(0.8) == (None, None)
        template.learn(beat(n), 0.8)
    assert template.residual(beat()) is not None
    assert template.ratios(0.8) == (1.0, 1.0)
    template.reset()
    assert template.residual(beat()) is None


@given(beats=st.integers(TEMPLATE_MIN_BEATS, 3 * TEMPLATE_BEATS), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_the_template_is_the_median_of_the_last_beats_to_the_bit(beats: int, seed: int) -> None:
    usual = np.random.default_rng(seed).normal(size=(beats, 187)).astype(np.float32)
    template = PatientTemplate()
    held = []
    for samples in usual:
        template.learn(samples, 0.8)
        held.append(template.template)
    made = TEMPLATE_MIN_BEATS + (beats - TEMPLATE_MIN_BEATS) // 4 * 4  # the first, then every fourth
    expected = np.median(usual[max(0, made - TEMPLATE_BEATS) : made], axis=0)
    assert held[-1] is not None
    assert held[-1].tobytes() == expected.astype(np.float32).tobytes()
    assert all(array is None for array in held[: TEMPLATE_MIN_BEATS - 1])
    assert len({id(array) for array in held if array is not None}) == 1 + (beats - TEMPLATE_MIN_BEATS) // 4  # shared


def test_nobody_can_write_into_the_template() -> None:
    template = PatientTemplate()
    for seed in range(TEMPLATE_MIN_BEATS):
        template.learn(beat(seed), 0.8)
    held = template.template
    assert held is not None
    before = held.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 1.0
    for seed in range(20):
        template.learn(2 * beat(seed), 0.8)
    assert held.tobytes() == before  # who holds one keeps it as it was


def test_residual_by_hand() -> None:
    template = PatientTemplate()
    usual = [beat(seed) for seed in range(TEMPLATE_MIN_BEATS)]
    for samples in usual:
        template.learn(samples, 0.8)
    strange = beat(99) + np.linspace(0, 1, 187, dtype=np.float32)
    # -136 to +344 ms around R at 125 Hz, over the median swing between -96 and +136 ms
    shape, amplitude = slice(62 - 17, 62 + 43 + 1), slice(62 - 12, 62 + 17 + 1)
    expected = np.linalg.norm(strange[shape] - np.median(np.array(usual)[:, shape], axis=0))
    expected /= np.median([np.ptp(samples[amplitude]) for samples in usual])
    assert template.residual(strange) == pytest.approx(float(expected), rel=1e-6)


@given(gain=st.floats(0.2, 20))
@settings(max_examples=10)
def test_residual_does_not_know_the_amplifiers_gain(gain: float) -> None:
    plain, scaled = PatientTemplate(), PatientTemplate()
    for seed in range(12):
        plain.learn(beat(seed), 0.8)
        scaled.learn(np.float32(gain) * beat(seed), 0.8)
    residual = plain.residual(beat(50))
    assert residual is not None
    assert scaled.residual(np.float32(gain) * beat(50)) == pytest.approx(residual, rel=1e-3)


def test_an_ectopic_beat_stands_out_and_a_few_do_not_become_usual() -> None:
    template = PatientTemplate()
    ectopic = -2 * beat(7)
    for n in range(64):
        template.learn(ectopic if n % 4 == 0 else beat(n), 0.8)
    usual, strange = template.residual(beat(100)), template.residual(ectopic)
    assert usual is not None
    assert strange is not None
    assert strange > 10 * usual


def test_a_flat_line_does_not_divide_by_nothing() -> None:
    template = PatientTemplate()
    for _ in range(10):
        template.learn(np.zeros(187, np.float32), None)
    residual = template.residual(beat())
    assert residual is not None
    assert math.isfinite(residual)


@given(rr_s=st.lists(st.floats(0.2, 3), min_size=8, max_size=100), now_s=st.floats(0.2, 3))
def test_ratios_are_to_the_medians_of_the_last_intervals(rr_s: list[float], now_s: float) -> None:
    template = PatientTemplate()
    for interval in rr_s:
        template.learn(beat(), interval)
    expected = now_s / np.median(rr_s[-TEMPLATE_BEATS:]), now_s / np.median(rr_s[-8:])
    assert template.ratios(now_s) == pytest.approx(expected)
    assert template.ratios(None) == (None, None)


def test_template_score_by_hand() -> None:
    assert template_score(None, 1.0, 1.0) is None
    assert template_score(0.5, None, None) == pytest.approx(0.2)
    assert template_score(0.5, 1.0, 2.0) == pytest.approx(0.2)  # late is not early
    assert template_score(0.5, 0.5, 0.8) == pytest.approx(0.2 + math.log(2) + math.log(1.25))


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


def test_alpha_is_kept_on_the_patients_it_was_set_on() -> None:
    flags = np.concatenate([judged(scores)[1] for scores in patients(40, 600, seed=1)])
    assert flags.mean() == pytest.approx(ALPHA, abs=0.001)


def test_alpha_is_kept_on_new_patients_within_chance() -> None:
    flags = np.concatenate([judged(scores)[1][LEARNT:] for scores in NEW_PATIENTS])
    # Binomial limits at 1e-6, widened by half: the beats of one patient share their reference.
    low, high = binom.interval(1 - 1e-6, flags.size, ALPHA)
    assert low - 0.5 * ALPHA * flags.size <= flags.sum() <= high + 0.5 * ALPHA * flags.size


def test_p_values_of_new_patients_are_uniform() -> None:
    """Over all their beats, the first among them: so the table was made. Of patients alike, as forty unlike ones
    are too few to tell: half of each one's level stays in his p-values.
    """
    calibration = calibrate(patients(40, 600, seed=1, centre_sd=1.0), ALPHA)
    p = np.concatenate([judged(scores, calibration)[0] for scores in patients(40, 600, seed=2, centre_sd=1.0)])
    assert kstest(p, "uniform").statistic < 0.03
    for level in (0.01, 0.05, 0.2, 0.5):
        assert np.mean(p < level) == pytest.approx(level, rel=0.2 if level > 0.02 else 0.5)


def test_p_values_of_the_patients_it_was_set_on_are_uniform_however_unlike_they_are() -> None:
    p = np.concatenate([judged(scores)[0] for scores in patients(40, 600, seed=1)])
    assert kstest(p, "uniform").statistic < 0.01


def threshold(scores: Sequence[float] | NDArray[np.float64]) -> float:
    """Where a patient's limit stands after these beats."""
    reference = PatientReference(CALIBRATION)
    for score in scores:
        reference.judge(float(score))
    return reference.judge(0.0).threshold


@pytest.mark.parametrize("shift", [-6.0, -1.0, 3.0, 6.0])
def test_the_limit_goes_half_way_to_the_patient_and_no_further(shift: float) -> None:
    """The same beats at another level, none of them anomalous: the limit moves by half of the difference, from the
    32nd beat on; before, by the share n / (n + 32).
    """
    scores = CALIBRATION.centre + np.random.default_rng(3).uniform(-4, 4, 2000)
    for beats, share in ((8, 8 / 40), (16, 16 / 48), (PRIOR_BEATS, 0.5), (256, 0.5), (2000, 0.5)):
        moved = threshold(scores[:beats] + shift) - threshold(scores[:beats])
        assert moved == pytest.approx(share * shift), beats


def test_a_patient_whose_usual_beats_score_high_is_alarmed_less_as_he_is_known() -> None:
    scores = np.random.default_rng(3).normal(CALIBRATION.centre + 15.0, 4.5, 3000)
    at_first = np.array([PatientReference(CALIBRATION).judge(float(score)).anomalous for score in scores])
    _, flags = judged(scores)
    assert flags[400:].mean() < ALPHA < at_first.mean() / 5


def test_an_anomaly_of_a_patient_whose_usual_beats_score_low_is_found_once_he_is_known() -> None:
    level = CALIBRATION.centre_bounds[0]
    scores = np.random.default_rng(3).normal(level, 2.0, 400)
    limit = threshold(scores)
    assert limit < threshold([]) - 3.0
    between = (limit + threshold([])) / 2
    assert not judged([between])[1].any()
    assert judged([*scores, between])[1][-1]


def test_bigeminy_does_not_become_usual() -> None:
    """Every second beat anomalous, without end: they stay anomalous."""
    rng = np.random.default_rng(4)
    scores = rng.normal(CALIBRATION.centre, 4.5, 1000)
    scores[1::2] += 60.0
    _, flags = judged(scores)
    assert flags[1::2].mean() > 0.95
    assert flags[::2].mean() < ALPHA


def test_a_burst_of_anomalies_stays_anomalous_and_leaves_no_mark() -> None:
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


@given(scores=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=700))
@settings(max_examples=60)
def test_the_laws_of_the_reference(scores: list[float]) -> None:
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


@given(scores=st.lists(st.sampled_from([-1.0, 0.0, -0.0, 1.0, 2.0]), min_size=300, max_size=600))
@settings(max_examples=20)
def test_ring_and_order_agree_when_scores_repeat(scores: list[float]) -> None:
    reference = PatientReference(CALIBRATION)
    for score in scores:
        reference.learn(score)
        assert reference._sorted == sorted(reference._recent)
    assert len(reference._sorted) == REFERENCE_BEATS


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


def test_it_survives_the_way_through_a_models_metadata() -> None:
    assert msgspec.json.decode(msgspec.json.encode(CALIBRATION), type=Calibration) == CALIBRATION


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


def test_a_patient_whose_scores_are_all_alike_gives_no_spread_of_zero() -> None:
    calibration = calibrate([np.full(100, 40.0), *patients(3, 100, 0)], ALPHA)
    assert calibration.spread_bounds[0] > 0
    judged([40.0, 41.0, 39.0], calibration)
