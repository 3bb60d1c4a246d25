"""MAF: the density is exact, normalised, invertible, sampled from, and learns."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.model.maf import LOG_SIGMA_MAX, MAF, MAFLayer, standard_normal_log_prob

torch.set_num_threads(1)  # nets this small are slower on several


def flow(input_dim: int, n_layers: int, hidden_dims: list[int], seed: int = 0, gain: float = 2.0) -> MAF:
    """MAF in float64 with random degrees and weights `gain` times those of torch, so that it bends space."""
    torch.manual_seed(seed)
    model = MAF(input_dim, n_layers, hidden_dims, torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(gain)
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


flows = st.builds(
    flow,
    st.integers(1, 6),
    st.integers(1, 4),
    st.lists(st.integers(1, 16), min_size=1, max_size=3),
    st.integers(0, 1000),
)


@given(model=flows, seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_log_det_is_that_of_the_autograd_jacobian(model: MAF, seed: int) -> None:
    x = 2 * normal(3, model.input_dim, seed=seed)
    _, log_det = model(x)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda v: model(v[None])[0][0], x[i])
        sign, expected = torch.linalg.slogdet(jacobian)
        assert sign == 1
        assert log_det[i].item() == pytest.approx(expected.item(), abs=1e-9)


@given(model=flows, seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_inverse_undoes_forward_and_forward_undoes_inverse(model: MAF, seed: int) -> None:
    x = 2 * normal(5, model.input_dim, seed=seed)
    with torch.no_grad():
        z, _ = model(x)
        torch.testing.assert_close(model.inverse(z), x, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(model(model.inverse(x))[0], x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_jacobian_of_a_layer_is_triangular_in_its_direction(reverse: bool) -> None:
    torch.manual_seed(0)
    layer = MAFLayer(6, [32], reverse).double()
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v[None])[0][0], normal(6))
    closed, opened = torch.triu(jacobian, 1), torch.tril(jacobian, -1)
    if reverse:
        closed, opened = opened, closed
    assert closed.count_nonzero() == 0
    assert opened.count_nonzero() > 0


def test_layers_alternate_their_direction_beginning_with_the_natural_one() -> None:
    assert [layer.reverse for layer in MAF(4, 5, [8]).flow_layers()] == [False, True, False, True, False]


def test_log_prob_is_the_change_of_variables() -> None:
    model, x = flow(4, 3, [16]), normal(7, 4)
    z, log_det = model(x)
    base = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=-1)
    torch.testing.assert_close(model.log_prob(x), base + log_det)


def grid(half_width: float, points: int) -> tuple[Tensor, float]:
    """Points (points^2, 2) of a square grid and the area of a cell."""
    axis = torch.linspace(-half_width, half_width, points, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
@torch.no_grad()
def test_density_integrates_to_one(seed: int) -> None:
    model = flow(2, 3, [16, 16], seed, gain=1.5)
    points, area = grid(12.0, 601)
    density = model.log_prob(points).exp()
    assert (density.sum() * area).item() == pytest.approx(1.0, abs=2e-3)
    uniform = torch.full_like(density, 1 / len(density))
    assert not torch.allclose(density, uniform, rtol=0.5)


@torch.no_grad()
def test_samples_have_the_moments_of_the_density() -> None:
    model = flow(2, 3, [16, 16], 0, gain=1.5)
    points, area = grid(12.0, 601)
    weight = model.log_prob(points).exp() * area
    samples = model.sample(40_000, torch.Generator().manual_seed(5))
    for function in (
        lambda x: x[:, 0],
        lambda x: x[:, 1],
        lambda x: x[:, 0] ** 2,
        lambda x: x[:, 1] ** 2,
        lambda x: x[:, 0] * x[:, 1],
        lambda x: torch.sin(x[:, 0]) * x[:, 1].clamp(min=0),
    ):
        drawn = function(samples)
        standard_error = drawn.std().item() / math.sqrt(len(drawn))
        expected = (function(points) * weight).sum().item()
        assert drawn.mean().item() == pytest.approx(expected, abs=4.5 * standard_error + 2e-3)


@torch.enable_grad()
def fit(model: MAF, data: Tensor, steps: int) -> MAF:
    """Maximum likelihood by Adam on random batches."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        batch = data[torch.randint(len(data), (512,), generator=generator)]
        optimiser.zero_grad()
        (-model.log_prob(batch).mean()).backward()
        optimiser.step()
        schedule.step()
    return model


