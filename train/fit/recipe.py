"""What a fit needs to know of a model: its two stages, what happens between them, what is left at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from torch import nn

from train.data.records import NormalBeats
from train.fit.stage import Stage
from train.model.scores import Scores

__all__ = ["Recipe"]


class Recipe(Protocol):
    """One kind of model being fitted."""

    @property
    def model(self) -> nn.Module:
        """What is fitted, and scores at the end."""
        ...

    @property
    def modules(self) -> nn.ModuleDict:
        """Everything whose weights go into the checkpoint."""
        ...

    def first_stage(self) -> Stage:
        """The stage that teaches the encoder."""
        ...

    def between(self) -> None:
        """Freeze the encoder and fix the scale of its features. Not called again when a fit goes on in stage 2."""
        ...

    def second_stage(self) -> Stage:
        """The stage that fits the flow to the features."""
        ...

    def finish(self) -> None:
        """Fix what is left; the model is on the CPU and in eval mode."""
        ...

    def scores(self, normals: NormalBeats) -> Scores:
        """What the finished model says of normal beats."""
        ...

    def write(self, out: Path) -> dict[str, Any]:
        """Write files of its own; what `train_config.json` must tell so that the model can be built again."""
        ...
