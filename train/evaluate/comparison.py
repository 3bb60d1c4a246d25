"""The folder of runs, one per configuration and data set: path of a fit, and the models that the tables compare."""

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
from train.errors import RunError
from train.export.loaded_model import LoadedModel, calibrated, load_model
from train.fit.checkpoint import BEST_MODEL, TRAIN_CONFIG

__all__ = ["COMPARED", "DATA", "DEFINITIONS", "OURS", "SHIPPED", "Comparison", "finished_fit", "gather", "run_folder"]

DATA: Final = ("kaggle", "stream")
OURS: Final = "ours"
COMPARED: Final = (OURS, "published")  # configurations, in the order of the tables
SHIPPED: Final = "shipped"
DEFINITIONS: Final = {"kaggle": KAGGLE_DEFINITION, "stream": BEAT_DEFINITION}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The models that the tables compare.

    Attributes:
        models: by data set (`kaggle`, `stream`), named `ours`, `published`, `shipped`.
        notes: models that were left out or replaced, one line each.
    """

    models: Mapping[str, list[LoadedModel]]
    notes: list[str]


def run_folder(runs: Path, config: str, data: str) -> Path:
    """Folder of a run, e.g. `runs/ours-stream`.

    Args:
        runs: folder of all runs.
        config: name of a configuration, or its .toml file.
        data: `kaggle` or `stream`.
    """
    return runs / f"{Path(config).stem if config.endswith('.toml') else config}-{data}"


def finished_fit(folder: Path, settings: FitConfig, data: str, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The `train_config.json` of a finished fit; None if the fit is not finished.

    Args:
        folder: run folder.
        settings: requested settings.
        data: requested data set.
        facts: further entries that must agree, see `train.fit.fit.fit`.

    Raises:
        RunError: the folder holds a finished fit with other settings or data.
    """
    if not ((folder / TRAIN_CONFIG).is_file() and (folder / BEST_MODEL).is_file()):  # the model is written last
        return None
    try:
        saved: dict[str, Any] = json.loads((folder / TRAIN_CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / TRAIN_CONFIG}: cannot be read ({error}); delete the folder to refit") from error
    theirs = {**saved.get("config", {}), "data": saved.get("data"), **{key: saved.get(key) for key in facts}}
    mine = {**msgspec.to_builtins(settings), "data": data, **facts}
    for key in sorted(mine):
        if mine[key] != theirs.get(key):
            raise RunError(
                f"{folder} holds a finished fit with {key} = {theirs.get(key)}, not {mine[key]}: "
                "give the same settings, or another --out"
            )
    return saved


def gather(runs: Path, data: Sequence[str], shipped: Path | None = None) -> Comparison:
    """Load the finished runs that the tables compare, and the shipped model.

    If the shipped model has the weights of `ours-stream`, it replaces that run, so the shipped file itself is
    evaluated. Otherwise it gets separate rows.

    Args:
        runs: folder of all runs.
        data: data sets, a part of `DATA`.
        shipped: ONNX file; None = the model of the package.

    Raises:
        RunError, DataError: a run on `stream` cannot be calibrated.
    """
    models: dict[str, list[LoadedModel]] = {name: [] for name in data}
    notes: list[str] = []
    for name in data:
        for config in COMPARED:
            if model := _load(run_folder(runs, config, name), name, notes):
                models[name].append(replace(model, name=config))
    if "stream" in data:
        models["stream"] = _with_shipped(models["stream"], shipped or shipped_model(), notes)
        models["stream"] = [calibrated(model) for model in models["stream"]]
    return Comparison(models, notes)


def _load(path: Path, data: str, notes: list[str]) -> LoadedModel | None:
    if not path.exists():
        notes.append(f"left out: {path}, no such run")
        return None
    try:
        model = load_model(path)
    except RunError as error:
        notes.append(f"left out: {error}")
        return None
    if model.beat_definition != DEFINITIONS[data]:
        notes.append(f"left out: {path} was made for {model.beat_definition} beats, {data} has {DEFINITIONS[data]}")
        return None
    return model


def _with_shipped(models: list[LoadedModel], path: Path, notes: list[str]) -> list[LoadedModel]:
    shipped = _load(path, "stream", notes)
    if shipped is None:
        return models
    ours = next((model for model in models if model.name == OURS), None)
    if ours is not None and ours.weights_sha256 == shipped.weights_sha256:
        notes.append(f"stream, {OURS}: the shipped model replaces {ours.path}, which has the same weights")
        return [replace(shipped, name=OURS) if model is ours else model for model in models]
    reason = "differ from those of" if ours is not None else "cannot be compared without"
    notes.append(f"the weights of the shipped model {reason} {OURS}-stream: separate rows `{SHIPPED}`")
    return [*models, replace(shipped, name=SHIPPED)]
