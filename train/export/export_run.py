"""Export a run folder as a model file for the monitor: calibration, metadata, comparison on real beats."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from detector import BEAT_FS_HZ, R_INDEX
from train.data.kaggle import KAGGLE_DEFINITION
from train.data.records import NormalBeats
from train.errors import ExportError, RunError
from train.export.calibration import calibrate_run
from train.export.loaded_model import load_model, run_normals
from train.export.onnx_file import PARITY_MAX, export_onnx
from train.fit.checkpoint import load_run

__all__ = ["ExportReport", "export_run"]

# Eight flow layers multiply the rounding of float32: torch in single and in double precision also differ by more than
# 1e-3 nats (at most 2e-3) on a few of 45,000 beats. Required: nearly all beats agree to PARITY_MAX, no beat differs by
# more than this, and no beat crosses the threshold.
_PARITY_WORST = 10 * PARITY_MAX
_PARITY_SHARE = 0.999
_DATABASES = {"mitdb": "MIT-BIH Arrhythmia", "qtdb": "QT Database"}
_RUN_FACTS = ("data", "data_sha256", "beats_fitted", "beats_held_out", "held_out_by", "epochs", "torch")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The written file and its agreement with torch.

    Attributes:
        path: the ONNX file.
        sha256: of the file, hex.
        beats: real beats compared.
        parity: largest |difference| in log p, nats, or score.
        parity_usual: 99.9 % quantile of |difference|, nats; no beat crosses the threshold.
        threshold: score over which a beat is anomalous, the same for all patients.
        patients: training patients of the calibration; 0 = one threshold for all.
        alpha: p-value under which the monitor calls a beat anomalous.
    """

    path: Path
    sha256: str
    beats: int
    parity: float
    parity_usual: float
    threshold: float
    patients: int
    alpha: float


def export_run(
    folder: Path, out: Path, *, name: str | None = None, version: str = "1", csv_dir: Path | None = None
) -> ExportReport:
    """Export a finished fit and compare the file with torch on all its training normals.

    Args:
        folder: the run folder.
        out: ONNX file to write.
        name: name of the model; None = name of the folder.
        version: version of the model.
        csv_dir: folder of the public CSV files, for a run fitted to them.

    Raises:
        RunError: no finished run in the folder, or other beats than it was fitted to.
        ExportError: the file cannot be written, or differs from torch.
    """
    if out.suffix != ".onnx":
        raise RunError(f"--out {out}: must end in .onnx")
    run = load_run(folder)
    config = run.config
    if config.get("csv") and csv_dir is None:
        raise RunError(f"{folder}: was fitted to the public CSV files; give their --csv-dir")
    normals = run_normals(run, csv_dir)
    calibration = calibrate_run(run, normals)
    by_record = config["held_out_by"] == "record"
    threshold = float(config["score_threshold"])
    metadata: dict[str, Any] = {
        "name": name or folder.resolve().name,
        "beat_definition": config["beat_definition"],
        "beat_fs_hz": BEAT_FS_HZ,
        "r_index": 0 if config["beat_definition"] == KAGGLE_DEFINITION else R_INDEX,
        "threshold": float(config["threshold"]),
        "score_threshold": threshold,
        "threshold_quantile": config["config"]["threshold_quantile"],
        "training_data": _training_data(config, normals),
        "seed": config["config"]["seed"],
        "version": version,
        "calibration": msgspec.json.encode(calibration).decode(),
        "config": config["config"],
        "run": {key: config[key] for key in _RUN_FACTS},
    }
    path = export_onnx(run.model, run.normalisation, metadata, out)
    by_onnx = load_model(path).scores(normals.beats, normals.contexts)
    by_torch = run.scores(normals.beats, normals.contexts)
    difference = np.maximum(np.abs(by_onnx.log_prob - by_torch.log_prob), np.abs(by_onnx.score - by_torch.score))
    changed = int(np.count_nonzero((by_onnx.score > threshold) != (by_torch.score > threshold)))
    parity, usual = float(difference.max()), float(np.quantile(difference, _PARITY_SHARE))
    if not (parity <= _PARITY_WORST and usual <= PARITY_MAX and changed == 0):  # NaN fails as well
        path.unlink()
        raise ExportError(
            f"{path}: ONNX and torch differ by {parity:.3g} nats on a training normal (99.9 % of them by at most "
            f"{usual:.3g}), {changed} cross the threshold; allowed are {_PARITY_WORST:g}, {PARITY_MAX:g} and none; "
            "no file was written"
        )
    return ExportReport(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        beats=len(normals),
        parity=parity,
        parity_usual=usual,
        threshold=threshold,
        patients=len(np.unique(normals.records)) if by_record else 0,
        alpha=calibration.alpha,
    )


def _training_data(config: dict[str, Any], normals: NormalBeats) -> str:
    """Description of the training data, one line."""
    if config["held_out_by"] == "record":
        parts = []
        for database in np.unique(normals.databases).tolist():
            of = normals.databases == database
            names = " ".join(np.unique(normals.records[of]).tolist())
            leads = len(np.unique(normals.signals[of])) / len(np.unique(normals.records[of]))
            parts.append(f"{_DATABASES.get(database, database)}, {int(of.sum())} normal beats of records {names}")
            parts[-1] += ", both leads" if leads > 1 else ""
        return "; ".join(parts)
    return f"MIT-BIH Arrhythmia, {len(normals)} normal beats of the public 187-sample set"
