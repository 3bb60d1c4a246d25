"""Published weights as an ONNX file of this package."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector import BEAT_FS_HZ
from train.errors import ExportError
from train.export.calibration import PUBLISHED_ALPHA, fixed_calibration
from train.export.onnx_file import check_parity, export_onnx, torch_log_prob
from train.model.hybrid import load_published
from train.model.normalise import Normalisation, fit_normalisation

__all__ = ["import_published"]

_PARITY_BEATS = 2048


def import_published(
    model_path: Path | str,
    config_path: Path | str,
    normals: Path | str,
    out: Path | str,
    *,
    beat_definition: str,
    threshold: float | None = None,
    r_index: int = 0,
    name: str = "published",
) -> Path:
    """Convert a published checkpoint to an ONNX file of this package and compare its scores with torch.

    The monitor decides by one fixed threshold with it: adaptation to a patient needs scores by patient in order of
    time, which a published checkpoint does not come with.

    Args:
        model_path: `best_model.pt`, see `load_published`.
        config_path: `train_config.json`.
        normals: source of the normalisation. `.npz` or `.json` with `mean` and `std`, (187,) each; or
            `mitbih_train.csv` (187 samples and the label per line), whose rows of label 0 are the training normals.
        out: ONNX file to write.
        beat_definition: definition of the beats the model was trained on; `kaggle/1` for the public 187-sample set.
            The monitor accepts only models for its own beat definition.
        threshold: log p under which a beat is anomalous, nats; None = the 5 % quantile of the normals (CSV only).
        r_index: position of the R-peak in the beat, samples; 0 in the public set.
        name: name of the model.

    Returns:
        Path of the ONNX file.

    Raises:
        ExportError: a file cannot be used, or neither a threshold nor a CSV is given; one line naming file, value
            and remedy.
    """
    try:
        model = load_published(model_path, config_path)
    except ValueError as error:
        raise ExportError(str(error)) from error
    normalisation, beats = _read_normals(Path(normals), model.encoder.input_len)
    scores = None if beats is None else torch_log_prob(model, normalisation, beats).astype(np.float64)
    if threshold is None:
        if scores is None:
            raise ExportError(f"{normals}: holds no beats to take a threshold from; give the threshold, nats")
        threshold = float(np.quantile(scores, PUBLISHED_ALPHA))
    metadata = {
        "name": name,
        "beat_definition": beat_definition,
        "beat_fs_hz": BEAT_FS_HZ,
        "r_index": r_index,
        "threshold": threshold,
        "training_data": "published checkpoint",
        "seed": "unknown",
        "version": "1",
        "calibration": msgspec.json.encode(fixed_calibration(-threshold, None if scores is None else -scores)).decode(),
    }
    path = export_onnx(model, normalisation, metadata, out)
    if beats is None:  # typical beats for the comparison: draws around the mean
        noise = np.random.default_rng(0).normal(size=(64, normalisation.mean.size))
        beats = normalisation.mean + noise * normalisation.std
    try:
        check_parity(model, normalisation, path, beats[:_PARITY_BEATS])
    except ExportError:
        path.unlink(missing_ok=True)  # a file with wrong scores must not be left to be used
        raise
    return path


def _read_normals(path: Path, samples: int) -> tuple[Normalisation, NDArray[np.float64] | None]:
    """Normalisation, and the training normals (n, samples) if the file holds them."""
    try:
        if path.suffix == ".csv":
            rows = np.loadtxt(path, delimiter=",", ndmin=2)
            if rows.shape[1] != samples + 1:
                raise ValueError(f"{rows.shape[1]} columns; {samples} samples and a label are needed")
            beats = rows[rows[:, -1] == 0, :-1]
            return fit_normalisation("per_sample", beats), beats
        if path.suffix == ".json":
            content: Any = json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                content = dict(archive)
        else:
            raise ValueError("one of .csv, .json, .npz is needed")
        if not isinstance(content, dict) or not {"mean", "std"} <= content.keys():
            raise ValueError("mean and std are needed")
        normalisation = Normalisation("per_sample", content["mean"], content["std"])
        if normalisation.mean.size != samples:
            raise ValueError(f"mean has {normalisation.mean.size} values; the model needs {samples}")
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path}: holds no usable normalisation: {error}") from error
    return normalisation, None