def banana(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """x1 ~ N(0, 1), x2 = x1^2 / 2 + N(0, 1/2): points (n, 2) and their true log density (n,)."""
    e = normal(n, 2, seed=seed)
    x = torch.stack([e[:, 0], 0.5 * e[:, 0] ** 2 + 0.5 * e[:, 1]], dim=1)
    return x, standard_normal_log_prob(e) - math.log(0.5)


def gaussian(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three correlated normal variables: points (n, 3) and their true log density (n,)."""
    mixing = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.7, 0.9, 0.5]], dtype=torch.float64)
    e = normal(n, 3, seed=seed)
    return e @ mixing.T, standard_normal_log_prob(e) - math.log(0.25)


@pytest.mark.slow
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("draw", [banana, gaussian])
def test_training_reaches_a_known_distribution(
    draw: Callable[[int, int], tuple[Tensor, Tensor]], flipped: bool
) -> None:
    (data, _), (unseen, true_log_prob) = draw(20_000, 1), draw(20_000, 2)
    if flipped:  # then only the reversed layer can express the density directly
        data, unseen = data.flip(-1), unseen.flip(-1)
    torch.manual_seed(0)
    model = MAF(data.shape[1], 2, [32, 32]).double()
    with torch.no_grad():
        untrained = (true_log_prob - model.log_prob(unseen)).mean().item()
        fit(model, data, steps=500)
        gap = true_log_prob - model.log_prob(unseen)
    # The mean of the gap estimates the Kullback-Leibler divergence; under 0 there is no density (Gibbs).
    standard_error = gap.std().item() / math.sqrt(len(gap))
    assert -4 * standard_error < gap.mean().item() < 0.03
    assert untrained > 0.5


@pytest.mark.slow
@torch.no_grad()
def test_a_trained_density_integrates_to_1_and_samples_follow_it() -> None:
    data, _ = banana(5000, 1)
    torch.manual_seed(0)
    model = fit(MAF(2, 3, [24]).double(), data, steps=150)
    points, area = grid(16.0, 801)
    weight = model.log_prob(points).exp() * area
    assert weight.sum().item() == pytest.approx(1.0, abs=2e-3)

    # Kolmogorov-Smirnov along four directions: the law in the plane is known by its projections.
    n = 4000
    samples = model.sample(n, torch.Generator().manual_seed(3))
    for angle in (0.0, 0.8, 1.6, 2.4):
        direction = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        at, order = (points @ direction).sort()
        expected = torch.cumsum(weight[order], 0)
        drawn = (samples @ direction).sort().values
        found = expected[torch.searchsorted(at, drawn).clamp(max=len(at) - 1)]
        steps = torch.arange(1, n + 1, dtype=torch.float64) / n
        distance = torch.maximum((found - steps).abs(), (found - steps + 1 / n).abs()).max().item()
        assert distance < 1.63 / math.sqrt(n) + 5e-3, angle  # 1 % level, and the width of a cell
    shifted = model.sample(n, torch.Generator().manual_seed(3))[:, 0].sort().values + 0.2
    at, order = points[:, 0].sort()
    found = torch.cumsum(weight[order], 0)[torch.searchsorted(at, shifted).clamp(max=len(at) - 1)]
    assert (found - steps).abs().max().item() > 1.63 / math.sqrt(n) + 5e-3  # a shift of 0.2 fails the test


def test_log_sigma_is_clamped_both_ways() -> None:
    layer = MAFLayer(3, [8]).double()
    output = layer.made.masked_layers()[-1]
    for bias, bound in ((50.0, LOG_SIGMA_MAX), (-50.0, -LOG_SIGMA_MAX)):
        with torch.no_grad():
            output.weight.zero_()
            output.bias.zero_()
            output.bias[3:] = bias
        x = normal(4, 3)
        z, log_det = layer(x)
        assert log_det.tolist() == pytest.approx([-3 * bound] * 4)
        torch.testing.assert_close(z, x * math.exp(-bound))
        torch.testing.assert_close(layer.inverse(z), x)


def test_a_score_does_not_depend_on_the_other_rows() -> None:
    model, x = flow(5, 4, [32, 32]), normal(20, 5)
    alone = torch.cat([model.log_prob(row[None]) for row in x])
    torch.testing.assert_close(model.log_prob(x), alone, rtol=1e-12, atol=1e-12)
    assert model.log_prob(x[:0]).shape == (0,)


def test_sampling_follows_the_generator() -> None:
    model = flow(3, 2, [8])
    first, again, other = (model.sample(6, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (6, 3)
    assert first.dtype == torch.float64
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert model.sample(0).shape == (0, 3)


def test_no_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="n_layers is 0"):
        MAF(4, 0)
