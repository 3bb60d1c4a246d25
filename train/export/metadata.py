"""Metadata of an ONNX file: beat definition, training, threshold and calibration."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from train.errors import ExportError

__all__ = ["FORMAT", "REQUIRED_METADATA", "metadata_strings", "weights_sha256"]

FORMAT = "ecg-monitor/2"
REQUIRED_METADATA = (
    "name",
    "beat_definition",
    "beat_fs_hz",
    "r_index",
    "threshold",
    "training_data",
    "seed",
    "version",
    "calibration",
)


def weights_sha256(model: nn.Module) -> str:
    """SHA-256, hex, over the bytes of the state dict's tensors, sorted by key."""
    digest = hashlib.sha256()
    for _, tensor in sorted(model.state_dict().items()):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _as_string(value: Any) -> str:
    """A metadata value as text: strings as they are, whole numbers without a point (125.0 -> 125), else JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def metadata_strings(model: nn.Module, shown: str, beat_samples: int, given: Mapping[str, Any]) -> dict[str, str]:
    """All metadata of an ONNX file as strings, with the entries that follow from the model.

    Args:
        model: the exported model.
        shown: how the model sees beats: kind of its normalisation, or name of its `BeatInput`.
        beat_samples: samples in a beat.
        given: at least REQUIRED_METADATA. Strings are kept, everything else becomes JSON.

    Returns:
        The given entries, and `format`, `shown`, `beat_samples` and `weights_sha256`.

    Raises:
        ExportError: an entry is missing, contradicts the model, or has no valid value.
    """
    missing = [key for key in REQUIRED_METADATA if key not in given]
    if missing:
        raise ExportError(f"metadata lack {', '.join(missing)}")
    own: dict[str, Any] = {
        "format": FORMAT,
        "shown": shown,
        "beat_samples": beat_samples,
        "weights_sha256": weights_sha256(model),
    }
    strings = {key: _as_string(value) for key, value in {**own, **given}.items()}
    for key, value in own.items():
        if strings[key] != str(value):
            raise ExportError(f"metadata say {key} = {strings[key]}; the model has {value}")
    for key in ("threshold", "score_threshold"):
        try:
            threshold = float(strings.get(key, "0"))
        except ValueError:
            threshold = math.nan
        if not math.isfinite(threshold):
            raise ExportError(f"{key} is {strings[key]}; a finite number is needed")
    try:
        json.loads(strings["calibration"])
    except json.JSONDecodeError as error:
        raise ExportError(f"calibration is not JSON ({error}); give a JSON string or a plain object") from None
    return strings
