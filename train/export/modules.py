"""What an ONNX file computes, as torch modules: raw beats in, scores out, nothing left that only training needs."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector import BEAT_SAMPLES
from train.export.conv2d import flattened
from train.model.contextual import ContextualECGModel
from train.model.hybrid import HybridECGModel
from train.model.inputs import PatientView
from train.model.maf import LOG_SIGMA_MAX, MAF, MAFLayer
from train.model.normalise import Normalisation, Normalise

__all__ = ["ExportError", "ExportedContextual", "ExportedScorer"]

# onnxruntime sums a row in an order that depends on the row's alignment in memory, so with 10 features the
# last bit of a score would depend on the beats beside it (measured: up to 2e-6). Rows of whole vector
# registers are all aligned alike; then a beat's score is the same bits in any batch.
_SUM_LANES = 16


class ExportError(ValueError):
    """The model cannot be exported as asked, or what was written does not score as torch does. One line."""


def _folded_made(layer: MAFLayer) -> nn.Sequential:
    """MADE of a flow layer as plain dense layers in the data's own order.

    Weight times mask is a constant, and reversing the input and the output of the MADE is permuting the
    columns of its first weight and the rows of its last: both cost nothing at run time and leave the masks
    out of the file.
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
    """What the ONNX file computes: beats (n, L) float32, unit of the beat definition -> log p (n,), nats.

    Same function as Normalise followed by HybridECGModel.log_prob, for inference only.

    Args:
        model: is copied; may be in training mode or on another device.
        normalisation: its length must be the model's.

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
        self.conv_blocks = flattened(model.encoder.conv_blocks, 1, model.encoder.input_len)
        self.fc = model.encoder.fc
        self.flow = _FoldedFlow(model.maf)
        self.eval()

    def forward(self, beats: Tensor) -> Tensor:
        """Log p (n,) of raw beats (n, L)."""
        log_prob: Tensor = self.flow(self.fc(self.conv_blocks(self.normalise(beats)[:, None, None])))
        return log_prob


class ExportedContextual(nn.Module):
    """What the ONNX file of a contextual model computes: beats and contexts -> log p (n,), nats, and score (n,).

    Same function as `ContextualECGModel.forward`, for inference only. A patient's beats are encoded with and without
    their context in one go.

    Args:
        model: is copied; may be in training mode or on another device.
    """

    def __init__(self, model: ContextualECGModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).float().cpu().eval()
        self.conv_blocks = flattened(self.model.encoder.conv_blocks, model.view.channels, BEAT_SAMPLES)
        self.flow = _FoldedFlow(self.model.maf)
        self.eval()

    def forward(self, beats: Tensor, *contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Log p and score, (n,) each; see `train.model.inputs` for the inputs."""
        model, view = self.model, self.model.view
        signals, numbers, evidence = (view.both_looks if isinstance(view, PatientView) else view)(beats, *contexts)
        cells = self.conv_blocks(signals[:, :, None]).flatten(1)
        features = model.encoder.fc(torch.cat((cells, numbers), dim=1))
        log_odds = model.head(features)
        if isinstance(view, PatientView):  # the second look speaks in the log-odds only
            features = features.reshape(2, -1, features.shape[1])[0]
            log_odds = log_odds.reshape(2, -1).T
        log_prob = self.flow(model.standardised(features))
        terms = torch.cat((-log_prob[:, None], log_odds, evidence), dim=1)
        return log_prob, model.score_terms(terms)
