"""Scoring with an ONNX model: beats and their contexts in, log p(x) and score out."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from detector.baseline import Calibration
from detector.beats import BEAT_DEFINITION, BEAT_FS_HZ, BEAT_SAMPLES, CONTEXT_FIELDS, R_INDEX, Beat
from detector.short_repr import short_repr

__all__ = ["MODEL_FORMAT", "ModelError", "ModelFile", "Scorer", "Scores", "shipped_model"]

MODEL_FORMAT = "ecg-monitor/2"
# Blocks of fixed size, the last one padded: matrix kernels choose their order of summation by shape, so a fixed size
# makes a beat's score bit-identical whatever beats it is scored with (replays at any speed must agree). A block of 4
# costs a quarter of a block of 16, and a block of 64 is cheaper per beat on a busy machine: both are used after they
# have given the same bits on this machine.
_BLOCK = 16
_OTHER_BLOCKS = (4, 64)
_EXPECTED = {
    "format": MODEL_FORMAT,
    "beat_definition": BEAT_DEFINITION,
    "beat_fs_hz": f"{BEAT_FS_HZ:g}",
    "beat_samples": str(BEAT_SAMPLES),
    "r_index": str(R_INDEX),
}
# Inputs and outputs that a model may have: name -> shape after the rows of a block.
_LONE_INPUTS = {"beats": (BEAT_SAMPLES,)}
_PATIENT_INPUTS = {**_LONE_INPUTS, "templates": (2, BEAT_SAMPLES), "values": (len(CONTEXT_FIELDS),)}
_OUTPUTS = (["log_prob"], ["log_prob", "score"])

# Created at import: two threads that create it at the same time crash msgspec.
_calibration_decoder = msgspec.json.Decoder(Calibration)


# The packages of onnxruntime 1.32 for Linux keep an identifier of the machine in the user's cache and send events to
# Microsoft. Read when onnxruntime is imported, so it is set before; a user's own value stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class ModelError(Exception):
    """The model file is missing, broken, or for other beats than this code cuts; one line with the remedy."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Identity and metadata of a model file.

    Attributes:
        name: the model's name.
        sha256: SHA-256 of the file, hex.
        threshold: log p below which a training normal was anomalous, nats (without adaptation).
        metadata: all metadata, as strings.
    """

    name: str
    sha256: str
    threshold: float
    metadata: dict[str, str]


def shipped_model() -> Path:
    """Path of the model in this package."""
    return Path(str(resources.files("detector") / "models" / "ecg_maf.onnx"))


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of n beats.

    Attributes:
        log_prob: (n,) float32, log p(x), nats; higher = more normal.
        score: (n,) float32, all evidence; higher = more anomalous. -log p(x) for a model without other evidence.
    """

    log_prob: NDArray[np.float32]
    score: NDArray[np.float32]

    __repr__ = short_repr


