"""Normalisation: each kind is its formula, keeps its invariances, and does not amplify a flat line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.model.normalise import KINDS, Kind, Normalisation, Normalise, fit_normalisation, scale_beats


def beats(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0.2, 0.5, size=(n, 187))


def by_numpy(kind: Kind, x: Any) -> Any:
    """The formulas, written again."""
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    height = np.maximum(high - low, 1e-3)
    return {"per_sample": x, "unit_peak_to_peak": x / height, "range01": (x - low) / height}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_training_beats_come_out_with_mean_0_and_variance_1_per_sample(kind: Kind) -> None:
    x = beats(300)
    normalisation = fit_normalisation(kind, x)
    y = Normalise(normalisation)(torch.from_numpy(x.astype(np.float32))).numpy()
    scaled = by_numpy(kind, x)
    expected = (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=0), 1, atol=1e-4)


@given(gain=st.floats(0.1, 10), offset=st.floats(-5, 5))
def test_range01_removes_gain_and_offset_and_unit_height_the_gain(gain: float, offset: float) -> None:
    x = torch.from_numpy(beats(4))
    torch.testing.assert_close(scale_beats(gain * x + offset, "range01"), scale_beats(x, "range01"))
    torch.testing.assert_close(scale_beats(gain * x, "unit_peak_to_peak"), scale_beats(x, "unit_peak_to_peak"))
    assert torch.equal(scale_beats(x, "per_sample"), x)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flat_beat_stays_finite_and_small(kind: Kind) -> None:
    flat = 1e-6 * torch.randn(3, 187, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert scale_beats(flat, kind).abs().max() < 0.01
    assert torch.isfinite(scale_beats(torch.zeros(2, 187), kind)).all()


def test_a_sample_that_never_varies_is_only_shifted() -> None:
    x = beats(20)
    x[:, 180:] = 0.25  # zero padding of the public set
    normalisation = fit_normalisation("per_sample", x)
    assert (normalisation.std[180:] == 1).all()
    assert (normalisation.mean[180:] == 0.25).all()


@pytest.mark.parametrize(
    ("kind", "mean", "std", "message"),
    [
        ("minmax", np.zeros(187), np.ones(187), "'minmax' is unknown; one of per_sample"),
        ("per_sample", np.zeros(187), np.ones(186), "one length"),
        ("per_sample", np.zeros((187, 1)), np.ones((187, 1)), "one length"),
        ("per_sample", np.zeros(3), np.array([1.0, 0.0, 1.0]), "std of sample 1 is 0.0"),
        ("per_sample", np.array([0.0, np.nan]), np.ones(2), "not finite"),
    ],
)
def test_an_invalid_normalisation_is_refused(kind: Any, mean: Any, std: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalisation(kind, mean, std)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 187)), r"\(1, 187\)"),
        (np.zeros(187), r"\(187,\)"),
        (np.full((3, 187), np.nan), "not finite"),
    ],
)
def test_beats_that_cannot_be_fitted_are_refused(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_normalisation("per_sample", x)


def test_an_unknown_kind_is_refused_when_fitting() -> None:
    unknown: Any = "minmax"
    with pytest.raises(ValueError, match="'minmax' is unknown"):
        fit_normalisation(unknown, beats(5))
