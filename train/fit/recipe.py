"""Interface between a fit and a kind of model: two stages, the step between them, the step at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from torch import nn

from train.data.records import NormalBeats
from train.fit.stage import Stage
from train.model.scores import BeatScores

__all__ = ["Recipe"]


class Recipe(Protocol):
    """One kind of model during its fit."""

    @property
    def model(self) -> nn.Module:
        """The fitted model."""
        ...

    @property
    def modules(self) -> nn.ModuleDict:
        """All modules whose weights go into the checkpoint."""
        ...

    def first_stage(self) -> Stage:
        """The stage that trains the encoder."""
        ...

    def between(self) -> None:
        """Freeze the encoder and fix the scale of its features. Not called if a fit resumes in stage 2."""
        ...

    def second_stage(self) -> Stage:
        """The stage that fits the flow to the features."""
        ...

    def finish(self) -> None:
        """Compute the last statistics of the model, which is on the CPU and in eval mode."""
        ...

    def scores(self, normals: NormalBeats) -> BeatScores:
        """Scores of normal beats by the finished model."""
        ...

    def write(self, out: Path) -> dict[str, Any]:
        """Write further files; return the entries of `train_config.json` that are needed to rebuild the model."""
        ...
