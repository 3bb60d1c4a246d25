"""Tiny ONNX models, good and bad."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from detector.baseline import Calibration

CALIBRATION = Calibration(
    centre=-40.0,
    spread=4.0,
    centre_bounds=(-80.0, -20.0),
    spread_bounds=(2.0, 8.0),
    z=(-4.0, -2.0, 0.0, 4.0),
    p=(0.0001, 0.02, 0.5, 1.0),
    alpha=0.02,
)

GOOD_METADATA = {
    "format": "ecg-monitor/1",
    "beat_definition": "stream/1",
    "beat_fs_hz": "125",
    "beat_samples": "187",
    "r_index": "62",
    "score": "log_prob",
    "name": "tiny",
    "threshold": "-50.5",
    "calibration": msgspec.json.encode(CALIBRATION).decode(),
}


def tiny_model(
    path: Path,
    metadata: Mapping[str, str] = GOOD_METADATA,
    *,
    input_name: str = "beats",
    output_name: str = "log_prob",
    beat_samples: int = 187,
    batch: int | str = "n",
    hidden: int = 64,
) -> Path:
    """A two-layer density of a kind: log p = -||W tanh(V x)||^2, one number a beat."""
    rng = np.random.default_rng(0)
    weights = {
        "v": rng.normal(0, 0.3, (beat_samples, hidden)).astype(np.float32),
        "w": rng.normal(0, 0.3, (hidden, hidden)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", [input_name, "v"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["c"]),
        helper.make_node("ReduceSumSquare", ["c", "axes"], ["d"], keepdims=0),
        helper.make_node("Neg", ["d"], [output_name]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [batch, beat_samples])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, [batch])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()]
        + [numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
