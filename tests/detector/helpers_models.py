"""Tiny ONNX models, valid and invalid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from detector.baseline import Calibration
from detector.beats import BEAT_DEFINITION

CALIBRATION = Calibration(
    centre=40.0,
    spread=4.0,
    centre_bounds=(20.0, 80.0),
    spread_bounds=(2.0, 8.0),
    z=(-4.0, 0.0, 2.0, 4.0),
    p=(1.0, 0.5, 0.02, 0.0001),
    alpha=0.02,
)

GOOD_METADATA = {
    "format": "ecg-monitor/2",
    "beat_definition": BEAT_DEFINITION,
    "beat_fs_hz": "125",
    "beat_samples": "187",
    "r_index": "62",
    "name": "tiny",
    "threshold": "-50.5",
    "calibration": msgspec.json.encode(CALIBRATION).decode(),
}

PATIENT: Mapping[str, tuple[int, ...]] = {"templates": (2, 187), "values": (8,)}
SCORE_OFFSET = 3.0
UNKNOWN = 100.0  # added to the score by each unknown number


def weights(
    beat_samples: int = 187, hidden: int = 64, extra: Mapping[str, tuple[int, ...]] = PATIENT
) -> dict[str, NDArray[np.float32]]:
    """`v` and `w` of the density, and one weight for each number of the further inputs."""
    rng = np.random.default_rng(0)
    shapes = {"v": (beat_samples, hidden), "w": (hidden, hidden)} | {
        f"w_{name}": shape for name, shape in extra.items()
    }
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def tiny_model(
    path: Path,
    metadata: Mapping[str, str] = GOOD_METADATA,
    *,
    input_name: str = "beats",
    output_name: str = "log_prob",
    beat_samples: int = 187,
    batch: int | str = "n",
    hidden: int = 64,
    extra: Mapping[str, tuple[int, ...]] | None = None,
    score: str = "",
    columns: int = 0,
    constant: float | None = None,
) -> Path:
    """A two-layer density of a kind, one number a beat.

    log p = -||W tanh(V x)||^2 - the sum of (weight * number)^2 over the known numbers of the further inputs.
    score = SCORE_OFFSET - log p + UNKNOWN * (how many are not known).

    `columns`: log p has this many columns, instead of one number a beat. `constant`: factor of log p.
    `extra` holds further inputs by name and shape, e.g. `PATIENT`; `score` is the name of a second output.
    """
    extra = extra or {}
    constants: dict[str, NDArray[np.generic]] = {
        **weights(beat_samples, hidden, extra),
        "axes": np.array([1], np.int64),
        "nothing": np.float32(0).reshape(()),
        "unknown": np.float32(UNKNOWN).reshape(()),
        "offset": np.float32(SCORE_OFFSET).reshape(()),
    }
    nodes = [
        helper.make_node("MatMul", [input_name, "v"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["c"]),
        helper.make_node("ReduceSumSquare", ["c", "axes"], ["d"], keepdims=0),
    ]
    energy, lack = "d", "offset"
    for name, shape in extra.items():
        constants[f"axes_{name}"] = np.arange(1, 1 + len(shape), dtype=np.int64)
        # A sum over a row is a product with ones: a reduction starts where the row lies well in memory, so it gives
        # other bits in another row of the block, unless rows are a multiple of the vector's width.
        constants[f"ones_{name}"] = np.ones((int(np.prod(shape)), 1), np.float32)
        nodes += [
            helper.make_node("IsNaN", [name], [f"{name}_nan"]),
            helper.make_node("Where", [f"{name}_nan", "nothing", name], [f"{name}_known"]),
            helper.make_node("Mul", [f"{name}_known", f"w_{name}"], [f"{name}_weighted"]),
            helper.make_node("Mul", [f"{name}_weighted", f"{name}_weighted"], [f"{name}_squared"]),
            helper.make_node("Flatten", [f"{name}_squared"], [f"{name}_flat"], axis=1),
            helper.make_node("MatMul", [f"{name}_flat", f"ones_{name}"], [f"{name}_column"]),
            helper.make_node("ReduceSum", [f"{name}_column", "axes"], [f"{name}_sum"], keepdims=0),
            helper.make_node("Add", [energy, f"{name}_sum"], [f"{name}_energy"]),
            helper.make_node("Where", [f"{name}_nan", "unknown", "nothing"], [f"{name}_each"]),
            helper.make_node("ReduceSum", [f"{name}_each", f"axes_{name}"], [f"{name}_count"], keepdims=0),
            helper.make_node("Add", [lack, f"{name}_count"], [f"{name}_lack"]),
        ]
        energy, lack = f"{name}_energy", f"{name}_lack"
    if constant is not None:
        constants["factor"] = np.float32(constant).reshape(())
        nodes.append(helper.make_node("Mul", [energy, "factor"], ["scaled"]))
        energy = "scaled"
    if columns:
        constants["shape"] = np.array([-1, columns], np.int64)
        nodes.append(helper.make_node("Reshape", [energy, "shape"], ["reshaped"]))
        energy = "reshaped"
    nodes.append(helper.make_node("Neg", [energy], [output_name]))
    outputs = [output_name]
    if score:
        nodes.append(helper.make_node("Add", [energy, lack], [score]))
        outputs.append(score)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape])
            for name, shape in {input_name: (beat_samples,), **extra}.items()
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, columns] if columns else [batch])
            for name in outputs
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
