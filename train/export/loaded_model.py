"""A model under test: an ONNX file run by onnxruntime, or a run folder run by torch, behind one interface."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, Calibration
from detector.short_repr import short_repr
from train.data.contexts import Contexts
from train.data.groups import check_leads, group_beats, thinned
from train.data.kaggle import KAGGLE_DEFINITION, kaggle_beats, kaggle_split, read_kaggle_csv
from train.data.records import LabelledBeats, NormalBeats, record_names
from train.errors import DataError, RunError
from train.export.calibration import calibrate_run
from train.export.metadata import weights_sha256
from train.fit.checkpoint import BEST_MODEL, FinishedRun, load_run
from train.model.scores import BeatScores

if TYPE_CHECKING:
    from detector.scorer import Scorer

__all__ = ["LoadedModel", "calibrated", "load_model", "run_normals", "training_beats"]

_BATCH = 512

Score = Callable[[NDArray[np.float32], Contexts | None], BeatScores]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model under test.

    Attributes:
        name: name in the file.
        path: the file or run folder.
        sha256: of the ONNX file, or of the weights of a run, hex.
        beat_definition: definition of the beats it accepts.
        threshold: score over which a beat is anomalous, fixed on training normals; None = unknown.
        threshold_quantile: share of those normals over that threshold; None = unknown.
        seed: seed of the training, as text.
        scores: beats (n, 187) float32, and their contexts if any, to log p and score.
        calibration: for the monitor's decision by patient; None = not calibrated yet (`calibrated`).
        run: the run folder it was loaded from; None for an ONNX file.
        weights_sha256: of the weights alone, hex: the same for a run and the file exported from it.
    """

    name: str
    path: Path
    sha256: str
    beat_definition: str
    threshold: float | None
    threshold_quantile: float | None
    seed: str
    scores: Score
    calibration: Calibration | None
    run: FinishedRun | None
    weights_sha256: str = ""

    __repr__ = short_repr

    def about(self) -> dict[str, Any]:
        """Description for the JSON of an evaluation."""
        names = ("sha256", "weights_sha256", "beat_definition", "threshold", "threshold_quantile", "seed")
        return {"name": self.name, "path": str(self.path)} | {name: getattr(self, name) for name in names}

    def require(self, beat_definition: str, protocol: str) -> None:
        """Check that the model accepts the beats of a protocol.

        Raises:
            RunError: it was made for other beats.
        """
        if self.beat_definition != beat_definition:
            raise RunError(
                f"{self.path}: made for {self.beat_definition} beats, protocol {protocol} needs {beat_definition}; "
                f"fit a model with --data {'kaggle' if protocol == 'kaggle' else 'stream'}"
            )


def load_model(path: Path) -> LoadedModel:
    """Load an `.onnx` file or a run folder.

    Raises:
        RunError: neither of the two, or unreadable.
    """
    if path.is_dir():
        return _from_run(load_run(path))
    if path.suffix == ".onnx" and path.is_file():
        return _from_onnx(path)
    raise RunError(f"{path}: neither an .onnx file nor a run folder")


def training_beats(
    data: str,
    csv_dir: Path | None = None,
    limit_records: int | None = None,
    groups: Sequence[str] = ("ds1",),
    leads: str = "first",
) -> LabelledBeats:
    """The beats that `fit --data` takes its normals from.

    Args:
        data: `kaggle` (the training part) or `stream` (as the detector cuts them).
        csv_dir: kaggle only: folder of the public CSV files.
        limit_records: only the first N records (of each group), for a trial.
        groups: stream only: groups of patients, see `train.data.groups`.
        leads: stream only: `first` or `both` leads of each patient.

    Raises:
        DataError: unknown name, group or leads, or data absent.
    """
    if data == "kaggle":
        if csv_dir is not None:
            return read_kaggle_csv(csv_dir)[0]
        if limit_records is not None:
            return kaggle_beats(record_names()[:limit_records])
        return kaggle_split(kaggle_beats())[0]
    if data == "stream":
        return group_beats(groups, check_leads(leads), limit_records)
    raise DataError(f"--data {data}: unknown; give kaggle or stream")


