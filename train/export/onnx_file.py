"""Torch to ONNX: one self-contained file, raw beats in, scores out, all one must know in its metadata."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from detector import BEAT_SAMPLES, CONTEXT_FIELDS
from detector.baseline import Calibration
from train.export.metadata import FORMAT, metadata_strings, weights_sha256
from train.export.modules import ExportedContextual, ExportedScorer, ExportError
from train.model.contextual import ContextualECGModel
from train.model.hybrid import HybridECGModel, load_published
from train.model.normalise import Normalisation, Normalise, fit_normalisation

if TYPE_CHECKING:
    import onnx

__all__ = [
    "FORMAT",
    "PARITY_MAX",
    "PARITY_RELATIVE",
    "PUBLISHED_ALPHA",
    "ExportError",
    "ExportedScorer",
    "check_parity",
    "export_onnx",
    "import_published",
    "torch_log_prob",
    "weights_sha256",
    "write_onnx",
]

OPSET = 18  # the exporter's own opset, read by every onnxruntime since 1.15
PARITY_MAX = 1e-3  # nats; scores of normal beats spread over tens of nats, so no beat changes side by this much
# A beat far out scores thousands of nats under zero, where float32 itself has steps of 1e-3 and more: from 100 nats on
# the difference may grow with the score.
PARITY_RELATIVE = 1e-5
PUBLISHED_ALPHA = 0.05  # the published threshold: 5 % of the training normals score under it
_BATCH = 512
_PARITY_BEATS = 2048


@torch.no_grad()
def torch_log_prob(model: HybridECGModel, normalisation: Normalisation, beats: ArrayLike) -> NDArray[np.float32]:
    """Log p (n,), nats, of raw beats (n, L) by torch on the CPU: what the ONNX file must equal."""
    model = copy.deepcopy(model).float().cpu().eval()
    normalise = Normalise(normalisation)
    raw = torch.from_numpy(np.array(beats, dtype=np.float32))
    scores = [model.log_prob(normalise(part)) for part in torch.split(raw, _BATCH)]
    result: NDArray[np.float32] = torch.cat(scores).numpy()
    return result


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep torch's exporter from printing and warning: nothing it says is for a user of ours."""
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
    """Leave out the exporter's debugging notes: they hold paths of the machine and change from run to run."""
    graph = proto.graph
    proto.doc_string = ""
    graph.doc_string = ""
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    del graph.value_info[:]  # shapes in between: onnxruntime infers them
    del proto.functions[:]


def export_onnx(
    model: HybridECGModel | ContextualECGModel,
    normalisation: Normalisation | None,
    metadata: Mapping[str, Any],
    path: Path | str,
) -> Path:
    """Write the model as one self-contained ONNX file; raw beats in, log p out.

    Input `beats` (n, L) float32, output `log_prob` (n,) float32, n free; a contextual model that knows patients has
    the inputs `templates` (n, 2, L) and `values` (n, 8) as well, and every contextual one the output `score` (n,).
    The same model gives the same bytes. The file appears whole or not at all.

    Args:
        model: trained model; not changed.
        normalisation: goes into the graph; None for a contextual model.
        metadata: `name`, `beat_definition`, `beat_fs_hz`, `r_index`, `threshold` (nats), `training_data`,
            `seed`, `version`, `calibration` and whatever else is worth telling. Strings are kept, everything
            else is written as JSON. `format`, `shown`, `beat_samples`, `weights_sha256` are added.
        path: where to write; folders are made.

    Returns:
        The path.

    Raises:
        ExportError: metadata missing or contradicting the model, lengths that differ, or an unwritable path.
    """
    scorer: torch.nn.Module
    if isinstance(model, ContextualECGModel):
        scorer, shown, samples = ExportedContextual(model), type(model.view).__name__, BEAT_SAMPLES
    elif normalisation is None:
        raise ExportError("the published architecture needs its normalisation")
    else:
        scorer, shown = ExportedScorer(model, normalisation), normalisation.kind
        samples = model.encoder.input_len
    return write_onnx(scorer, samples, metadata_strings(model, shown, samples, metadata), path)


def write_onnx(
    scorer: ExportedScorer | ExportedContextual, samples: int, strings: Mapping[str, str], path: Path | str
) -> Path:
    """Write what a file computes, with these metadata and no other; see `export_onnx`.

    Args:
        scorer: the module.
        samples: in a beat.
        strings: metadata as they shall stand in the file.
        path: where to write; folders are made.

    Raises:
        ExportError: an unwritable path.
    """
    import onnx

    examples = [torch.zeros(2, samples)]
    inputs, outputs = ["beats"], ["log_prob"]
    if isinstance(scorer, ExportedContextual):
        outputs.append("score")
        if scorer.model.view.numbers:
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
    return _write_whole(Path(path), proto.SerializeToString(deterministic=True))


