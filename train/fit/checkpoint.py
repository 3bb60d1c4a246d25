"""Run folder of a fit: file names, atomic writing, loading for evaluation and export."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray

from train.atomic_file import replace_file
from train.data.contexts import Contexts
from train.errors import RunError
from train.model.contextual import ContextualECGModel, input_named
from train.model.hybrid import HybridECGModel, load_published
from train.model.normalise import Kind, Normalisation, Normalise
from train.model.scores import BeatScores

__all__ = [
    "BEST_MODEL",
    "CHECKPOINT",
    "CURVES",
    "HISTORY",
    "NORMALISATION",
    "TRAIN_CONFIG",
    "FinishedRun",
    "contextual_scores",
    "contextual_terms",
    "hybrid_scores",
    "load_run",
    "save_torch",
    "write_json",
]

BEST_MODEL: Final = "best_model.pt"
TRAIN_CONFIG: Final = "train_config.json"
NORMALISATION: Final = "normalisation.npz"
HISTORY: Final = "history.json"
CHECKPOINT: Final = "checkpoint.pt"
CURVES: Final = "training_curves.png"

_SCORE_BATCH = 1024  # beats per batch; larger batches are no faster and cost memory


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished fit, ready to score.

    Attributes:
        folder: the run folder.
        model: in eval mode, on the CPU.
        normalisation: of the beats before the model; None for the contextual model, which has its `BeatInput`.
        config: content of `train_config.json`.
        history: content of `history.json`: a list of epochs per stage.
    """

    folder: Path
    model: HybridECGModel | ContextualECGModel
    normalisation: Normalisation | None
    config: dict[str, Any]
    history: dict[str, list[dict[str, float]]]

    def scores(self, beats: NDArray[np.float32], contexts: Contexts | None = None) -> BeatScores:
        """Score beats (n, 187) in the unit of the beat definition; contexts if the model needs them."""
        if isinstance(self.model, ContextualECGModel):
            return contextual_scores(self.model, beats, contexts)
        if self.normalisation is None:
            raise RunError(f"{self.folder}: no {NORMALISATION}, which this architecture needs")
        return hybrid_scores(self.model, Normalise(self.normalisation), beats)


@torch.no_grad()
def hybrid_scores(model: HybridECGModel, normalise: Normalise, beats: NDArray[np.float32]) -> BeatScores:
    """Scores of beats (n, 187), in batches, on the CPU; `model` in eval mode."""
    parts = [model.log_prob(normalise(part)) for part in torch.split(torch.from_numpy(beats), _SCORE_BATCH)]
    log_prob = torch.cat(parts).double().numpy() if len(beats) else np.zeros(0)
    return BeatScores(log_prob, -log_prob)


@torch.no_grad()
def contextual_terms(
    model: ContextualECGModel, beats: NDArray[np.float32], contexts: Contexts | None
) -> NDArray[np.float64]:
    """The terms of the score of beats (n, 187): (n, T), in batches, on the CPU; `model` in eval mode."""
    inputs = [torch.from_numpy(beats)]
    if contexts is not None:
        inputs += [torch.from_numpy(contexts.templates), torch.from_numpy(contexts.values)]
    parts = [
        model.terms(*(array[start : start + _SCORE_BATCH] for array in inputs))
        for start in range(0, len(beats), _SCORE_BATCH)
    ]
    return torch.cat(parts).double().numpy() if parts else np.zeros((0, len(model.term_names())))


@torch.no_grad()
def contextual_scores(model: ContextualECGModel, beats: NDArray[np.float32], contexts: Contexts | None) -> BeatScores:
    """Scores of beats (n, 187), in batches, on the CPU; `model` in eval mode."""
    terms = contextual_terms(model, beats, contexts)
    return BeatScores(-terms[:, 0], model.score_terms(torch.from_numpy(terms).float()).double().numpy())


def load_run(folder: Path) -> FinishedRun:
    """Read the folder of a finished fit.

    Raises:
        RunError: a file is absent or invalid.
    """

    def need(*names: str) -> None:
        for name in names:
            if not (folder / name).is_file():
                raise RunError(f"{folder}: no {name}; give a folder that `python -m train fit` has finished")

    need(BEST_MODEL, TRAIN_CONFIG)
    normalisation = None
    try:
        config = json.loads((folder / TRAIN_CONFIG).read_text("utf-8"))
        history = json.loads((folder / HISTORY).read_text("utf-8")) if (folder / HISTORY).is_file() else {}
        model: HybridECGModel | ContextualECGModel
        if config.get("architecture") == "contextual":
            model = _load_contextual(folder / BEST_MODEL, config)
        else:
            need(NORMALISATION)
            model = load_published(folder / BEST_MODEL, folder / TRAIN_CONFIG)
            with np.load(folder / NORMALISATION, allow_pickle=False) as arrays:
                kind = cast(Kind, str(arrays["kind"]))  # checked by Normalisation
                normalisation = Normalisation(kind, arrays["mean"], arrays["std"])
    except (ValueError, KeyError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{folder}: {error}") from error
    return FinishedRun(folder, model, normalisation, config, history)


def _load_contextual(path: Path, config: dict[str, Any]) -> ContextualECGModel:
    settings = config["config"]
    model = ContextualECGModel(
        input_named(config["view"]),
        config["latent_dim"],
        config["n_layers"],
        config["hidden_dims"],
        settings["encoder_widths"],
        settings["encoder_hidden"],
        settings["dropout"],
        settings["likelihood_weight"],
    )
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


def save_torch(path: Path, value: dict[str, Any]) -> None:
    """`torch.save`, atomically."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    replace_file(path, buffer.getvalue())


def write_json(path: Path, value: object) -> None:
    """Indented JSON, atomically; NaN is a ValueError, because JSON has no NaN."""
    replace_file(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
