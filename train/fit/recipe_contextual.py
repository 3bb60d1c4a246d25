"""Our recipe: the encoder learns to recognise synthetic anomalies, then a flow learns the density of its features."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from train.config import FitConfig
from train.data.examples import draw_examples, plain_examples
from train.data.noise_source import NoiseSource
from train.data.perturb import family_names
from train.data.perturb_kaggle import kaggle_family_names, perturb_kaggle
from train.data.records import NormalBeats
from train.fit.checkpoint import contextual_scores, contextual_terms
from train.fit.stage import WATCH_BATCH, Data, Stage, encoder_stage, flow_stage
from train.model.contextual import ContextualECGModel, PretrainingHeads, input_named
from train.model.scores import BeatScores

__all__ = ["ContextualRecipe"]

# Loss weights of stage 1 relative to the cross-entropy of normal against anomaly; fixed in advance.
_FAMILY, _PATIENT, _REBUILD, _SMALL = 0.3, 0.3, 0.3, 1e-3
_SMOOTHING: Final = 0.01  # label smoothing: a normal beat may be mislabelled
_KAGGLE_NOISE: Final = (0.001, 0.03)  # of the beat's height, in 60 % of the beats
_FORGOTTEN: Final = 0.2  # share of beats without context in stage 2: the flow must cover those as well
_UNIT_QUANTILE: Final = 0.99
_FLOW_DRAWS: Final = 1 << 16  # added to the epoch of stage 2, so that both stages draw different beats


class ContextualRecipe:
    """Fit `ContextualECGModel`; see `train.fit.recipe.Recipe`."""

    def __init__(self, fitted: NormalBeats, watched: NormalBeats, config: FitConfig, where: torch.device) -> None:
        self._config, self._where = config, where
        self._fitted, self._watched = fitted, watched
        self._lone = fitted.contexts is None
        noisy = config.recorded_noise > 0 and not self._lone
        self._noise = NoiseSource(config.recorded_noise) if noisy else None
        self._view = "lone" if self._lone else "patient"
        self.model = ContextualECGModel(
            input_named(self._view),
            config.latent_dim,
            config.n_layers,
            config.hidden_dims,
            config.encoder_widths,
            config.encoder_hidden,
            config.dropout,
            config.likelihood_weight,
        )
        # A patient loss helps if the test beats come from the same patients, and hurts on new patients.
        names = np.unique(fitted.records) if self._lone else np.unique(fitted.records)[:1]
        self._patients = {name: k for k, name in enumerate(names.tolist())}
        families = kaggle_family_names() if self._lone else family_names()
        self._heads = PretrainingHeads(config.latent_dim, len(families), len(self._patients))
        self.modules = nn.ModuleDict({"model": self.model, "heads": self._heads}).to(where)

    def first_stage(self) -> Stage:
        """Encoder: normal or synthetic anomaly, perturbation family, patient, and reconstruction of the beat."""
        model, heads, config = self.model, self._heads, self._config
        weight = _PATIENT if len(self._patients) > 1 else 0.0

        def loss(data: Data) -> Tensor:
            beats, templates, values, kinds, patients = data
            signals, numbers, _ = model.beat_input(beats, templates, values)
            features = model.encoder(signals, numbers)
            log_odds, family = model.head(features)[:, 0], heads.family(features)
            rebuilt, patient = heads.decoder(features), heads.patient(features)
            anomalous = (kinds > 0).float() * (1 - 2 * _SMOOTHING) + _SMOOTHING
            total: Tensor = nn.functional.binary_cross_entropy_with_logits(log_odds, anomalous)
            total = total + _FAMILY * nn.functional.cross_entropy(family, kinds)
            total = total + _REBUILD * nn.functional.mse_loss(rebuilt, model.beat_input.decoder_target(signals))
            total = total + _SMALL * features.square().mean()
            normal = kinds == 0
            if weight:  # normal beats only: an anomaly may be half another patient's beat
                patient_loss = nn.functional.cross_entropy(patient, patients, reduction="none") * normal
                total = total + weight * patient_loss.sum() / normal.sum().clamp_min(1)
            return total

        return encoder_stage(
            config,
            nn.ModuleDict({"encoder": model.encoder, "head": model.head, "heads": heads}),
            loss,
            lambda epoch: self._examples(self._fitted, epoch),
            self._examples(self._watched, 0),
            keep_best=False,
        )

    def _examples(self, normals: NormalBeats, epoch: int) -> Data:
        """Normal beats and their anomalies for one epoch; epoch 0 = held-out beats, undisturbed."""
        rng = np.random.default_rng((self._config.seed, epoch))
        if self._config.beats_per_epoch:
            normals = normals.rows(normals.draw(self._config.beats_per_epoch, rng))
        patients = np.array([self._patients.get(name, 0) for name in normals.records.tolist()])
        if self._lone:
            strange, families = perturb_kaggle(normals.beats, rng)
            beats = np.concatenate((normals.beats, strange))
            if epoch:
                low, high = np.log(_KAGGLE_NOISE)
                level = np.exp(rng.uniform(low, high, (len(beats), 1))) * (rng.random((len(beats), 1)) < 0.6)
                beats = beats + np.where(beats > 0, rng.normal(size=beats.shape) * level, 0)
            kinds = np.concatenate((np.zeros(len(normals), np.int64), families + 1))
            nothing = np.zeros((len(beats), 0), np.float32)
            arrays = (beats.astype(np.float32), nothing, nothing, kinds, np.tile(patients, 2))
        else:
            drawn = draw_examples(normals, rng, disturb=epoch > 0, noise=self._noise)
            arrays = (drawn.beats, drawn.templates, drawn.values, drawn.kinds, np.tile(patients, 2))
        return tuple(torch.from_numpy(array).to(self._where) for array in arrays)

    def between(self) -> None:
        """Fix mean and deviation of the features over the fitted normals."""
        features = self._features(self._fitted).double()
        std = features.std(dim=0, correction=0)
        self.model.feature_mean.copy_(features.mean(dim=0))
        self.model.feature_std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    @torch.no_grad()
    def _features(self, normals: NormalBeats) -> Tensor:
        """Features (n, D) of normal beats; 20 % of them, drawn by the seed, without context."""
        self.model.eval()
        arrays = [normals.beats]
        if not self._lone:
            known, unknown = (plain_examples(normals, known=known) for known in (True, False))
            forgotten = np.random.default_rng(self._config.seed).random(len(normals)) < _FORGOTTEN
            arrays.append(np.where(forgotten[:, None, None], unknown.templates, known.templates))
            arrays.append(np.where(forgotten[:, None], unknown.values, known.values))
        parts = []
        for start in range(0, len(normals), WATCH_BATCH):
            batch = (torch.from_numpy(array[start : start + WATCH_BATCH]).to(self._where) for array in arrays)
            signals, numbers, _ = self.model.beat_input(*batch)
            parts.append(self.model.encoder(signals, numbers))
        return torch.cat(parts)

    def second_stage(self) -> Stage:
        """Flow: negative log-likelihood of the standardised features with added noise."""
        config, maf = self._config, self.model.maf
        fitted, watched = (self.model.standardised(self._features(part)) for part in (self._fitted, self._watched))

        def loss(data: Data) -> Tensor:
            (features,) = data
            if maf.training:
                features = features + config.feature_noise * torch.randn_like(features)
            return -maf.log_prob(features).mean()

        def draw(epoch: int) -> Data:
            if not config.beats_per_epoch:
                return (fitted,)
            rng = np.random.default_rng((config.seed, _FLOW_DRAWS + epoch))
            return (fitted[torch.from_numpy(self._fitted.draw(config.beats_per_epoch, rng)).to(fitted.device)],)

        return flow_stage(config, maf, loss, draw, watched)

    def finish(self) -> None:
        """Set the units of the score terms: median to 99 % quantile of each lead of a patient, median over them."""
        terms = contextual_terms(self.model, self._fitted.beats, self._fitted.contexts)
        signals = self._fitted.signals
        names = [None] if self._lone else np.unique(signals).tolist()
        parts = [terms if name is None else terms[signals == name] for name in names]
        spread = [np.subtract(*np.quantile(part, (_UNIT_QUANTILE, 0.5), axis=0)) for part in parts]
        unit = np.maximum(np.median(spread, axis=0), 1e-6)
        self.model.centre.copy_(torch.from_numpy(np.median(terms, axis=0)))
        self.model.unit.copy_(torch.from_numpy(unit))

    def scores(self, normals: NormalBeats) -> BeatScores:
        """Scores of normal beats."""
        return contextual_scores(self.model, normals.beats, normals.contexts)

    def write(self, out: Path) -> dict[str, Any]:  # noqa: ARG002
        """No further file; the entries that rebuild the input."""
        return {"view": self._view, "terms": self.model.term_names()}