class Scorer:
    """Log-likelihood and score of beats under the density of normal beats; all beds in one batch.

    Args:
        path: ONNX file; None = the shipped model.
        threads: threads per batch; use 1 when many beds share the machine.

    Attributes:
        info: name, hash and metadata of the model.
        calibration: scores of training normals, for `PatientReference`.

    Raises:
        ModelError: no such file, no ONNX model, or metadata that do not fit this code.
    """

    def __init__(self, path: Path | str | None = None, threads: int = 1) -> None:
        import onnxruntime

        path = shipped_model() if path is None else Path(path)
        try:
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise OSError(errno.EINVAL, "no regular file")  # a pipe or device might have no end
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"model {path}: {error.strerror}; give --model FILE.onnx made by `python -m train export`"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning workers would occupy a core between two beats.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exception classes share no public base
            reason = str(error).splitlines()[0]
            raise ModelError(f"model {path}: not a readable ONNX model ({reason}); export it again") from None
        metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        _check(path, metadata)
        self._inputs = _checked_inputs(path, self._session.get_inputs())
        fixed = isinstance(self._session.get_inputs()[0].shape[0], int)
        self._exact = {_BLOCK: True} | (dict.fromkeys(_OTHER_BLOCKS, False) if fixed else {})  # size -> same bits
        self._outputs = _checked_outputs(path, self._session.get_outputs())
        self.calibration = _calibration(path, metadata)
        self.info = ModelFile(
            name=metadata.get("name", path.stem),
            sha256=hashlib.sha256(content).hexdigest(),
            threshold=_threshold(path, metadata),
            metadata=metadata,
        )
        self._try(path)

    def _try(self, path: Path) -> None:
        """Score a block of plain beats: a graph may fail only when it runs.

        Raises:
            ModelError: it fails, or gives something else than one finite number a beat.
        """
        beats = np.tile(np.exp(-0.5 * ((np.arange(BEAT_SAMPLES) - R_INDEX) / 3.0) ** 2), (_BLOCK, 1))
        try:
            found = self.score(beats)
        except Exception as error:  # onnxruntime's own exception classes share no public base
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"model {path}: cannot score a beat ({reason}); export it again") from None
        if not (np.isfinite(found.log_prob).all() and np.isfinite(found.score).all()):
            raise ModelError(f"model {path}: gives no finite number for a plain beat; train and export it again")

    def score_beats(self, beats: Sequence[Beat]) -> Scores:
        """Score beats of the detector, of any number of patients."""
        n = len(beats)
        samples = np.empty((n, BEAT_SAMPLES), np.float32)
        templates = np.full((n, *_PATIENT_INPUTS["templates"]), np.nan, np.float32)
        values = np.full((n, *_PATIENT_INPUTS["values"]), np.nan, np.float32)
        for row, beat in enumerate(beats):
            samples[row] = beat.samples
            if beat.context is not None:
                templates[row] = beat.context.template, beat.context.steady
                values[row] = beat.context.values
            elif beat.rr_s is not None:
                values[row, 0] = beat.rr_s
        return self.score(samples, templates, values)

    def score(self, samples: ArrayLike, templates: ArrayLike | None = None, values: ArrayLike | None = None) -> Scores:
        """Score beats; the score of a beat does not depend on the other beats.

        Args:
            samples: (n, 187), mV, as `Beat.samples`; n may be 0.
            templates: (n, 2, 187), mV, template and steady template of `Beat.context`, NaN = not known; None = not
                known for any beat. Ignored by a model that takes beats alone.
            values: (n, 8), `BeatContext.values`, likewise.

        Raises:
            ValueError: wrong shape.
        """
        beats = np.ascontiguousarray(samples, dtype=np.float32)
        if beats.shape == (0,):  # an empty list
            beats = beats.reshape(0, BEAT_SAMPLES)
        given = {"beats": beats, "templates": templates, "values": values}
        n = len(beats)
        arrays = {name: _shaped(name, given[name], (n, *shape)) for name, shape in self._inputs.items()}
        found, first = np.empty((len(self._outputs), n), np.float32), 0
        while first < n:
            size = self._block(n - first)
            block = {name: array[first : first + size] for name, array in arrays.items()}
            found[:, first : first + size] = self._run(block, size)
            first += size
        return Scores(found[0], found[1] if len(found) > 1 else -found[0])

    def _block(self, left: int) -> int:
        """Size of the next block when `left` beats remain."""
        few, many = _OTHER_BLOCKS
        size = few if left <= few else many if left > 2 * _BLOCK else _BLOCK
        return size if self._exact.get(size, True) else _BLOCK

    def _run(self, block: dict[str, NDArray[np.float32]], size: int) -> NDArray[np.float32]:
        """(outputs, n) of a block of n beats, n at most `size`."""
        n = len(block["beats"])
        padded = {name: _padded(array, size) for name, array in block.items()}
        outputs = self._session.run(self._outputs, padded)
        for name, output in zip(self._outputs, outputs, strict=True):
            if np.shape(output) != (size,):
                raise ValueError(f"output {name} has shape {np.shape(output)} for {size} beats instead of ({size},)")
        found: NDArray[np.float32] = np.array(outputs, np.float32)[:, :n]
        if size not in self._exact:
            parts = [{name: array[i : i + _BLOCK] for name, array in block.items()} for i in range(0, n, _BLOCK)]
            exact = np.concatenate([self._run(part, _BLOCK) for part in parts], axis=1)
            self._exact[size] = exact.tobytes() == found.tobytes()
            return exact
        return found


def _shaped(name: str, array: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The array as float32 of the model's shape; NaN if not given."""
    if array is None:
        return np.full(shape, np.nan, np.float32)
    rows = np.ascontiguousarray(array, dtype=np.float32)
    if rows.shape != shape:
        what = "samples" if name == "beats" else name
        raise ValueError(f"{what} has shape {rows.shape}: give shape (n, {', '.join(map(str, shape[1:]))})")
    return rows


def _padded(block: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    missing = size - len(block)
    return np.concatenate((block, np.zeros((missing, *block.shape[1:]), np.float32))) if missing else block


def _check(path: Path, metadata: dict[str, str]) -> None:
    """Refuse a model for other beats; names the first difference."""
    for key, expected in _EXPECTED.items():
        found = metadata.get(key)
        if found != expected:
            have = "nothing" if found is None else repr(found)
            raise ModelError(
                f"model {path}: metadata {key} says {have}, this monitor needs {expected!r}; "
                "train and export a model with this version"
            )


def _checked_inputs(path: Path, inputs: list[Any]) -> dict[str, tuple[int, ...]]:
    """Inputs by name and shape; refuses a graph without float32 beats in blocks of our size."""
    names = [tensor.name for tensor in inputs]
    expected = _PATIENT_INPUTS if len(names) > 1 else _LONE_INPUTS
    if names != list(expected):
        raise ModelError(f"model {path}: inputs {names} instead of {list(expected)}; export it again")
    for tensor in inputs:
        shape, wanted = tuple(tensor.shape), expected[tensor.name]
        free = bool(shape) and (shape[0] == _BLOCK or not isinstance(shape[0], int))
        if tensor.type != "tensor(float)" or not free or shape[1:] != wanted:
            raise ModelError(
                f"model {path}: input {tensor.name} is {tensor.type} of shape {list(shape)} instead of tensor(float) "
                f"of shape [n, {', '.join(map(str, wanted))}]; export it again"
            )
    return dict(expected)


def _checked_outputs(path: Path, outputs: list[Any]) -> list[str]:
    names = [tensor.name for tensor in outputs]
    if names not in _OUTPUTS:
        raise ModelError(f"model {path}: outputs {names} instead of {' or '.join(map(str, _OUTPUTS))}; export it again")
    return names


def _threshold(path: Path, metadata: dict[str, str]) -> float:
    value = metadata.get("threshold", "nan")
    try:
        return float(value)
    except ValueError:
        raise ModelError(f"model {path}: metadata threshold={value!r} is no number; export it again") from None


def _calibration(path: Path, metadata: dict[str, str]) -> Calibration:
    try:
        return _calibration_decoder.decode(metadata.get("calibration", ""))
    except msgspec.DecodeError as error:
        raise ModelError(f"model {path}: metadata calibration is unreadable ({error}); export it again") from None
