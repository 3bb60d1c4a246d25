"""The folder that a fit leaves: file names, safe writing, loading for evaluation and export."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray

from train.hybrid import HybridECGModel, load_published
from train.normalise import Kind, Normalisation, Normalise

__all__ = [
    "BEST_MODEL",
    "CHECKPOINT",
    "CURVES",
    "HISTORY",
    "NORMALISATION",
    "TRAIN_CONFIG",
    "Run",
    "RunError",
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
        normalisation: what the beats go through before the model.
        config: the whole of `train_config.json`.
        history: the whole of `history.json`: a list of epochs a stage.
    """

    folder: Path
    model: HybridECGModel
    normalisation: Normalisation
    config: dict[str, Any]
    history: dict[str, list[dict[str, float]]]

    def log_prob(self, beats: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log p of beats (n, 187) in the unit of the beat definition: (n,), nats; higher = more normal."""
        return model_log_prob(self.model, Normalise(self.normalisation), beats)


@torch.no_grad()
def model_log_prob(model: HybridECGModel, normalise: Normalise, beats: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log p of beats (n, 187), in batches, on the CPU; `model` in eval mode."""
    parts = [model.log_prob(normalise(part)) for part in torch.split(torch.from_numpy(beats), _SCORE_BATCH)]
    return torch.cat(parts).double().numpy() if len(beats) else np.zeros(0)


def load_run(folder: Path) -> Run:
    """Read the folder of a finished fit.

    Raises:
        RunError: a file is absent or does not fit.
    """
    for name in (BEST_MODEL, TRAIN_CONFIG, NORMALISATION):
        if not (folder / name).is_file():
            raise RunError(f"{folder}: no {name}; give a folder that `python -m train fit` has finished")
    try:
        model = load_published(folder / BEST_MODEL, folder / TRAIN_CONFIG)
        config = json.loads((folder / TRAIN_CONFIG).read_text("utf-8"))
        history = json.loads((folder / HISTORY).read_text("utf-8")) if (folder / HISTORY).is_file() else {}
        with np.load(folder / NORMALISATION, allow_pickle=False) as arrays:
            kind = cast(Kind, str(arrays["kind"]))  # checked by Normalisation
            normalisation = Normalisation(kind, arrays["mean"], arrays["std"])
    except (ValueError, KeyError, OSError) as error:
        raise RunError(f"{folder}: {error}") from error
    return Run(folder, model, normalisation, config, history)


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
