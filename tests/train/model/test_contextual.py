"""Our model: exact density of the features, a score that is the sum of its terms, and a beat's own context."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.train.helpers import patients, public_beats, random_model, stream_beats
from train.fit.checkpoint import contextual_scores, contextual_terms
from train.model.contextual import SURPRISE_MAX, ContextEncoder, ContextualECGModel, input_named

Inputs = tuple[Tensor, ...]


def inputs(n: int = 40) -> Inputs:
    """Beats of several patients, the first ones of each without context."""
    beats = stream_beats()
    assert beats.contexts is not None
    rows = np.random.default_rng(0).permutation(len(beats))[:n]
    return tuple(torch.from_numpy(a[rows]) for a in (beats.beats, beats.contexts.templates, beats.contexts.values))


@torch.no_grad()
@pytest.mark.parametrize("view", ["patient", "lone"])
def test_log_p_and_score_are_made_of_the_terms(view: str) -> None:
    model = random_model(view)
    given_to = inputs() if view == "patient" else (torch.from_numpy(public_beats(40).beats),)
    log_prob, score = model(*given_to)
    terms = model.terms(*given_to)
    assert terms.shape == (40, len(model.term_names()))
    assert torch.equal(log_prob, -terms[:, 0])
    assert torch.equal(model.log_prob(*given_to), log_prob)
    expected = np.zeros(40)
    for k, weight in enumerate([0.5, 1.0, 1.0, 1.0, 1.0][: terms.shape[1]]):
        counted = terms[:, k].numpy().clip(max=SURPRISE_MAX if k == 0 else None)
        expected += weight * (counted - float(model.centre[k])) / float(model.unit[k])
    np.testing.assert_allclose(score.numpy(), expected, rtol=1e-4, atol=1e-4)
    assert log_prob.std() > 0.1
    assert score.std() > 0.1


@torch.no_grad()
def test_a_far_out_log_p_counts_up_to_its_bound() -> None:
    model = random_model("patient")
    far = torch.tensor([[SURPRISE_MAX, 1.0, 2.0, 3.0, 4.0], [80_000.0, 1.0, 2.0, 3.0, 4.0]])
    at_bound, beyond = model.score_terms(far).tolist()
    assert at_bound == beyond
    assert model.score_terms(far - 200.0 * torch.eye(5)[0])[0] < at_bound
    assert "highest" not in model.state_dict()  # weights of earlier runs load


def test_terms_have_names_in_their_order() -> None:
    assert random_model("patient").term_names() == [
        *("likelihood", "log_odds", "lone_log_odds"),
        *("template", "steady"),
    ]
    assert random_model("lone").term_names() == ["likelihood", "log_odds"]


@torch.no_grad()
def test_the_lone_log_odds_are_those_without_context() -> None:
    model, (beats, templates, values) = random_model(), inputs()
    unknown = values.clone()
    unknown[:, 1:] = torch.nan  # the beat's own interval stays
    terms, forgotten = (
        model.terms(beats, templates, values),
        model.terms(beats, templates * torch.nan, unknown),
    )
    log_odds, lone = model.term_names().index("log_odds"), model.term_names().index("lone_log_odds")
    assert torch.equal(terms[:, lone], forgotten[:, lone])
    assert torch.equal(forgotten[:, log_odds], forgotten[:, lone])
    assert not torch.equal(terms[:, log_odds], terms[:, lone])


@torch.no_grad()
def test_log_p_is_the_flow_on_standardised_features() -> None:
    model, (beats, templates, values) = random_model().double(), inputs()
    arrays = beats.double(), templates.double(), values.double()
    signals, numbers, _ = model.beat_input(*arrays)
    features = model.encoder(signals, numbers)
    standardised = (features - model.feature_mean) / model.feature_std
    torch.testing.assert_close(model.log_prob(*arrays), model.maf.log_prob(standardised))
    # The same up to a constant as the density of the features themselves.
    jacobian = torch.autograd.functional.jacobian(lambda row: model.standardised(row[None])[0], features[0])
    assert torch.linalg.slogdet(jacobian).logabsdet == pytest.approx(-model.feature_std.log().sum().item())


@torch.no_grad()
def test_the_density_of_the_features_integrates_to_1() -> None:
    model = random_model(latent_dim=2).double()
    spread = 12 * model.feature_std
    axes = [torch.linspace(float(m - s), float(m + s), 501) for m, s in zip(model.feature_mean, spread, strict=True)]
    grid = torch.cartesian_prod(*axes).double()
    area = float((axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0]))
    density = torch.exp(model.maf.log_prob(model.standardised(grid)) - model.feature_std.log().sum())
    assert float(density.sum() * area) == pytest.approx(1.0, abs=2e-3)


@torch.no_grad()
@given(row=st.integers(0, 39), seed=st.integers(0, 100))
@settings(max_examples=15)
def test_a_score_depends_on_the_beats_own_context_only(row: int, seed: int) -> None:
    model, (beats, templates, values) = random_model(), inputs()
    before = torch.stack(model(beats, templates, values))
    others = torch.arange(40) != row
    rng = torch.Generator().manual_seed(seed)
    templates, values = templates.clone(), values.clone()
    templates[row] = torch.randn(2, 187, generator=rng)
    values[row] = 0.5 + torch.rand(8, generator=rng)
    after = torch.stack(model(beats, templates, values))
    assert torch.equal(after[:, others], before[:, others])
    assert not torch.equal(after[:, row], before[:, row])
    alone = torch.stack(model(beats[row : row + 1], templates[row : row + 1], values[row : row + 1]))
    torch.testing.assert_close(alone[:, 0], after[:, row], rtol=1e-4, atol=1e-4)


@torch.no_grad()
@given(unknown=st.lists(st.integers(0, 7), max_size=8), templates_known=st.booleans())
@settings(max_examples=15)
def test_scores_are_finite_with_any_part_unknown(unknown: list[int], templates_known: bool) -> None:
    model, (beats, templates, values) = random_model(), inputs()
    values = values.clone()
    values[:, unknown] = torch.nan
    if not templates_known:  # then there is no amplitude either: both come with the eighth beat
        templates, values[:, 6] = torch.full_like(templates, torch.nan), torch.nan
    log_prob, score = model(beats, templates, values)
    assert torch.isfinite(log_prob).all()
    assert torch.isfinite(score).all()


@torch.no_grad()
def test_scores_in_batches_are_those_of_the_model() -> None:
    beats, model = patients(records=8, beats=150), random_model()  # more than one batch
    scores = contextual_scores(model, beats.beats, beats.contexts)
    assert beats.contexts is not None
    arrays = (beats.beats, beats.contexts.templates, beats.contexts.values)
    log_prob, score = model(*(torch.from_numpy(array) for array in arrays))
    np.testing.assert_allclose(scores.log_prob, log_prob.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scores.score, score.numpy(), rtol=1e-4, atol=1e-4)
    assert contextual_terms(model, beats.beats[:0], beats.contexts.rows(np.arange(0))).shape == (0, 5)


def test_dropout_and_batch_statistics_act_in_training_only() -> None:
    model, given_to = random_model(), inputs()
    assert torch.equal(model.log_prob(*given_to), model.log_prob(*given_to))
    model.train()
    assert not torch.equal(model.log_prob(*given_to), model.log_prob(*given_to))


@pytest.mark.parametrize(("channels", "numbers"), [(3, 11), (2, 0), (1, 4)])
def test_the_encoder_takes_signals_and_numbers(channels: int, numbers: int) -> None:
    encoder = ContextEncoder(channels, numbers, latent_dim=5, widths=(4, 6, 8, 10), hidden=12).eval()
    signals, beside = torch.randn(7, channels, 187), torch.randn(7, numbers)
    features = encoder(signals, beside)
    assert features.shape == (7, 5)
    if numbers:
        assert not torch.equal(encoder(signals, beside + 1), features)
    with pytest.raises(ValueError, match=r"widths is \[4, 4\]; four are needed"):
        ContextEncoder(1, 0, widths=(4, 4))


def test_a_state_dict_contains_everything_for_scoring() -> None:
    model, other, given_to = random_model(), random_model(seed=1), inputs()
    assert not torch.equal(other(*given_to)[1], model(*given_to)[1])
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(*given_to)[0], model(*given_to)[0])
    assert torch.equal(other(*given_to)[1], model(*given_to)[1])


def test_the_weight_of_the_likelihood_is_configured() -> None:
    model = ContextualECGModel(input_named("patient"), 4, 1, (8,), (4, 4, 4, 4), 8, likelihood_weight=0.25)
    assert model.weight.tolist() == [0.25, 1, 1, 1, 1]
