"""The published recipe: a convolutional autoencoder, then a flow on its features."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from train.atomic_file import replace_file
from train.config import FitConfig
from train.data.records import NormalBeats
from train.fit.checkpoint import NORMALISATION, hybrid_scores
from train.fit.stage import WATCH_BATCH, Data, Stage, encoder_stage, flow_stage
from train.model.encoder import ECGDecoder
from train.model.hybrid import HybridECGModel, standardise_features
from train.model.normalise import Normalise, fit_normalisation
from train.model.scores import BeatScores

__all__ = ["PublishedRecipe"]


class PublishedRecipe:
    """Fit `HybridECGModel`; see `train.fit.recipe.Recipe`."""

    def __init__(self, fitted: NormalBeats, watched: NormalBeats, config: FitConfig, where: torch.device) -> None:
        self._config = config
        self.model = HybridECGModel(fitted.beats.shape[1], config.latent_dim, config.n_layers, config.hidden_dims)
        self._decoder = ECGDecoder(config.latent_dim, fitted.beats.shape[1])
        for part in self.model.modules():
            if isinstance(part, nn.Dropout):
                part.p = config.dropout
        self.modules = nn.ModuleDict({"model": self.model, "decoder": self._decoder}).to(where)
        self._normalisation = fit_normalisation(config.normalisation, fitted.beats)
        self._normalise = Normalise(self._normalisation)
        self._fitted, self._watched = (
            self._normalise(torch.from_numpy(part.beats)).to(where) for part in (fitted, watched)
        )

    def first_stage(self) -> Stage:
        """Autoencoder: mean squared error between a normalised beat and its reconstruction."""
        model, decoder, config = self.model, self._decoder, self._config

        def loss(data: Data) -> Tensor:
            (beats,) = data
            return nn.functional.mse_loss(decoder(model.encoder(beats)), beats)

        return encoder_stage(
            config,
            nn.ModuleDict({"encoder": model.encoder, "decoder": decoder}),
            loss,
            lambda _: (self._fitted,),
            (self._watched,),
        )

    def between(self) -> None:
        """Fold the scale of the features into the encoder's last layer."""
        standardise_features(self.model, self._fitted)

    def second_stage(self) -> Stage:
        """Flow: negative log-likelihood of the features, which are computed once."""
        config, maf = self._config, self.model.maf
        self.model.eval()
        fitted, watched = (
            torch.cat([self.model.encode(part) for part in torch.split(x, WATCH_BATCH)])
            for x in (self._fitted, self._watched)
        )
        return flow_stage(config, maf, lambda data: -maf.log_prob(data[0]).mean(), lambda _: (fitted,), watched)

    def finish(self) -> None:
        """Nothing to do: the published model has no further statistics."""

    def scores(self, normals: NormalBeats) -> BeatScores:
        """Scores of normal beats."""
        return hybrid_scores(self.model, self._normalise, normals.beats)

    def write(self, out: Path) -> dict[str, Any]:
        """Write the normalisation."""
        buffer, normalisation = io.BytesIO(), self._normalisation
        np.savez(buffer, kind=normalisation.kind, mean=normalisation.mean, std=normalisation.std)
        replace_file(out / NORMALISATION, buffer.getvalue())
        return {}
