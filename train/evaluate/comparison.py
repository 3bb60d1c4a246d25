"""The folder of runs, one a configuration and a data set: where a fit goes, and what an evaluation over all finds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from detector import BEAT_DEFINITION, shipped_model
from train.config import FitConfig
from train.data.kaggle import KAGGLE_DEFINITION
from train.export.loaded_model import Subject, calibrated, load_subject
from train.fit.checkpoint import BEST_MODEL, TRAIN_CONFIG, RunError

__all__ = ["COMPARED", "DATA", "DEFINITIONS", "OURS", "SHIPPED", "Comparison", "finished", "gather", "run_folder"]

DATA: Final = ("kaggle", "stream")
OURS: Final = "ours"
COMPARED: Final = (OURS, "published")  # configurations, in the order of the tables
SHIPPED: Final = "shipped"
DEFINITIONS: Final = {"kaggle": KAGGLE_DEFINITION, "stream": BEAT_DEFINITION}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an evaluation over all compares.

    Attributes:
        models: by data set (`kaggle`, `stream`), named `ours`, `published`, `shipped`.
        notes: what was left out or stands for what, a line each.
    """

    models: Mapping[str, list[Subject]]
    notes: list[str]


def run_folder(runs: Path, config: str, data: str) -> Path:
    """Folder of a run, e.g. `runs/ours-stream`.

    Args:
        runs: folder of all runs.
        config: name of a configuration, or its .toml file.
        data: `kaggle` or `stream`.
    """
    return runs / f"{Path(config).stem if config.endswith('.toml') else config}-{data}"


def finished(folder: Path, settings: FitConfig, data: str, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The `train_config.json` of a fit that is done; None where there is something left to do.

    Args:
        folder: of the run.
        settings: that are asked for.
        data: that is asked for.
        facts: what else must be the same, as `train.fit.fit.fit` was told.

    Raises:
        RunError: a finished fit of other settings or data.
    """
    if not ((folder / TRAIN_CONFIG).is_file() and (folder / BEST_MODEL).is_file()):  # the model is written last
        return None
    try:
        told: dict[str, Any] = json.loads((folder / TRAIN_CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / TRAIN_CONFIG}: cannot be read ({error}); remove the folder to fit anew") from error
    theirs = {**told.get("config", {}), "data": told.get("data"), **{key: told.get(key) for key in facts}}
    mine = {**msgspec.to_builtins(settings), "data": data, **facts}
    for key in sorted(mine):
        if mine[key] != theirs.get(key):
            raise RunError(
                f"{folder} holds a finished fit with {key} = {theirs.get(key)}, not {mine[key]}: "
                "give the same settings, or another --out"
            )
    return told


def gather(runs: Path, data: Sequence[str], shipped: Path | None = None) -> Comparison:
    """Load every finished run of `runs/` that the tables compare, and the shipped model.

    Where the shipped model has the very weights of `ours-stream` it stands for that run: what is evaluated is what
    ships. Else it has rows of its own.

    Args:
        runs: folder of all runs.
        data: of `DATA`, those that are wanted.
        shipped: ONNX file; None: the one of the package.

    Raises:
        RunError, DataError: a run of the stream cannot be calibrated.
    """
    models: dict[str, list[Subject]] = {name: [] for name in data}
    notes: list[str] = []
    for name in data:
        for config in COMPARED:
            if subject := _load(run_folder(runs, config, name), name, notes):
                models[name].append(replace(subject, name=config))
    if "stream" in data:
        models["stream"] = _with_shipped(models["stream"], shipped or shipped_model(), notes)
        models["stream"] = [calibrated(subject) for subject in models["stream"]]
    return Comparison(models, notes)


def _load(path: Path, data: str, notes: list[str]) -> Subject | None:
    if not path.exists():
        notes.append(f"{path}: no such run, left out")
        return None
    try:
        subject = load_subject(path)
    except RunError as error:
        notes.append(f"left out: {error}")
        return None
    if subject.beat_definition != DEFINITIONS[data]:
        notes.append(f"left out: {path} was made for {subject.beat_definition} beats, {data} has {DEFINITIONS[data]}")
        return None
    return subject


def _with_shipped(models: list[Subject], path: Path, notes: list[str]) -> list[Subject]:
    shipped = _load(path, "stream", notes)
    if shipped is None:
        return models
    ours = next((model for model in models if model.name == OURS), None)
    if ours is not None and ours.weights_sha256 == shipped.weights_sha256:
        notes.append(f"{OURS} in the stream is the shipped model: its weights are those of {ours.path}")
        return [replace(shipped, name=OURS) if model is ours else model for model in models]
    what = "other weights than" if ours is not None else "nothing to be compared with in the absence of"
    notes.append(f"the shipped model has {what} {OURS}-stream: a row of its own, `{SHIPPED}`")
    return [*models, replace(shipped, name=SHIPPED)]
