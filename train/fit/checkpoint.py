"""The folder that a fit leaves: file names, safe writing, loading for evaluation and export."""

from __future__ import annotations

import io
import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray

from train.data.contexts import Contexts
from train.model.contextual import ContextualECGModel, view_named
from train.model.hybrid import HybridECGModel, load_published
from train.model.normalise import Kind, Normalisation, Normalise
from train.model.scores import Scores

__all__ = [
    "BEST_MODEL",
    "CHECKPOINT",
    "CURVES",
    "HISTORY",
    "NORMALISATION",
    "TRAIN_CONFIG",
    "Run",
    "RunError",
    "contextual_scores",
    "contextual_terms",
    "hybrid_scores",
    "load_run",
    "save_torch",
    "write_atomically",
    "write_json",
]

BEST_MODEL: Final = "best_model.pt"
TRAIN_CONFIG: Final = "train_config.json"
NORMALISATION: Final = "normalisation.npz"
HISTORY: Final = "history.json"
CHECKPOINT: Final = "checkpoint.pt"
CURVES: Final = "training_curves.png"

_SCORE_BATCH = 1024  # scoring: more beats at once are no faster and cost memory


class RunError(Exception):
    """A run folder is absent, incomplete or of other settings. One line: what, and the remedy."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished fit, ready to score.

    Attributes:
        folder: where it lies.
        model: in eval mode, on the CPU.
        normalisation: what the beats go through before the model; None for the contextual one, which has its view.
        config: the whole of `train_config.json`.
        history: the whole of `history.json`: a list of epochs a stage.
    """

    folder: Path
    model: HybridECGModel | ContextualECGModel
    normalisation: Normalisation | None
    config: dict[str, Any]
    history: dict[str, list[dict[str, float]]]

    def scores(self, beats: NDArray[np.float32], contexts: Contexts | None = None) -> Scores:
        """Score beats (n, 187) in the unit of the beat definition; contexts where the model wants them."""
        if isinstance(self.model, ContextualECGModel):
            return contextual_scores(self.model, beats, contexts)
        if self.normalisation is None:
            raise RunError(f"{self.folder}: no {NORMALISATION}, which this architecture needs")
        return hybrid_scores(self.model, Normalise(self.normalisation), beats)


@torch.no_grad()
def hybrid_scores(model: HybridECGModel, normalise: Normalise, beats: NDArray[np.float32]) -> Scores:
    """Scores of beats (n, 187), in batches, on the CPU; `model` in eval mode."""
    parts = [model.log_prob(normalise(part)) for part in torch.split(torch.from_numpy(beats), _SCORE_BATCH)]
    log_prob = torch.cat(parts).double().numpy() if len(beats) else np.zeros(0)
    return Scores(log_prob, -log_prob)


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
def contextual_scores(model: ContextualECGModel, beats: NDArray[np.float32], contexts: Contexts | None) -> Scores:
    """Scores of beats (n, 187), in batches, on the CPU; `model` in eval mode."""
    terms = contextual_terms(model, beats, contexts)
    return Scores(-terms[:, 0], model.score_terms(torch.from_numpy(terms).float()).double().numpy())


def load_run(folder: Path) -> Run:
    """Read the folder of a finished fit.

    Raises:
        RunError: a file is absent or does not fit.
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
    return Run(folder, model, normalisation, config, history)


def _load_contextual(path: Path, config: dict[str, Any]) -> ContextualECGModel:
    told = config["config"]
    model = ContextualECGModel(
        view_named(config["view"]),
        config["latent_dim"],
        config["n_layers"],
        config["hidden_dims"],
        told["encoder_widths"],
        told["encoder_hidden"],
        told["dropout"],
        told["likelihood_weight"],
    )
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside `path` and rename: after a kill there is the old file or the new one, never half of one."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def save_torch(path: Path, value: dict[str, Any]) -> None:
    """`torch.save`, atomically."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_atomically(path, buffer.getvalue())


def write_json(path: Path, value: object) -> None:
    """Indented JSON, atomically; refuses NaN, which JSON has not."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
