"""Views: units and gain cancel out, unknown numbers give 0, and the evidence equals the detector's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from detector import CONTEXT_FIELDS
from tests.train.helpers import detected_beats
from train.data.contexts import stack_contexts
from train.model.contextual import input_named
from train.model.inputs import LoneInput, PatientInput

FIELD = {name: k for k, name in enumerate(CONTEXT_FIELDS)}
SHAPE, QRS = slice(62 - 17, 62 + 44), slice(62 - 12, 62 + 18)
ABSOLUTE, VARIABILITY, KNOWN = 4, 5, 7  # of the eight rhythm terms: those that are not 0 at the usual rhythm

Inputs = tuple[Tensor, Tensor, Tensor]


def inputs(n: int = 12, seed: int = 0) -> Inputs:
    """Beats 1 mV high beside templates that differ, and a rhythm that is known."""
    rng = np.random.default_rng(seed)
    beats = rng.normal(0, 0.3, (n, 187))
    templates = rng.normal(0, 0.3, (n, 2, 187))
    values = rng.uniform(0.4, 1.4, (n, len(CONTEXT_FIELDS)))
    return tuple(torch.from_numpy(array) for array in (beats, templates, values))  # type: ignore[return-value]


@given(gain=st.floats(0.5, 50), seed=st.integers(0, 100), known=st.booleans())
def test_the_gain_of_the_amplifier_cancels_out(gain: float, seed: int, known: bool) -> None:
    beats, templates, values = inputs(seed=seed)
    if not known:
        templates, values = templates * torch.nan, values * torch.nan
    louder = values.clone()
    louder[:, FIELD["amplitude_mv"]] *= gain
    for shown, other in zip(
        PatientInput()(beats, templates, values), PatientInput()(gain * beats, gain * templates, louder), strict=True
    ):
        torch.testing.assert_close(other, shown)


@given(usual_s=st.floats(0.3, 2.0), variability=st.floats(0, 0.9))
def test_rhythm_terms_are_0_at_the_usual_rhythm(usual_s: float, variability: float) -> None:
    beats, templates, values = inputs(3)
    for name in ("rr_s", "rr_before_s", "rr_median_s", "rr_median_8_s", "rr_long_s"):
        values[:, FIELD[name]] = usual_s
    values[:, FIELD["rr_variability"]] = variability
    _, numbers, evidence = PatientInput()(beats, templates, values)
    expected = torch.zeros(3, 8, dtype=torch.float64)
    expected[:, ABSOLUTE] = 2 * np.log(usual_s / 0.8)
    expected[:, VARIABILITY] = 4 * variability
    expected[:, KNOWN] = 1
    torch.testing.assert_close(numbers[:, :8], expected)
    for k in range(2):  # nothing is early, so only the shape counts
        apart = (beats - templates[:, k])[:, SHAPE].norm(dim=1) / values[:, FIELD["amplitude_mv"]]
        torch.testing.assert_close(evidence[:, k], 0.4 * apart)


@given(seed=st.integers(0, 100), factor=st.floats(0.3, 0.99))
def test_evidence_rises_for_early_beats_and_not_for_late_ones(seed: int, factor: float) -> None:
    beats, templates, values = inputs(seed=seed)
    values[:] = 0.8
    on_time = PatientInput()(beats, templates, values)[2]
    values[:, FIELD["rr_s"]] = 0.8 * factor
    early = PatientInput()(beats, templates, values)[2]
    torch.testing.assert_close(early - on_time, torch.full_like(early, -2 * np.log(factor)))
    values[:, FIELD["rr_s"]] = 0.8 / factor
    torch.testing.assert_close(PatientInput()(beats, templates, values)[2], on_time)


def test_evidence_is_the_detectors_template_score() -> None:
    beats = detected_beats()
    samples = np.array([beat.samples for beat in beats])
    rr_s = np.array([np.nan if beat.rr_s is None else beat.rr_s for beat in beats])
    contexts = stack_contexts([beat.context for beat in beats], samples, rr_s)
    given_to = (torch.from_numpy(array) for array in (samples, contexts.templates, contexts.values))
    evidence = PatientInput()(*given_to)[2].numpy()
    known = np.array([beat.template_score is not None for beat in beats])
    expected = np.array([beat.template_score or 0.0 for beat in beats])
    assert known.sum() > 60
    assert expected[known].max() > 1 > 0.5 > np.median(expected[known])  # some of the beats are early and wide
    np.testing.assert_allclose(evidence[:, 0], expected, rtol=1e-5, atol=1e-5)
    assert not evidence[~known].any()

    for beat, found in zip(beats, evidence[:, 1].tolist(), strict=True):
        if beat.context is not None and beat.rr_s is not None and np.isfinite(beat.context.values).all():
            value = dict(zip(CONTEXT_FIELDS, beat.context.values.tolist(), strict=True))
            apart = np.linalg.norm((beat.samples - beat.context.steady)[SHAPE]) / value["amplitude_mv"]
            early = sum(max(0.0, -np.log(beat.rr_s / value[name])) for name in ("rr_long_s", "rr_median_8_s"))
            assert found == pytest.approx(0.4 * apart + early, rel=1e-4, abs=1e-5)


def test_unknown_numbers_give_zero() -> None:
    beats, templates, values = inputs()
    rr_s = values[:, 0].clone()
    values[:], templates[:] = torch.nan, torch.nan
    signals, numbers, evidence = PatientInput()(beats, templates, values)
    own = beats[:, QRS].amax(dim=1) - beats[:, QRS].amin(dim=1)
    torch.testing.assert_close(signals[:, 0], beats / own[:, None])
    assert not signals[:, 1:].any()
    assert not numbers.any()
    assert not evidence.any()
    values[:, 0] = rr_s  # the interval is known, but not what is usual: only its own length counts
    numbers = PatientInput()(beats, templates, values)[1]
    expected = torch.zeros_like(numbers)
    expected[:, ABSOLUTE] = 2 * torch.log(rr_s / 0.8)
    torch.testing.assert_close(numbers, expected)


def test_the_beat_itself_is_shown_only_where_the_patient_is_not_known() -> None:
    beats, templates, values = inputs()
    values[::2], templates[::2] = torch.nan, torch.nan
    signals, _, _ = PatientInput()(beats, templates, values)
    assert signals[::2, 0].any(dim=1).all()
    assert not signals[1::2, 0].any()
    height = values[1::2, FIELD["amplitude_mv"]][:, None]
    for k in range(2):
        torch.testing.assert_close(signals[1::2, 1 + k], (beats[1::2] - templates[1::2, k]) / height)
    torch.testing.assert_close(PatientInput().decoder_target(signals)[::2], signals[::2, 0])
    torch.testing.assert_close(PatientInput().decoder_target(signals)[1::2], signals[1::2, 1])
    kept = PatientInput().without_context(values)
    assert torch.equal(kept[:, :1].isnan(), values[:, :1].isnan())
    assert kept[:, 1:].isnan().all()


@given(seed=st.integers(0, 100))
def test_the_joint_view_equals_those_with_and_without_context(seed: int) -> None:
    beats, templates, values = inputs(seed=seed)
    templates[::3], values[::3, 1:] = torch.nan, torch.nan  # the patient is not known
    values[::4, 0] = torch.nan  # nor the interval
    view = PatientInput()
    signals, numbers, evidence = view.with_and_without_context(beats, templates, values)
    first = view(beats, templates, values)
    second = view(beats, templates, view.without_context(values))
    assert torch.equal(signals, torch.cat((first[0], second[0])))
    assert torch.equal(numbers, torch.cat((first[1], second[1])))
    assert torch.equal(evidence, first[2])
    assert not second[2].any()


def test_a_template_without_a_rhythm() -> None:
    beats, templates, values = inputs()
    values[:, : FIELD["amplitude_mv"]] = torch.nan
    _, numbers, evidence = PatientInput()(beats, templates, values)
    assert not numbers[:, :8].any()
    assert numbers[:, 8:].all()
    assert (evidence > 0).all()


def test_numbers_and_signals_are_bounded() -> None:
    beats, templates, values = inputs()
    values[:6] = 1e-3
    values[::2, 0] = 60.0
    signals, numbers, evidence = PatientInput()(1e4 * beats, templates, values)
    assert signals.abs().max() == 8
    assert numbers.abs().max() == 5
    assert torch.isfinite(evidence).all()


def test_the_lone_view_is_the_centred_beat_and_its_extent() -> None:
    beats = torch.tensor([[0.0, 0.25, 1.0, 0.5, 0.0, 0.0]])
    signals, numbers, evidence = LoneInput()(beats)
    assert signals.tolist() == [[[-1, -0.5, 1, 0, -1, -1], [0, 1, 1, 1, 0, 0]]]
    assert numbers.shape == evidence.shape == (1, 0)


def test_missing_inputs_and_unknown_views_are_named() -> None:
    with pytest.raises(ValueError, match="templates and values are needed"):
        PatientInput()(torch.zeros(2, 187))
    with pytest.raises(ValueError, match="'both' is unknown; one of lone, patient"):
        input_named("both")