def _write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that a reader never sees half of it."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise ExportError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def check_parity(model: HybridECGModel, normalisation: Normalisation, onnx_path: Path | str, beats: ArrayLike) -> float:
    """Compare the ONNX file with torch on raw beats.

    Args:
        model: what was exported.
        normalisation: what was exported.
        onnx_path: the file.
        beats: (n, L), n at least 1, unit of the beat definition.

    Returns:
        Largest |difference| in log p, nats.

    Raises:
        ExportError: a beat differs by over 1e-3 nats (beyond 100 nats: 1e-5 of its score), or is not finite.
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
            f"{by_torch[worst]:.6g} by torch; at most {allowed[worst]:.3g} nats of difference are allowed"
        )
    return float(difference.max())


def import_published(
    model_path: Path | str,
    config_path: Path | str,
    normals: Path | str,
    out: Path | str,
    *,
    beat_definition: str,
    threshold: float | None = None,
    beat_fs_hz: float = 125.0,
    r_index: int = 0,
    name: str = "published",
    training_data: str = "published checkpoint",
    version: str = "1",
) -> Path:
    """Turn a published checkpoint into our ONNX, parity checked.

    The monitor judges with it by the one threshold: without scores in order of time and by patient there is
        nothing to
    adapt to a patient.

    Args:
        model_path: `best_model.pt`, see `load_published`.
        config_path: `train_config.json`.
        normals: what beats were normalised by. `.npz` or `.json` with `mean` and `std`, (187,) each; or
            `mitbih_train.csv` (187 samples and the label a line), whose rows of label 0 are the training
            normals.
        out: ONNX file to write.
        beat_definition: what beats the model was trained on; `kaggle/1` for the public 187-sample set. The
            monitor takes only models for the beats that it cuts.
        threshold: log p under which a beat is anomalous, nats; None = the 5 % quantile of the normals (CSV
            only).
        beat_fs_hz: sampling rate of the beats, Hz.
        r_index: position of the R-peak in the beat, samples; the public set begins at it.
        name: name of the model.
        training_data: what it was trained on, one line.
        version: version of the model.

    Returns:
        Path of the ONNX file.

    Raises:
        ExportError: a file that cannot be used, or no threshold and no CSV; one line naming file, value and
            remedy.
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
        "beat_fs_hz": beat_fs_hz,
        "r_index": r_index,
        "threshold": threshold,
        "training_data": training_data,
        "seed": "unknown",
        "version": version,
        "calibration": msgspec.json.encode(fixed_calibration(-threshold, None if scores is None else -scores)).decode(),
    }
    path = export_onnx(model, normalisation, metadata, out)
    if beats is None:  # typical beats to compare on: the mean and draws around it
        noise = np.random.default_rng(0).normal(size=(64, normalisation.mean.size))
        beats = normalisation.mean + noise * normalisation.std
    try:
        check_parity(model, normalisation, path, beats[:_PARITY_BEATS])
    except ExportError:
        path.unlink(missing_ok=True)  # a file that scores otherwise than its model must not be found and used
        raise
    return path


def _read_normals(path: Path, samples: int) -> tuple[Normalisation, NDArray[np.float64] | None]:
    """Normalisation, and where the file holds them the training normals (n, samples)."""
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
        raise ExportError(f"{path}: no normalisation to be had from it: {error}") from error
    return normalisation, None


def fixed_calibration(threshold: float, scores: NDArray[np.float64] | None) -> Calibration:
    """Calibration that does not adapt: anomalous is what scores over the threshold, for every patient.

    Args:
        threshold: score; higher = more anomalous.
        scores: of training normals, for the p-values; None makes them fall in a straight line around alpha.
    """
    if scores is None:
        z, p = np.array([-100.0, 0.0, 100.0]), np.array([1.0, PUBLISHED_ALPHA, 0.0])
    else:
        share = np.concatenate((np.linspace(1.0, 0.11, 90), np.geomspace(0.1, 1e-4, 61)))
        at = np.quantile(scores, 1 - share) - threshold
        z = np.concatenate(([min(at[0], 0.0) - 1.0], at, [max(at[-1], 0.0) + 1.0]))
        z += 1e-9 * np.arange(z.size)  # strictly rising, also where many scores are equal
        p = np.concatenate(([1.0], 0.999 * share, [0.0]))
    return Calibration(
        centre=threshold,
        spread=1.0,
        centre_bounds=(threshold, threshold),
        spread_bounds=(1.0, 1.0),
        z=tuple(z.tolist()),
        p=tuple(p.tolist()),
        alpha=float(np.interp(0.0, z, p)),
    )
