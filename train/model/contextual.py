"""Our model: an encoder of the beat relative to its patient, a flow over its features, one score of all evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from train.model.encoder import ECGDecoder
from train.model.inputs import BeatInput, LoneInput, PatientInput
from train.model.maf import MAF

__all__ = ["SURPRISE_MAX", "ContextEncoder", "ContextualECGModel", "PretrainingHeads", "input_named"]

# Largest -log p that counts in the score, nats. Normal beats of DS1 reach 115, all but 15 of its 3,629 ventricular ones
# 300. Above it the flow extrapolates: an early, narrow atrial beat after a pause of 2.3 s (201) has -log p = 77,369,
# because each of the eight layers divides by a spread that it learned for other intervals.
SURPRISE_MAX: Final = 300.0

_POOLED: Final = 8  # cells along the beat before the dense layers: P, QRS, ST and T stay separate
_INPUTS: Final[dict[str, type[BeatInput]]] = {"lone": LoneInput, "patient": PatientInput}


def input_named(name: str) -> BeatInput:
    """The encoder input `lone` (beats alone) or `patient` (beats relative to the patient).

    Raises:
        ValueError: unknown name.
    """
    if name not in _INPUTS:
        raise ValueError(f"beat input {name!r} is unknown; one of {', '.join(_INPUTS)}")
    return _INPUTS[name]()


class ContextEncoder(nn.Module):
    """Four convolutions and two dense layers: signals (n, C, 187) and numbers (n, R) to features (n, D).

    The first two use strides instead of pooling: the signal ends at 40 Hz, and a pool would cost half the time.

    Args:
        channels: C.
        numbers: R, joined before the dense layers; may be 0.
        latent_dim: D.
        widths: channels of the four convolutions.
        hidden: units between the dense layers.
        dropout: of those units, in training mode only.

    Raises:
        ValueError: not four widths.
    """

    def __init__(
        self,
        channels: int,
        numbers: int,
        latent_dim: int = 64,
        widths: Sequence[int] = (32, 48, 64, 96),
        hidden: int = 192,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"widths is {list(widths)}; four are needed, one a convolution")
        a, b, c, d = widths
        self.latent_dim = latent_dim
        self.conv_blocks = nn.Sequential(  # (n, C, 187)
            *_block(channels, a, 9, stride=2),  # (n, a, 94)
            *_block(a, b, 7, stride=2),  # (n, b, 47)
            *_block(b, c, 5),
            *_block(c, d, 5),
            nn.MaxPool1d(2),  # (n, d, 23)
            nn.AdaptiveAvgPool1d(_POOLED),  # (n, d, 8)
        )
        self.fc = nn.Sequential(
            nn.Linear(d * _POOLED + numbers, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, latent_dim)
        )

    def forward(self, signals: Tensor, numbers: Tensor) -> Tensor:
        """Features (n, D)."""
        features: Tensor = self.fc(torch.cat((self.conv_blocks(signals).flatten(1), numbers), dim=1))
        return features


def _block(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv1d(channels, width, kernel, stride=stride, padding=kernel // 2)
    return [convolution, nn.BatchNorm1d(width), nn.ReLU()]


class PretrainingHeads(nn.Module):
    """Further outputs of stage 1, besides the log-odds: perturbation family, patient, and the beat itself.

    Args:
        latent_dim: D.
        families: number of families of synthetic anomalies.
        patients: number of patients among the training normals; 1 = no patient loss.
    """

    def __init__(self, latent_dim: int, families: int, patients: int) -> None:
        super().__init__()
        self.family = nn.Sequential(nn.ReLU(), nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, families + 1))
        self.patient = nn.Linear(latent_dim, patients)
        self.decoder = ECGDecoder(latent_dim)


class ContextualECGModel(nn.Module):
    """Log-likelihood of a beat under a density of normal beats, given its patient, and a score of all evidence.

    log p is exact: the density, by the flow, of the encoder's features of the beat relative to its patient. The score
    adds evidence that a density of many features misses: the log-odds of a synthetic anomaly, for which the encoder was
    trained, and the template scores of the input. Each term is in units of its own spread among training normals
    (median to 99 % quantile), and -log p counts up to SURPRISE_MAX. With a known patient the encoder sees differences
    only. The log-odds are therefore computed a second time without context, because a patient's usual beat is not
    always normal.

    Args:
        beat_input: prepares beats for the encoder.
        latent_dim: features, D of the flow.
        n_layers: flow layers.
        hidden_dims: widths of the hidden layers of each MADE.
        widths, hidden, dropout: see `ContextEncoder`.
        likelihood_weight: weight of -log p in the score; the other terms have weight 1.

    Attributes:
        feature_mean, feature_std: (D,) of training normals; the flow takes standardised features.
        centre, unit, weight: (T,) of the terms, see `term_names`.
        highest: (T,) largest value of a term that counts.
    """

    feature_mean: Tensor
    feature_std: Tensor
    centre: Tensor
    unit: Tensor
    weight: Tensor
    highest: Tensor

    def __init__(
        self,
        beat_input: BeatInput,
        latent_dim: int = 64,
        n_layers: int = 8,
        hidden_dims: Sequence[int] = (256, 256),
        widths: Sequence[int] = (32, 48, 64, 96),
        hidden: int = 192,
        dropout: float = 0.2,
        likelihood_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.beat_input = beat_input
        self.encoder = ContextEncoder(beat_input.channels, beat_input.numbers, latent_dim, widths, hidden, dropout)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 1))
        self.maf = MAF(latent_dim, n_layers, hidden_dims)
        terms = len(self.term_names())
        self.register_buffer("feature_mean", torch.zeros(latent_dim))
        self.register_buffer("feature_std", torch.ones(latent_dim))
        self.register_buffer("centre", torch.zeros(terms))
        self.register_buffer("unit", torch.ones(terms))
        self.register_buffer("weight", torch.tensor([likelihood_weight] + [1.0] * (terms - 1)))
        self.register_buffer("highest", torch.tensor([SURPRISE_MAX] + [torch.inf] * (terms - 1)), persistent=False)

    def term_names(self) -> list[str]:
        """Names of the terms of the score, in order."""
        lone = ["lone_log_odds"] if isinstance(self.beat_input, PatientInput) else []
        return ["likelihood", "log_odds", *lone, *self.beat_input.evidence]

    def standardised(self, features: Tensor) -> Tensor:
        """Features (n, D) for the flow: mean 0 and standard deviation 1 over training normals."""
        return (features - self.feature_mean) / self.feature_std

    def terms(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Tensor:
        """The terms of the score, each higher = more anomalous, in their own units: (n, T)."""
        signals, numbers, evidence = self.beat_input(beats, templates, values)
        features = self.encoder(signals, numbers)
        surprise = -self.maf.log_prob(self.standardised(features))
        return torch.cat((surprise[:, None], *self.log_odds(features, beats, templates, values), evidence), dim=1)

    def log_odds(
        self, features: Tensor, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None
    ) -> list[Tensor]:
        """Log-odds (n, 1) of a synthetic anomaly: from the features and, for a patient, again without context."""
        found: list[Tensor] = [self.head(features)]
        if isinstance(self.beat_input, PatientInput) and values is not None:
            signals, numbers, _ = self.beat_input(beats, templates, self.beat_input.without_context(values))
            found.append(self.head(self.encoder(signals, numbers)))
        return found

    def log_prob(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Tensor:
        """Exact log density of the standardised features, (n,), nats; higher = more normal. Call `eval()` first."""
        return -self.terms(beats, templates, values)[:, 0]

    def score_terms(self, terms: Tensor) -> Tensor:
        """Score (n,) of terms (n, T): higher = more anomalous."""
        # A product, not a sum over a short row: in onnxruntime its last bit would depend on the rest of the batch.
        return ((terms.minimum(self.highest) - self.centre) / self.unit @ self.weight[:, None])[:, 0]

    def forward(
        self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score beats; see `train.model.inputs` for the inputs. Call `eval()` first.

        Returns:
            log p (n,), nats, higher = more normal; score (n,), higher = more anomalous.
        """
        terms = self.terms(beats, templates, values)
        return -terms[:, 0], self.score_terms(terms)
