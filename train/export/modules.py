"""The computation of an ONNX file as torch modules: raw beats in, scores out, without the parts for training."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector import BEAT_SAMPLES
from train.errors import ExportError
from train.export.conv2d import as_conv2d
from train.model.contextual import ContextualECGModel
from train.model.hybrid import HybridECGModel
from train.model.inputs import PatientInput
from train.model.maf import LOG_SIGMA_MAX, MAF, MAFLayer
from train.model.normalise import Normalisation, Normalise

__all__ = ["ExportedContextual", "ExportedScorer"]

# onnxruntime sums a row in an order that depends on the row's alignment in memory. With 10 features the last bit of
# a score would depend on the other beats of the batch (measured: up to 2e-6). Rows padded to whole vector registers
# all have the same alignment, so a beat's score has the same bits in any batch.
_SUM_LANES = 16


def _folded_made(layer: MAFLayer) -> nn.Sequential:
    """MADE of a flow layer as plain dense layers in the data's own order.

    Weight times mask is a constant. Reversing the input and the output of the MADE permutes the columns of its first
    weight and the rows of its last one. Both cost nothing at run time, and the file needs no masks.
    """
    masked = layer.made.masked_layers()
    modules: list[nn.Module] = []
    for i, source in enumerate(masked):
        weight, bias = source.masked_weight().detach(), source.bias.detach()
        if layer.reverse and i == 0:
            weight = weight.flip(1)
        if layer.reverse and i == len(masked) - 1:
            weight = torch.cat([half.flip(0) for half in weight.chunk(2)])  # mu and log-sigma, each reversed
            bias = torch.cat([half.flip(0) for half in bias.chunk(2)])
        dense = nn.Linear(source.in_features, source.out_features)
        dense.weight = nn.Parameter(weight.clone(), requires_grad=False)
        dense.bias = nn.Parameter(bias.clone(), requires_grad=False)
        modules += [dense, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class _FoldedFlow(nn.Module):
    """A flow for inference only: features (n, D) to log p (n,), masks and reversals folded into the weights."""

    def __init__(self, maf: MAF) -> None:
        super().__init__()
        self.conditionals = nn.ModuleList(_folded_made(layer) for layer in maf.flow_layers())

    def forward(self, z: Tensor) -> Tensor:
        """Log p (n,) of features (n, D)."""
        log_sigmas = []
        for conditional in self.conditionals:
            mu, log_sigma = conditional(z).chunk(2, dim=-1)
            log_sigmas.append(log_sigma.clamp(-LOG_SIGMA_MAX, LOG_SIGMA_MAX))
            z = (z - mu) * torch.exp(-log_sigmas[-1])
        terms = 0.5 * z.square() + sum(log_sigmas[1:], log_sigmas[0])
        terms = functional.pad(terms, (0, -terms.shape[1] % _SUM_LANES))
        return -terms.sum(dim=-1) - 0.5 * z.shape[1] * math.log(2.0 * math.pi)


class ExportedScorer(nn.Module):
    """ONNX graph of the published model: beats (n, L) float32, unit of the beat definition -> log p (n,), nats.

    Same function as `Normalise` followed by `HybridECGModel.log_prob`, for inference only.

    Args:
        model: copied; may be in training mode or on another device.
        normalisation: of the model's input length.

    Raises:
        ExportError: lengths differ.
    """

    def __init__(self, model: HybridECGModel, normalisation: Normalisation) -> None:
        super().__init__()
        if normalisation.mean.size != model.encoder.input_len:
            raise ExportError(
                f"normalisation is for {normalisation.mean.size} samples, the model for {model.encoder.input_len}"
            )
        model = copy.deepcopy(model).float().cpu().eval()
        self.normalise = Normalise(normalisation)
        self.conv_blocks = as_conv2d(model.encoder.conv_blocks, 1, model.encoder.input_len)
        self.fc = model.encoder.fc
        self.flow = _FoldedFlow(model.maf)
        self.eval()

    def forward(self, beats: Tensor) -> Tensor:
        """Log p (n,) of raw beats (n, L)."""
        log_prob: Tensor = self.flow(self.fc(self.conv_blocks(self.normalise(beats)[:, None, None])))
        return log_prob


class ExportedContextual(nn.Module):
    """ONNX graph of a contextual model: beats and contexts -> log p (n,), nats, and score (n,).

    Same function as `ContextualECGModel.forward`, for inference only. Beats are encoded with
    and without their context in one batch.

    Args:
        model: copied; may be in training mode or on another device.
    """

    def __init__(self, model: ContextualECGModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).float().cpu().eval()
        self.conv_blocks = as_conv2d(self.model.encoder.conv_blocks, model.beat_input.channels, BEAT_SAMPLES)
        self.flow = _FoldedFlow(self.model.maf)
        self.eval()

    def forward(self, beats: Tensor, *contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Log p and score, (n,) each; see `train.model.inputs` for the inputs."""
        model, beat_input = self.model, self.model.beat_input
        patient = isinstance(beat_input, PatientInput)
        prepare = beat_input.with_and_without_context if isinstance(beat_input, PatientInput) else beat_input
        signals, numbers, evidence = prepare(beats, *contexts)
        cells = self.conv_blocks(signals[:, :, None]).flatten(1)
        features = model.encoder.fc(torch.cat((cells, numbers), dim=1))
        log_odds = model.head(features)
        if patient:  # without context only the log-odds are used
            features = features.reshape(2, -1, features.shape[1])[0]
            log_odds = log_odds.reshape(2, -1).T
        log_prob = self.flow(model.standardised(features))
        terms = torch.cat((-log_prob[:, None], log_odds, evidence), dim=1)
        return log_prob, model.score_terms(terms)
