"""Encoder and decoder: shapes, refusals, and that the pair can learn a beat."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from train.model.encoder import ECGDecoder, ECGEncoder

torch.set_num_threads(1)  # nets this small are slower on several


@pytest.mark.parametrize(("input_len", "latent_dim"), [(187, 64), (187, 1), (8, 3), (375, 16)])
def test_sizes_of_features_and_reconstruction(input_len: int, latent_dim: int) -> None:
    encoder, decoder = ECGEncoder(input_len, latent_dim).eval(), ECGDecoder(latent_dim, input_len)
    features = encoder(torch.randn(5, input_len))
    assert features.shape == (5, latent_dim)
    assert decoder(features).shape == (5, input_len)
    assert encoder(torch.randn(0, input_len)).shape == (0, latent_dim)


@pytest.mark.parametrize("shape", [(187,), (3, 186), (3, 1, 187)])
def test_beats_of_another_shape_are_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(n, 187\) is needed"):
        ECGEncoder()(torch.zeros(shape))


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="input_len is 7"):
        ECGEncoder(7)
    with pytest.raises(ValueError, match="latent_dim is 0"):
        ECGEncoder(187, 0)


@pytest.mark.slow
def test_encoder_and_decoder_learn_to_reconstruct_beats() -> None:
    torch.manual_seed(0)
    t = torch.arange(187) / 125.0
    centre = 0.4 + 0.3 * torch.rand(64, 1)
    height = 0.5 + torch.rand(64, 1)
    beats = height * torch.exp(-(((t - centre) / 0.05) ** 2))  # bumps whose place and height differ
    encoder, decoder = ECGEncoder(latent_dim=8, dropout=0.0), ECGDecoder(8)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 300)  # at a constant rate the last loss is chance
    for _ in range(300):
        optimiser.zero_grad()
        loss = functional.mse_loss(decoder(encoder(beats)), beats)
        loss.backward()
        optimiser.step()
        schedule.step()
    mean_only = functional.mse_loss(beats.mean(dim=0).expand_as(beats), beats)
    assert loss.item() < 0.3 * mean_only.item()
