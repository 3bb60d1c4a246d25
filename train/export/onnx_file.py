"""Torch to ONNX: one self-contained file, raw beats in, scores out, everything needed to use it in its metadata."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from detector import BEAT_SAMPLES, CONTEXT_FIELDS
from train.atomic_file import replace_file
from train.errors import ExportError
from train.export.metadata import metadata_strings
from train.export.modules import ExportedContextual, ExportedScorer
from train.model.contextual import ContextualECGModel
from train.model.hybrid import HybridECGModel
from train.model.normalise import Normalisation, Normalise

if TYPE_CHECKING:
    import onnx

__all__ = ["PARITY_MAX", "PARITY_RELATIVE", "check_parity", "export_onnx", "torch_log_prob"]

OPSET = 18  # the exporter's own opset, read by every onnxruntime since 1.15
PARITY_MAX = 1e-3  # nats; scores of normal beats spread over tens of nats, so no beat crosses the threshold by this
# A far outlier scores thousands of nats under zero, where float32 itself has steps of 1e-3 and more: above 100 nats
# the allowed difference grows with the score.
PARITY_RELATIVE = 1e-5
_BATCH = 512


@torch.no_grad()
def torch_log_prob(model: HybridECGModel, normalisation: Normalisation, beats: ArrayLike) -> NDArray[np.float32]:
    """Log p (n,), nats, of raw beats (n, L) by torch on the CPU: the reference for the ONNX file."""
    model = copy.deepcopy(model).float().cpu().eval()
    normalise = Normalise(normalisation)
    raw = torch.from_numpy(np.array(beats, dtype=np.float32))
    scores = [model.log_prob(normalise(part)) for part in torch.split(raw, _BATCH)]
    result: NDArray[np.float32] = torch.cat(scores).numpy()
    return result


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress the output and warnings of torch's exporter: none of them concerns a user of this package."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(proto: onnx.ModelProto) -> None:
    """Remove the exporter's debugging notes: they hold paths of the machine and differ from run to run."""
    graph = proto.graph
    proto.doc_string = ""
    graph.doc_string = ""
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    del graph.value_info[:]  # intermediate shapes: onnxruntime infers them
    del proto.functions[:]


def export_onnx(
    model: HybridECGModel | ContextualECGModel,
    normalisation: Normalisation | None,
    metadata: Mapping[str, Any],
    path: Path | str,
) -> Path:
    """Write the model as one self-contained ONNX file; raw beats in, log p out.

    Input `beats` (n, L) float32, output `log_prob` (n,) float32, n free. A contextual model that takes patient data
    has the inputs `templates` (n, 2, L) and `values` (n, 8) as well. Every contextual model has the output `score`
    (n,). The same model gives the same bytes. The file is written atomically.

    Args:
        model: trained model; not changed.
        normalisation: goes into the graph; None for a contextual model.
        metadata: `name`, `beat_definition`, `beat_fs_hz`, `r_index`, `threshold` (nats), `training_data`,
            `seed`, `version`, `calibration` and any further keys. Strings are kept, everything else is written as
            JSON. `format`, `shown`, `beat_samples`, `weights_sha256` are added.
        path: file to write; missing folders are created.

    Returns:
        The path.

    Raises:
        ExportError: metadata are missing or contradict the model, lengths differ, or the path cannot be written.
    """
    import onnx

    scorer: ExportedScorer | ExportedContextual
    inputs, outputs = ["beats"], ["log_prob"]
    if isinstance(model, ContextualECGModel):
        scorer, shown, samples = ExportedContextual(model), model.beat_input.shown, BEAT_SAMPLES
        outputs.append("score")
    elif normalisation is None:
        raise ExportError("the published architecture needs its normalisation")
    else:
        scorer, shown = ExportedScorer(model, normalisation), normalisation.kind
        samples = model.encoder.input_len
    strings = metadata_strings(model, shown, samples, metadata)
    examples = [torch.zeros(2, samples)]
    if isinstance(model, ContextualECGModel) and model.beat_input.numbers:
        inputs += ["templates", "values"]
        examples += [torch.zeros(2, 2, BEAT_SAMPLES), torch.ones(2, len(CONTEXT_FIELDS))]
    rows = torch.export.Dim("n")
    # The contexts are a variable argument of the module, which torch takes as one tuple.
    free: tuple[Any, ...] = ({0: rows}, tuple({0: rows} for _ in inputs[1:])) if inputs[1:] else ({0: rows},)
    with _quiet_exporter():
        program = torch.onnx.export(
            scorer,
            tuple(examples),
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=free,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ExportError("torch returned no ONNX program")
    proto = program.model_proto
    _strip(proto)
    proto.producer_name, proto.producer_version = "ecg-monitor", strings["version"]
    onnx.helper.set_model_props(proto, dict(sorted(strings.items())))
    onnx.checker.check_model(proto, full_check=True)
    path = Path(path)
    try:
        replace_file(path, proto.SerializeToString(deterministic=True))
    except OSError as error:
        raise ExportError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def check_parity(model: HybridECGModel, normalisation: Normalisation, onnx_path: Path | str, beats: ArrayLike) -> float:
    """Compare the ONNX file with torch on raw beats.

    Args:
        model: the exported model.
        normalisation: the exported normalisation.
        onnx_path: the file.
        beats: (n, L), n at least 1, unit of the beat definition.

    Returns:
        Largest |difference| in log p, nats.

    Raises:
        ExportError: a beat differs by over 1e-3 nats (above 100 nats: 1e-5 of its score), or is not finite.
    """
    import onnxruntime

    raw = np.ascontiguousarray(beats, dtype=np.float32)
    if raw.ndim != 2 or not len(raw):
        raise ExportError(f"parity needs beats of shape (n, {model.encoder.input_len}), n >= 1, not {raw.shape}")
    session = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])
    parts = [raw[i : i + _BATCH] for i in range(0, len(raw), _BATCH)]
    by_onnx = np.concatenate([session.run(["log_prob"], {"beats": part})[0] for part in parts])
    by_torch = torch_log_prob(model, normalisation, raw)
    difference = np.abs(by_onnx.astype(np.float64) - by_torch)
    allowed = np.fmax(PARITY_MAX, PARITY_RELATIVE * np.abs(by_torch.astype(np.float64)))
    excess = np.where(np.isfinite(difference), difference / allowed, np.inf)
    worst = int(np.argmax(excess))
    if excess[worst] > 1.0:
        raise ExportError(
            f"{onnx_path}: beat {worst} of {len(raw)} scores {by_onnx[worst]:.6g} by ONNX and "
            f"{by_torch[worst]:.6g} by torch; allowed difference {allowed[worst]:.3g} nats"
        )
    return float(difference.max())
