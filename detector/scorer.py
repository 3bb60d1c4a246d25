"""Score beats with the shipped (or any fitting) ONNX model: beats in, log p(x) out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from detector.baseline import Calibration
from detector.beats import BEAT_DEFINITION, BEAT_FS_HZ, BEAT_SAMPLES, R_INDEX

__all__ = ["MODEL_FORMAT", "ModelError", "ModelInfo", "Scorer", "shipped_model"]

MODEL_FORMAT = "ecg-monitor/1"
# One fixed batch shape, the last one padded: the matrix kernels pick their order of summation by the shape, so
# this makes a beat's score bit-identical whatever beats it is scored with (replay at any speed must agree).
_BATCH = 16
_EXPECTED = {
    "format": MODEL_FORMAT,
    "beat_definition": BEAT_DEFINITION,
    "beat_fs_hz": f"{BEAT_FS_HZ:g}",
    "beat_samples": str(BEAT_SAMPLES),
    "r_index": str(R_INDEX),
    "score": "log_prob",
}


class ModelError(Exception):
    """The model file is missing, broken, or made for other beats than this code cuts. One line, with the remedy."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the model file says of itself.

    Attributes:
        name: the model's name.
        sha256: SHA-256 of the file, hex.
        threshold: log p under which a training normal counted as anomalous, nats (before any adaptation).
        metadata: everything else, as strings.
    """

    name: str
    sha256: str
    threshold: float
    metadata: dict[str, str]


def shipped_model() -> Path:
    """Path of the model that comes with the package."""
    return Path(str(resources.files("detector") / "models" / "ecg_maf.onnx"))


class Scorer:
    """Log-likelihood of beats under the density of normal beats, all beds in one batch.

    Args:
        path: ONNX file; None = the shipped model.
        threads: threads for one batch; one is right where many beds share the machine.

    Attributes:
        info: name, hash and metadata of the model.
        calibration: how training normals score, for `PatientReference`.

    Raises:
        ModelError: no such file, not ONNX, or metadata that do not fit this code.
    """

    def __init__(self, path: Path | str | None = None, threads: int = 1) -> None:
        import onnxruntime

        path = shipped_model() if path is None else Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"model {path}: {error.strerror}; give --model FILE.onnx made by `python -m train export`"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning workers would burn a core between two beats.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exception classes share no public base
            reason = str(error).splitlines()[0]
            raise ModelError(f"model {path}: not a readable ONNX model ({reason}); export it again") from None
        metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        _check(path, metadata)
        _check_tensors(path, self._session.get_inputs(), self._session.get_outputs())
        self.calibration = _calibration(path, metadata)
        self.info = ModelInfo(
            name=metadata.get("name", path.stem),
            sha256=hashlib.sha256(content).hexdigest(),
            threshold=_threshold(path, metadata),
            metadata=metadata,
        )

    def score(self, samples: ArrayLike) -> NDArray[np.float32]:
        """Score beats; a beat's score does not depend on the beats beside it.

        Args:
            samples: (n, 187), mV, as `Beat.samples`; n may be 0.

        Returns:
            (n,) float32 log p(x), nats; higher = more normal.

        Raises:
            ValueError: wrong shape.
        """
        beats = np.ascontiguousarray(samples, dtype=np.float32)
        if beats.shape == (0,):  # an empty list
            beats = beats.reshape(0, BEAT_SAMPLES)
        if beats.ndim != 2 or beats.shape[1] != BEAT_SAMPLES:
            raise ValueError(f"samples has shape {beats.shape}: give beats of shape (n, {BEAT_SAMPLES})")
        scores = np.empty(len(beats), np.float32)
        for first in range(0, len(beats), _BATCH):
            block = beats[first : first + _BATCH]
            padded = (
                block
                if len(block) == _BATCH
                else np.vstack((block, np.zeros((_BATCH - len(block), BEAT_SAMPLES), np.float32)))
            )
            (log_prob,) = self._session.run(["log_prob"], {"beats": padded})
            scores[first : first + len(block)] = log_prob[: len(block)]
        return scores


def _check(path: Path, metadata: dict[str, str]) -> None:
    """Refuse a model made for something else, naming the first difference."""
    for key, expected in _EXPECTED.items():
        found = metadata.get(key)
        if found != expected:
            have = "nothing" if found is None else repr(found)
            raise ModelError(
                f"model {path}: metadata {key} says {have}, this monitor needs {expected!r}; "
                "train and export a model with this version"
            )


def _check_tensors(path: Path, inputs: list[Any], outputs: list[Any]) -> None:
    """Refuse a graph that does not take float32 beats in blocks of ours and give one number for each."""
    for what, tensors, expected in (("inputs", inputs, "beats"), ("outputs", outputs, "log_prob")):
        names = [tensor.name for tensor in tensors]
        if names != [expected]:
            raise ModelError(f"model {path}: {what} {names} instead of {[expected]}; export it again")
    shape, kind = inputs[0].shape, inputs[0].type
    fits = len(shape) == 2 and shape[1] == BEAT_SAMPLES and (shape[0] == _BATCH or not isinstance(shape[0], int))
    if kind != "tensor(float)" or not fits:
        raise ModelError(
            f"model {path}: input beats is {kind} of shape {shape} instead of tensor(float) of shape "
            f"[n, {BEAT_SAMPLES}]; export it again"
        )


def _threshold(path: Path, metadata: dict[str, str]) -> float:
    value = metadata.get("threshold", "nan")
    try:
        return float(value)
    except ValueError:
        raise ModelError(f"model {path}: metadata threshold={value!r} is no number; export it again") from None


def _calibration(path: Path, metadata: dict[str, str]) -> Calibration:
    try:
        return msgspec.json.decode(metadata.get("calibration", ""), type=Calibration)
    except msgspec.DecodeError as error:
        raise ModelError(f"model {path}: metadata calibration is unreadable ({error}); export it again") from None
