"""Time to score a beat: the shipped model against the published architecture, in eager torch and as ONNX."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from common.programs import ToolError
from numpy.typing import NDArray

from benchmarks.report import Figure, Report, paired_ratio, timed

if TYPE_CHECKING:
    from detector import Beat

SEED = 1
BATCHES = (1, 16, 64)
EAGER_GOAL, ONNX_GOAL = 4.0, 1.5  # in batches of 64

Score = Callable[[], object]


def measure(beats: int, repeats: int, model: str | None) -> Report:
    """Time all on one thread, in turn, on the same random beats; our beats have a patient's context.

    Each repeat scores `beats` beats at each batch size. `model` is an ONNX file; None = the shipped one.
    """
    from detector import BEAT_SAMPLES, ModelError, Scorer

    try:
        scorer = Scorer(model, threads=1)
    except ModelError as error:
        raise ToolError(str(error)) from None
    rng = np.random.default_rng(SEED)
    data = rng.normal(0.0, 0.3, (max(BATCHES), BEAT_SAMPLES)).astype(np.float32)
    known = _with_contexts(data, rng)
    peers: dict[str, Callable[[NDArray[np.float32]], object]] = {}
    if find_spec("torch") and find_spec("onnxscript"):
        peers = _published()
    figures = []
    for batch in BATCHES:
        ask = partial(scorer.score_beats, known[:batch])
        calls = max(1, beats // batch)
        ours: list[float] = []
        theirs: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(2):  # the first calls allocate, and test which block sizes give the same bits
            _timed_ms(ask, 1)
        for _ in range(repeats):
            ours.append(_timed_ms(ask, calls) / batch)
            for name, peer in peers.items():
                theirs[name].append(_timed_ms(partial(peer, data[:batch]), calls) / batch)
        figures.append(timed(f"ours, batch {batch}", ours, "ms/beat"))
        for name, times in theirs.items():
            goal = (EAGER_GOAL if name == "eager torch" else ONNX_GOAL) if batch == max(BATCHES) else None
            figures.append(timed(f"{name}, batch {batch}", times, "ms/beat"))
            figures.append(paired_ratio(f"ratio: {name} / ours, batch {batch}", times, ours, goal))
        if not peers:
            one_core = 60_000 / 80 / statistics.median(ours)
            figures.append(Figure(f"ratio: 80 beats a minute / cost, batch {batch}", one_core, "x"))
    return Report(
        "score",
        {"model": scorer.info.name, "threads": 1, "beats": beats, "repeats": repeats, "seed": SEED},
        figures,
        (
            "Ours is Scorer.score_beats as the monitor calls it: blocks of 4, 16 or 64 beats, the last one padded, so "
            "that a beat's score has the same bits in every batch. A single beat therefore costs a whole block.",
            "The others: the published sizes with random weights. Torch in eval mode, without gradients and without "
            "normalisation; ONNX as we export it, by onnxruntime on one thread."
            if peers
            else "torch and onnxscript are not installed: nothing to compare with.",
        ),
    )


def _with_contexts(data: NDArray[np.float32], rng: np.random.Generator) -> list[Beat]:
    """Beats as the detector gives them, with the templates and the rhythm of a patient."""
    from detector import CONTEXT_FIELDS, Beat, BeatContext, Quality

    beats = []
    for samples in data:
        template, steady = rng.normal(0.0, 0.3, (2, len(samples))).astype(np.float32)
        values = rng.uniform(0.7, 0.9, len(CONTEXT_FIELDS)).astype(np.float32)
        beats.append(Beat(0, 0.8, samples, Quality.GOOD, context=BeatContext(template, steady, values)))
    return beats


def _published() -> dict[str, Callable[[NDArray[np.float32]], object]]:
    """The published architecture in torch, and exported to ONNX."""
    import onnxruntime
    import torch

    from train.export.onnx_file import export_onnx
    from train.model.hybrid import HybridECGModel
    from train.model.normalise import fit_normalisation

    torch.set_num_threads(1)
    model = HybridECGModel(input_len=187, latent_dim=64, n_layers=8, hidden_dims=(512, 512)).eval()

    def by_torch(beats: NDArray[np.float32]) -> object:
        with torch.inference_mode():
            return model.log_prob(torch.from_numpy(beats)).numpy()

    normalisation = fit_normalisation("per_sample", np.random.default_rng(0).normal(size=(64, 187)))
    keys = ("beat_definition", "beat_fs_hz", "r_index", "threshold", "training_data", "seed", "version", "calibration")
    with tempfile.TemporaryDirectory() as folder:
        metadata = {"name": "published"} | dict.fromkeys(keys, "0")
        content = export_onnx(model, normalisation, metadata, Path(folder) / "published.onnx").read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def by_onnx(beats: NDArray[np.float32]) -> object:
        return session.run(["log_prob"], {"beats": beats})

    for peer in (by_torch, by_onnx):
        peer(np.zeros((1, 187), np.float32))
    return {"eager torch": by_torch, "published ONNX": by_onnx}


def _timed_ms(score: Score, calls: int) -> float:
    """Milliseconds a call."""
    began_s = time.perf_counter()
    for _ in range(calls):
        score()
    return (time.perf_counter() - began_s) * 1e3 / calls