def calibrated(model: LoadedModel) -> LoadedModel:
    """The same model with a calibration on its training normals; anything but a run on `stream` is unchanged."""
    run = model.run
    if run is None or run.config["data"] != "stream":
        return model
    return replace(model, calibration=calibrate_run(run, run_normals(run)))


def run_normals(run: FinishedRun, csv_dir: Path | None = None) -> NormalBeats:
    """The normal beats that a run was fitted to (fitted and held out).

    Args:
        run: a finished fit.
        csv_dir: folder of the public CSV files, for a run fitted to them.
    """
    config, settings = run.config, run.config["config"]
    beats = training_beats(config["data"], csv_dir, config.get("limit_records"), settings["groups"], settings["leads"])
    return thinned(NormalBeats(beats), config.get("beats_per_lead", 0))


def _from_run(run: FinishedRun) -> LoadedModel:
    config = run.config
    return LoadedModel(
        name=run.folder.name,
        path=run.folder,
        sha256=hashlib.sha256((run.folder / BEST_MODEL).read_bytes()).hexdigest(),
        beat_definition=str(config["beat_definition"]),
        threshold=float(config["score_threshold"]),
        threshold_quantile=float(config["config"]["threshold_quantile"]),
        seed=str(config["config"]["seed"]),
        scores=run.scores,
        calibration=None,
        run=run,
        weights_sha256=weights_sha256(run.model),
    )


def _from_onnx(path: Path) -> LoadedModel:
    from detector.scorer import ModelError, Scorer

    metadata = dict(_session(path).get_modelmeta().custom_metadata_map)
    definition = metadata.get("beat_definition", "")
    scores: Score
    calibration: Calibration | None
    if definition == BEAT_DEFINITION:
        try:
            scorer = Scorer(path)  # the monitor's own code
        except ModelError as error:
            raise RunError(str(error)) from error

        scores, calibration = _scorer_scores(scorer), scorer.calibration
    elif definition == KAGGLE_DEFINITION:
        scores, calibration = _session_scores(path), None
    else:
        known = f"{KAGGLE_DEFINITION} or {BEAT_DEFINITION}"
        raise RunError(f"{path}: made for beats {definition!r}, known are {known}; export it again")
    return LoadedModel(
        name=metadata.get("name", path.stem),
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        beat_definition=definition,
        threshold=_number(metadata, "score_threshold"),
        threshold_quantile=_number(metadata, "threshold_quantile"),
        seed=metadata.get("seed", "unknown"),
        scores=scores,
        calibration=calibration,
        run=None,
        weights_sha256=metadata.get("weights_sha256", ""),
    )


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exception classes share no public base
        raise RunError(f"{path}: not a readable ONNX model ({str(error).splitlines()[0]})") from error


def _session_scores(path: Path) -> Score:
    session = _session(path)
    outputs = [output.name for output in session.get_outputs()]

    def scores(beats: NDArray[np.float32], _: Contexts | None) -> BeatScores:
        found = [
            session.run(outputs, {"beats": np.ascontiguousarray(beats[start : start + _BATCH])})
            for start in range(0, len(beats), _BATCH)
        ]
        columns = [np.concatenate([part[k] for part in found] or [np.zeros(0)]) for k in range(len(outputs))]
        log_prob = columns[0].astype(np.float64)
        return BeatScores(log_prob, columns[1].astype(np.float64) if len(columns) > 1 else -log_prob)

    return scores


def _scorer_scores(scorer: Scorer) -> Score:
    def scores(beats: NDArray[np.float32], contexts: Contexts | None) -> BeatScores:
        found = scorer.score(beats) if contexts is None else scorer.score(beats, contexts.templates, contexts.values)
        return BeatScores(found.log_prob.astype(np.float64), found.score.astype(np.float64))

    return scores


def _number(metadata: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(msgspec.json.decode(metadata[key]))
    except (KeyError, ValueError, TypeError, msgspec.DecodeError):
        return None
    return value if math.isfinite(value) else None
