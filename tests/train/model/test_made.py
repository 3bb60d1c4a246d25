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


def test_even_degrees_are_constant_and_random_ones_follow_their_seed() -> None:
    assert torch.equal(hidden_degrees(64, 512), hidden_degrees(64, 512))
    assert set(hidden_degrees(64, 512).tolist()) == set(range(1, 64))
    first, again, other = (hidden_degrees(64, 512, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_dimension_has_free_constants_that_can_be_learnt() -> None:
    model = made(1, [4], None)
    x = torch.randn(8, 1, dtype=torch.float64)
    mu, log_sigma = model(x)
    assert mu.std() == 0
    assert log_sigma.std() == 0
    (mu.sum() + log_sigma.sum()).backward()
    assert (model.masked_layers()[-1].bias.grad != 0).all()


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
