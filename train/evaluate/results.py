"""Files of an evaluation in `train/results`: JSON by protocol, without dates and paths."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from train.atomic_file import replace_file
from train.evaluate.bootstrap import RESAMPLES

if TYPE_CHECKING:
    from train.evaluate.protocols import Outcome
    from train.export.loaded_model import LoadedModel

__all__ = [
    "FOLDER",
    "PROTOCOLS",
    "TRIALS",
    "read_results",
    "read_trials",
    "result_of",
    "rounded",
    "write_report",
    "write_result",
    "write_trial",
]

FOLDER: Final = Path(__file__).parents[1] / "results"
PROTOCOLS: Final = ("kaggle", "inter", "stream", "nstdb")
TRIALS: Final = "databases.json"  # results of the protocol `databases`, by trial
_BY_MODEL: Final = ("models", "rows", "decisions", "noise")  # entries with a part per model
_DIGITS: Final = 6  # significant digits: the same on machines that round differently
_TRAINING: Final = ("data", "data_sha256", "beats_fitted", "beats_held_out", "held_out_by", "epochs", "torch")


def _about(model: LoadedModel) -> dict[str, Any]:
    """Identity and training of a model; no path."""
    about = {key: value for key, value in model.about().items() if key != "path"}
    about["file"] = "run" if model.run is not None else "onnx"
    if model.run is not None:
        about["training"] = {key: model.run.config[key] for key in _TRAINING if key in model.run.config}
    if model.calibration is not None:
        about["alpha"] = model.calibration.alpha
    return about


def result_of(outcome: Outcome, models: Sequence[LoadedModel], command: str, seed: int) -> dict[str, Any]:
    """All figures of one protocol, as JSON values.

    Args:
        outcome: of the protocol.
        models: the compared models.
        command: command that reproduces the result, without paths.
        seed: of bootstrap and random examples.
    """
    rows = [{"name": row.name, "threshold_note": row.threshold_note, **row.figures} for row in outcome.rows]
    result: dict[str, Any] = {
        "protocol": outcome.protocol,
        "command": command,
        "seed": seed,
        "resamples": RESAMPLES,
        "models": [_about(model) for model in models],
        "rows": rows,
        **outcome.extra,
    }
    short: dict[str, Any] = rounded(result)
    return short


def _with_kept(result: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Add the entries of an earlier result for models whose runs are absent now.

    The shipped model keeps its earlier name if it is the same file. Kept entries were computed by earlier code: the
    key `kept` names their models, and the table states it.

    Args:
        result: the new result.
        before: earlier result of the same protocol.
    """
    known = {model["sha256"]: model["name"] for model in before.get("models", [])}
    names = {m["name"]: known[m["sha256"]] for m in result["models"] if m["sha256"] in known}
    made = {name: _renamed(part, names) for name, part in result.items() if name in _BY_MODEL}
    here = {model["name"] for model in made["models"]}
    kept = [model["name"] for model in before.get("models", []) if model["name"] not in here]
    if not kept:
        return result | made
    for name, part in made.items():
        old = before.get(name, type(part)())
        if isinstance(part, dict):
            part |= {key: value for key, value in old.items() if key.partition(",")[0] in kept}
        else:
            part += [value for value in old if value["name"].partition(",")[0] in kept]
    return result | made | {"kept": kept}


def _renamed(part: Any, names: dict[str, str]) -> Any:
    """Rows or entries with models renamed; `ours, by patient` is renamed with `ours`."""

    def name_of(name: str) -> str:
        model, comma, rest = name.partition(",")
        return names.get(model, model) + comma + rest

    if isinstance(part, dict):
        return {name_of(name): value for name, value in part.items()}
    return [value | {"name": name_of(value["name"])} for value in part]


def write_result(folder: Path, result: dict[str, Any]) -> Path:
    """Write the result of one protocol as `<protocol>.json`; entries of absent models are kept."""
    path = folder / f"{result['protocol']}.json"
    before = read_results(folder).get(result["protocol"])
    if before is not None and not result.get("limited"):
        result = _with_kept(result, before)
    return write_report(path, result)


def write_report(path: Path, report: dict[str, Any]) -> Path:
    """Write JSON values to a file, atomically; returns the path."""
    replace_file(path, (json.dumps(report, indent=1, allow_nan=False) + "\n").encode())
    return path


def read_results(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """The existing results, by protocol.

    Raises:
        ValueError: a file is not a result.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in PROTOCOLS:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            result = json.loads(path.read_text("utf-8"))
            found[str(result["protocol"])] = result
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: not a result of `python -m train evaluate` ({error}); run it again") from error
    return found


def read_trials(path: Path) -> dict[str, Any]:
    """The result of the protocol `databases`; without trials if there is none.

    Raises:
        ValueError: the file is not such a result.
    """
    if not path.is_file():
        return {"protocol": "databases", "trials": {}}
    try:
        result: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if result["protocol"] != "databases" or not isinstance(result["trials"], dict):
            raise ValueError("another protocol")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a result of the protocol databases ({error}); give another file") from error
    return result


def write_trial(path: Path, name: str, found: dict[str, Any]) -> Path:
    """Put the figures of one trial into a result of the protocol `databases`.

    Other trials are kept, and other groups of this trial if they have the same settings.
    """
    result, new = read_trials(path), rounded(found)
    before = result["trials"].get(name, {})
    if all(before.get(key) == new[key] for key in new if key != "groups"):
        new["groups"] = {**before["groups"], **new["groups"]}
    result["trials"][name] = new
    return write_report(path, result)


def rounded(value: Any) -> Any:
    """Floats to 6 significant digits, tuples as lists."""
    if isinstance(value, dict):
        return {str(key): rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
