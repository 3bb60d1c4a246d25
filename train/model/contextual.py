"""Our model: an encoder that sees the beat beside its patient, a flow over its features, one score of it all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from train.model.encoder import ECGDecoder
from train.model.inputs import BeatInput, LoneView, PatientView
from train.model.maf import MAF

__all__ = ["ContextEncoder", "ContextualECGModel", "PretrainingHeads", "view_named"]

_POOLED: Final = 8  # cells along the beat that the dense layers see: P, QRS, ST, T and so on stay apart
_VIEWS: Final[dict[str, type[BeatInput]]] = {"lone": LoneView, "patient": PatientView}


def view_named(name: str) -> BeatInput:
    """The view `lone` (beats alone) or `patient` (beats beside the patient's).

    Raises:
        ValueError: no such view.
    """
    if name not in _VIEWS:
        raise ValueError(f"view {name!r} is not known; one of {', '.join(_VIEWS)}")
    return _VIEWS[name]()


class ContextEncoder(nn.Module):
    """Four convolutions and two dense layers: signals (n, C, 187) and numbers (n, R) to features (n, D).

    Strides, not pooling, in the first two: the signal ends at 40 Hz, and a pool would cost half the time.

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
    """What stage 1 asks of the features, besides the log-odds: which perturbation, which patient, which beat.

    Args:
        latent_dim: D.
        families: of synthetic anomalies.
        patients: among the training normals; 1 = do not ask.
    """

    def __init__(self, latent_dim: int, families: int, patients: int) -> None:
        super().__init__()
        self.family = nn.Sequential(nn.ReLU(), nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, families + 1))
        self.patient = nn.Linear(latent_dim, patients)
        self.decoder = ECGDecoder(latent_dim)


class ContextualECGModel(nn.Module):
    """Log-likelihood of a beat under a density of normal beats of such a patient, and a score of all evidence.

    log p is exact: the flow's density of the encoder's features, which are those of the beat beside its patient.
    The score adds to -log p what a density of many features sees badly: the log-odds of a synthetic anomaly, which
    the encoder was trained to tell, and the template scores of the view. Each term counts in units of its own
    spread among training normals (from their median to their 99 % quantile). Beside a patient's own beats the encoder
    looks at differences, so the log-odds are taken once more as if the patient were not known: what is usual for the
    patient is not always normal.

    Args:
        view: how beats are shown.
        latent_dim: features, D of the flow.
        n_layers: flow layers.
        hidden_dims: widths of the hidden layers of each MADE.
        widths, hidden, dropout: see `ContextEncoder`.
        likelihood_weight: of -log p in the score; the other terms weigh 1.

    Attributes:
        feature_mean, feature_std: (D,) of training normals: the flow sees standardised features.
        centre, unit, weight: (T,) of the terms, see `term_names`.
    """

    feature_mean: Tensor
    feature_std: Tensor
    centre: Tensor
    unit: Tensor
    weight: Tensor

    def __init__(
        self,
        view: BeatInput,
        latent_dim: int = 64,
        n_layers: int = 8,
        hidden_dims: Sequence[int] = (256, 256),
        widths: Sequence[int] = (32, 48, 64, 96),
        hidden: int = 192,
        dropout: float = 0.2,
        likelihood_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.view = view
        self.encoder = ContextEncoder(view.channels, view.numbers, latent_dim, widths, hidden, dropout)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 1))
        self.maf = MAF(latent_dim, n_layers, hidden_dims)
        terms = len(self.term_names())
        self.register_buffer("feature_mean", torch.zeros(latent_dim))
        self.register_buffer("feature_std", torch.ones(latent_dim))
        self.register_buffer("centre", torch.zeros(terms))
        self.register_buffer("unit", torch.ones(terms))
        self.register_buffer("weight", torch.tensor([likelihood_weight] + [1.0] * (terms - 1)))

    def term_names(self) -> list[str]:
        """Names of the terms of the score, in their order."""
        lone = ["lone_log_odds"] if isinstance(self.view, PatientView) else []
        return ["likelihood", "log_odds", *lone, *self.view.evidence]

    def standardised(self, features: Tensor) -> Tensor:
        """Features (n, D) as the flow sees them: mean 0 and deviation 1 over training normals."""
        return (features - self.feature_mean) / self.feature_std

    def terms(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Tensor:
        """The terms of the score, each higher = more anomalous, in their own units: (n, T)."""
        signals, numbers, evidence = self.view(beats, templates, values)
        features = self.encoder(signals, numbers)
        surprise = -self.maf.log_prob(self.standardised(features))
        return torch.cat((surprise[:, None], *self.log_odds(features, beats, templates, values), evidence), dim=1)

    def log_odds(
        self, features: Tensor, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None
    ) -> list[Tensor]:
        """Log-odds (n, 1) of a synthetic anomaly, by the features and, for a patient's beat, without its context."""
        found: list[Tensor] = [self.head(features)]
        if isinstance(self.view, PatientView) and values is not None:
            signals, numbers, _ = self.view(beats, templates, self.view.without_context(values))
            found.append(self.head(self.encoder(signals, numbers)))
        return found

    def log_prob(self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None) -> Tensor:
        """Exact log density of the standardised features, (n,), nats; higher = more normal. Call `eval()` first."""
        return -self.terms(beats, templates, values)[:, 0]

    def score_terms(self, terms: Tensor) -> Tensor:
        """Score (n,) of terms (n, T): higher = more anomalous."""
        # A product, not a sum over a short row, whose last bit would depend on the beats beside it (onnxruntime).
        return ((terms - self.centre) / self.unit @ self.weight[:, None])[:, 0]

    def forward(
        self, beats: Tensor, templates: Tensor | None = None, values: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score beats; see `train.model.inputs` for the inputs. Call `eval()` first.

        Returns:
            log p (n,), nats, higher = more normal; score (n,), higher = more anomalous.
        """
        terms = self.terms(beats, templates, values)
        return -terms[:, 0], self.score_terms(terms)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n standardised feature vectors (n, D) from the density (the encoder has no inverse: no beats)."""
        return self.maf.sample(n, generator)
