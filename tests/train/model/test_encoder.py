"""Encoder and decoder: shapes, names, refusals, and that the pair can learn a beat."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from train.model.encoder import ECGDecoder, ECGEncoder

torch.set_num_threads(1)  # nets this small are slower on several


def test_parameters_have_the_published_names_and_shapes() -> None:
    shapes = {key: tuple(value.shape) for key, value in ECGEncoder().state_dict().items()}
    assert shapes["conv_blocks.0.weight"] == (16, 1, 7)
    assert shapes["conv_blocks.4.weight"] == (32, 16, 5)
    assert shapes["conv_blocks.8.weight"] == (64, 32, 3)
    assert shapes["fc.1.weight"] == (128, 128)
    assert shapes["fc.4.weight"] == (64, 128)
    assert {key.rsplit(".", 1)[0] for key in shapes} == {
        *(f"conv_blocks.{i}" for i in (0, 1, 4, 5, 8, 9)),
        "fc.1",
        "fc.4",
    }


@pytest.mark.parametrize(("input_len", "latent_dim"), [(187, 64), (187, 1), (8, 3), (375, 16)])
def test_features_and_reconstruction_have_the_asked_for_sizes(input_len: int, latent_dim: int) -> None:
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


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    encoder, beats = ECGEncoder(dropout=0.5), torch.randn(4, 187)
    assert not torch.equal(encoder(beats), encoder(beats))
    encoder.eval()
    assert torch.equal(encoder(beats), encoder(beats))


@pytest.mark.slow
def test_encoder_and_decoder_learn_to_reconstruct_beats() -> None:
    torch.manual_seed(0)
    t = torch.arange(187) / 125.0
    centre = 0.4 + 0.3 * torch.rand(64, 1)
    height = 0.5 + torch.rand(64, 1)
    beats = height * torch.exp(-(((t - centre) / 0.05) ** 2))  # bumps whose place and height differ
    encoder, decoder = ECGEncoder(latent_dim=8, dropout=0.0), ECGDecoder(8)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        loss = functional.mse_loss(decoder(encoder(beats)), beats)
        loss.backward()
        optimiser.step()
    mean_only = functional.mse_loss(beats.mean(dim=0).expand_as(beats), beats)
    assert loss.item() < 0.3 * mean_only.item()
