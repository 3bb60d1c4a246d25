"""MADE: output d depends on inputs 1 to d-1, for all widths and degrees."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.model.made import MADE, MaskedLinear, autoregressive_masks, hidden_degrees

torch.set_num_threads(1)  # nets this small are slower on several

dims = st.integers(1, 9)
widths = st.lists(st.integers(1, 20), min_size=1, max_size=3)
seeds = st.none() | st.integers(0, 2**31 - 1)


def made(input_dim: int, hidden_dims: Sequence[int], seed: int | None) -> MADE:
    """MADE in float64, degrees spread evenly (None) or random, weights seeded."""
    torch.manual_seed(0)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return MADE(input_dim, hidden_dims, generator).double()


def jacobians(model: MADE, x: Tensor) -> tuple[Tensor, Tensor]:
    """Jacobians (D, D) of mu and log-sigma at one x (D,)."""
    both = torch.autograd.functional.jacobian(lambda v: torch.stack([p[0] for p in model(v[None])]), x)
    return both[0], both[1]


@given(input_dim=dims, hidden_dims=widths, seed=seeds)
@settings(max_examples=60, deadline=None)
def test_jacobian_is_exactly_zero_on_and_above_the_diagonal(
    input_dim: int, hidden_dims: list[int], seed: int | None
) -> None:
    model = made(input_dim, hidden_dims, seed)
    x = torch.randn(input_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for jacobian in jacobians(model, x):
        assert torch.triu(jacobian).count_nonzero() == 0


@given(input_dim=st.integers(2, 12), extra=st.integers(0, 20), depth=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_evenly_spread_degrees_leave_every_permitted_path_open(input_dim: int, extra: int, depth: int) -> None:
    masks = autoregressive_masks(input_dim, [input_dim - 1 + extra] * depth)
    paths = masks[0]
    for mask in masks[1:]:
        paths = mask @ paths
    below = torch.tril(torch.ones(input_dim, input_dim), diagonal=-1).bool()
    for half in paths.chunk(2):
        assert torch.equal(half > 0, below)


@given(input_dim=dims, units=st.integers(1, 64), seed=seeds)
@settings(deadline=None)
def test_hidden_degrees_lie_between_1_and_d_minus_1(input_dim: int, units: int, seed: int | None) -> None:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    degrees = hidden_degrees(input_dim, units, generator)
    assert degrees.shape == (units,)
    assert degrees.min() >= 1
    assert degrees.max() <= max(1, input_dim - 1)


def test_even_degrees_are_constant_and_random_ones_follow_their_seed() -> None:
    assert torch.equal(hidden_degrees(64, 512), hidden_degrees(64, 512))
    assert set(hidden_degrees(64, 512).tolist()) == set(range(1, 64))
    first, again, other = (hidden_degrees(64, 512, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def mass(mu: Tensor, log_sigma: Tensor, values: Tensor) -> float:
    """Integral over `values` (n,) of the normal density with parameters (n,) that may change over them."""
    density = torch.distributions.Normal(mu, log_sigma.exp()).log_prob(values).exp()
    return float(torch.trapezoid(density, values))


@torch.no_grad()
@given(input_dim=st.integers(1, 6), hidden_dims=widths, seed=seeds)
def test_every_conditional_integrates_to_1(input_dim: int, hidden_dims: list[int], seed: int | None) -> None:
    model, generator = made(input_dim, hidden_dims, seed), torch.Generator().manual_seed(1)
    values = torch.linspace(-40, 40, 4001, dtype=torch.float64)
    for d in range(input_dim):
        x = torch.randn(input_dim, dtype=torch.float64, generator=generator).repeat(len(values), 1)
        x[:, d:] = torch.randn(len(values), input_dim - d, dtype=torch.float64, generator=generator)  # unused
        x[:, d] = values
        mu, log_sigma = model(x)
        assert mass(mu[:, d], log_sigma[:, d], values) == pytest.approx(1.0, abs=1e-6)


@torch.no_grad()
def test_without_masks_a_conditional_does_not_integrate_to_1() -> None:
    model, values = made(2, [16], None), torch.linspace(-40, 40, 4001, dtype=torch.float64)
    for layer in model.masked_layers():
        layer.mask.fill_(1)
        layer.weight.mul_(2)
    mu, log_sigma = model(torch.stack([torch.zeros_like(values), values], dim=1))
    assert abs(mass(mu[:, 1], log_sigma[:, 1], values) - 1) > 0.05


def test_the_first_output_is_constant_and_the_last_depends_on_all_earlier_inputs() -> None:
    model = made(6, [32, 32], None)
    x = torch.randn(50, 6, dtype=torch.float64)
    mu, log_sigma = model(x)
    assert mu.shape == log_sigma.shape == (50, 6)
    assert torch.equal(mu[:, 0], mu[:1, 0].expand(50))
    assert torch.equal(log_sigma[:, 0], log_sigma[:1, 0].expand(50))
    reach = sum(jacobians(model, row)[0][5].abs() for row in x)
    assert (reach[:5] > 0).all()


def test_one_dimension_has_free_constants_that_can_be_learnt() -> None:
    model = made(1, [4], None)
    x = torch.randn(8, 1, dtype=torch.float64)
    mu, log_sigma = model(x)
    assert mu.std() == 0
    assert log_sigma.std() == 0
    (mu.sum() + log_sigma.sum()).backward()
    assert (model.masked_layers()[-1].bias.grad != 0).all()


def test_training_never_opens_a_masked_connection() -> None:
    model = made(5, [16, 16], 3)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    x = torch.randn(64, 5, dtype=torch.float64)
    for _ in range(20):
        optimiser.zero_grad()
        mu, log_sigma = model(x)
        ((x - mu).square().mean() + log_sigma.square().mean()).backward()
        optimiser.step()
    for jacobian in jacobians(model, x[0]):
        assert torch.triu(jacobian).count_nonzero() == 0


def test_state_dict_has_the_published_names_and_contains_the_masks() -> None:
    state = MADE(4, [8, 8]).state_dict()
    expected = {f"network.{i}.{part}" for i in (0, 2, 4) for part in ("weight", "bias", "mask")}
    assert set(state) == expected
    assert state["network.4.mask"].shape == (8, 8)


def test_a_masked_weight_has_neither_effect_nor_gradient() -> None:
    layer = MaskedLinear(3, 2, torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    x = torch.randn(4, 3)
    before = layer(x)
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None
    assert torch.equal(layer.weight.grad != 0, layer.mask == 1)
    with torch.no_grad():
        layer.weight[layer.mask == 0] = 1e6
    assert torch.equal(layer(x), before)


@pytest.mark.parametrize(
    ("input_dim", "hidden_dims", "named"), [(0, [8], "input_dim is 0"), (4, [], r"\[\]"), (4, [8, 0], r"\[8, 0\]")]
)
def test_sizes_out_of_range_are_refused(input_dim: int, hidden_dims: list[int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        MADE(input_dim, hidden_dims)
