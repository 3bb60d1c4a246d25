"""A patient's templates and intervals: medians as by numpy, a steady template without early beats, causal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import BEAT_SAMPLES, CONTEXT_FIELDS, BeatContext, PatientTemplate, template_score
from detector.template import TEMPLATE_BEATS, TEMPLATE_MIN_BEATS

FIELD = {name: k for k, name in enumerate(CONTEXT_FIELDS)}
SHAPE, QRS = slice(62 - 17, 62 + 44), slice(62 - 12, 62 + 18)
T = np.arange(BEAT_SAMPLES) - 62
NORMAL = np.exp(-0.5 * (T / 3.0) ** 2).astype(np.float32)
ECTOPIC = (-1.5 * np.exp(-0.5 * (T / 10.0) ** 2)).astype(np.float32)

Beats = NDArray[np.float32]


def noisy(n: int, seed: int) -> Beats:
    """(n, 187) normal beats, no two alike."""
    rng = np.random.default_rng(seed)
    return (NORMAL * rng.uniform(0.7, 1.3, (n, 1)) + rng.normal(0, 0.05, (n, BEAT_SAMPLES))).astype(np.float32)


def taught(beats: Beats, rr_s: list[float | None]) -> PatientTemplate:
    patient = PatientTemplate()
    for samples, interval in zip(beats, rr_s, strict=True):
        patient.learn(samples, interval)
    return patient


def context(patient: PatientTemplate, rr_s: float | None = 0.8) -> BeatContext:
    found = patient.context(rr_s)
    assert found is not None
    return found


# None: after a gap the interval is not known.
intervals = st.lists(st.none() | st.floats(0.3, 2.0), min_size=TEMPLATE_MIN_BEATS, max_size=90)


@given(rr_s=intervals, seed=st.integers(0, 100))
def test_a_context_equals_numpy_on_the_last_64_beats(rr_s: list[float | None], seed: int) -> None:
    n = len(rr_s) // 4 * 4  # the templates are made anew every four beats
    beats, rr_s = noisy(n, seed), rr_s[:n]
    found = context(taught(beats, rr_s), 0.7)
    kept = beats[-TEMPLATE_BEATS:]
    np.testing.assert_array_equal(found.template, np.median(kept, axis=0))  # to the last bit
    assert found.template.dtype == found.steady.dtype == found.values.dtype == np.float32
    order = np.argsort([-1.0 if interval is None else interval for interval in rr_s[-TEMPLATE_BEATS:]], kind="stable")
    latest = order[-max(len(kept) // 4, 4) :]
    np.testing.assert_array_equal(found.steady, np.median(kept[latest], axis=0))

    known = np.array([interval for interval in rr_s if interval is not None][-TEMPLATE_BEATS:])
    expected = dict.fromkeys(CONTEXT_FIELDS[:6], np.nan) | {"rr_s": 0.7}
    if len(known) >= TEMPLATE_MIN_BEATS:
        expected |= {
            "rr_before_s": known[-1],
            "rr_median_s": np.median(known),
            "rr_median_8_s": np.median(known[-8:]),
            "rr_long_s": np.quantile(known, 0.85),
            "rr_variability": np.mean(np.abs(np.diff(known))) / np.median(known),
        }
    expected["amplitude_mv"] = np.median(np.ptp(kept[:, QRS], axis=1))
    for name, value in expected.items():
        assert found.values[FIELD[name]] == pytest.approx(value, rel=1e-6, nan_ok=True), name


@given(rr_s=intervals, seed=st.integers(0, 100))
def test_a_context_depends_on_earlier_beats_only(rr_s: list[float | None], seed: int) -> None:
    beats = noisy(len(rr_s) + 20, seed)
    patient = taught(beats[: len(rr_s)], rr_s)
    before = context(patient)
    copy = [array.copy() for array in (before.template, before.steady, before.values)]
    for samples in beats[len(rr_s) :]:
        patient.learn(samples, 0.4)
    for array, held in zip((before.template, before.steady, before.values), copy, strict=True):
        np.testing.assert_array_equal(array, held)
    assert not np.array_equal(context(patient).template, before.template)
    with pytest.raises(ValueError, match="read-only"):
        before.template[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        before.steady[0] = 1


@given(early=st.lists(st.booleans(), min_size=64, max_size=140), seed=st.integers(0, 100))
def test_early_beats_are_never_in_the_steady_template(early: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for k in range(0, len(early), 4):
        early[k] = False  # at least a quarter of any 64 beats comes after a pause
    on_time = ~np.array(early)
    heights = np.where(on_time, rng.uniform(1, 2, len(early)), rng.uniform(-2, -1, len(early)))
    rr_s: list[float | None] = np.where(on_time, rng.uniform(0.8, 1.2, len(early)), rng.uniform(0.3, 0.79)).tolist()
    beats = np.repeat(heights[:, None], BEAT_SAMPLES, axis=1).astype(np.float32)
    assert context(taught(beats, rr_s)).steady.min() >= 1


@pytest.mark.parametrize("ectopic_of_four", [2, 3])
def test_where_the_median_is_an_ectopic_beat_the_steady_template_is_not(ectopic_of_four: int) -> None:
    pattern = {2: "NVNV", 3: "NVVV"}[ectopic_of_four] * 24
    beats = np.array([NORMAL if kind == "N" else ECTOPIC for kind in pattern])
    rr_s: list[float | None] = [1.1 if kind == "N" else 0.5 for kind in pattern]  # the pause comes before the N
    found = context(taught(beats, rr_s))
    np.testing.assert_array_equal(found.steady, NORMAL)
    assert np.abs(found.template - NORMAL).max() > 0.9  # half-way, or the ectopic beat
    assert found.values[FIELD["rr_long_s"]] == np.float32(1.1)


def test_an_ectopic_beat_in_four_does_not_enter_the_template() -> None:
    patient = taught(np.where((np.arange(64) % 4 == 0)[:, None], ECTOPIC, noisy(64, 1)), [0.8] * 64)
    usual, strange = patient.residual(noisy(1, 2)[0]), patient.residual(ECTOPIC)
    assert usual is not None
    assert strange is not None
    assert strange > 4 * usual


def test_unknown_intervals_count_as_the_shortest() -> None:
    beats = np.array([NORMAL, ECTOPIC] * 20)
    assert np.array_equal(context(taught(beats, [0.8, None] * 20)).steady, NORMAL)


def test_variability_is_0_for_a_clock_and_that_of_alternating_intervals_by_hand() -> None:
    beats = noisy(40, 0)
    assert context(taught(beats, [0.8] * 40)).values[FIELD["rr_variability"]] == 0
    alternating = context(taught(beats, [0.6, 1.0] * 20)).values
    assert alternating[FIELD["rr_variability"]] == pytest.approx(0.4 / 0.8)


def test_there_is_no_context_for_the_first_beats_and_after_a_reset() -> None:
    beats = noisy(TEMPLATE_MIN_BEATS, 0)
    patient = PatientTemplate()
    for samples in beats:
        assert patient.context(0.8) is None
        assert patient.template is None
        patient.learn(samples, 0.8)
    assert patient.context(None) is not None
    assert np.isnan(context(patient, None).values[FIELD["rr_s"]])
    assert np.isnan(context(patient).values[FIELD["usual_residual"]])  # no beat was compared with a template yet
    patient.reset()
    assert patient.context(0.8) is None
    assert patient.rr_ratio(0.8) is None


@given(seed=st.integers(0, 1000), rr_s=st.floats(0.3, 2.0))
def test_residual_and_template_score_are_their_formulas(seed: int, rr_s: float) -> None:
    beats = noisy(64, seed)
    rng = np.random.default_rng(seed)
    learnt = rng.uniform(0.6, 1.2, 64)
    patient = taught(beats, learnt.tolist())
    beat = noisy(1, seed + 1)[0]
    height = np.median(np.ptp(beats[:, QRS], axis=1))
    residual = patient.residual(beat)
    assert residual == pytest.approx(np.linalg.norm((beat - np.median(beats, axis=0))[SHAPE]) / height, rel=1e-5)
    ratios = patient.ratios(rr_s)
    assert ratios == pytest.approx((rr_s / np.median(learnt), rr_s / np.median(learnt[-8:])))
    early = sum(max(0.0, -np.log(ratio)) for ratio in ratios if ratio is not None)
    assert template_score(residual, *ratios) == pytest.approx(0.4 * residual + early)
    assert template_score(residual, None, None) == pytest.approx(0.4 * residual)
    assert template_score(None, *ratios) is None
    assert patient.ratios(None) == (None, None)


def test_usual_residual_is_the_median_of_the_beats_residuals() -> None:
    beats = noisy(60, 3)
    patient, residuals = PatientTemplate(), []
    for samples in beats:
        residual = patient.residual(samples)
        residuals += [] if residual is None else [residual]
        patient.learn(samples, 0.8)
    assert len(residuals) == 60 - TEMPLATE_MIN_BEATS
    assert context(patient).values[FIELD["usual_residual"]] == pytest.approx(np.median(residuals))


def test_a_flat_lead_gives_finite_residuals() -> None:
    patient = taught(np.zeros((16, BEAT_SAMPLES), np.float32), [0.8] * 16)
    assert context(patient).values[FIELD["amplitude_mv"]] == np.float32(0.05)
    residual = patient.residual(NORMAL)
    assert residual is not None
    assert np.isfinite(residual)
