"""Convolutions of height 1 compute what those along the beat do, pooling of any size included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.train.export.published import published_state
from train.export.conv2d import as_conv2d
from train.model.contextual import ContextEncoder
from train.model.hybrid import HybridECGModel


def doubled(blocks: nn.Sequential, length: int, channels: int) -> None:
    """Both forms agree to the rounding of double precision."""
    flat = as_conv2d(blocks, channels, length).double()
    x = torch.randn(5, channels, length, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(flat(x[:, :, None])[:, :, 0], blocks.eval().double()(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [187, 100, 64])
def test_both_encoders_compute_the_same_in_two_dimensions(length: int) -> None:
    torch.manual_seed(0)
    encoder = ContextEncoder(3, 0, widths=(8, 4, 6, 5))
    for module in encoder.conv_blocks:
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean, module.running_var = torch.randn(module.num_features), torch.rand(module.num_features)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias)
    doubled(encoder.conv_blocks, length, 3)
    published = HybridECGModel(latent_dim=10, n_layers=3, hidden_dims=[24, 20])
    published.load_state_dict(published_state(3))
    doubled(published.encoder.conv_blocks, length, 1)


def test_the_encoder_is_unchanged_and_pools_by_plain_windows() -> None:
    encoder = ContextEncoder(3, 0).train()
    flat = as_conv2d(encoder.conv_blocks, 3, 187)
    assert encoder.training
    assert encoder.conv_blocks[1].training
    assert isinstance(flat[-1], nn.AvgPool2d)
    assert int(encoder.conv_blocks[1].num_batches_tracked) == 0


def test_adaptive_pooling_is_kept_at_any_length_and_number_of_cells() -> None:
    plain = 0
    for length in range(1, 25):
        for cells in range(1, length + 1):
            blocks = nn.Sequential(nn.AdaptiveAvgPool1d(cells))
            doubled(blocks, length, 2)
            plain += isinstance(as_conv2d(blocks, 2, length)[0], nn.AvgPool2d)
    assert plain > 50
