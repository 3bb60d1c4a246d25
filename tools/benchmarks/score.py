"""What scoring a beat costs: the shipped ONNX model against the published architecture in eager torch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import BenchError, Figure, Report, paired_ratio, timed

if TYPE_CHECKING:
    from detector import Beat

__all__ = ["measure"]

BATCHES = (1, 16, 64)

Score = Callable[[], object]


def measure(beats: int, repeats: int, seed: int, model: str | None) -> Report:
    """Time both on one thread, in turn, on the same random beats; ours with a patient's context beside each.

    Args:
        beats: scored by each, in each repeat and at each batch size.
        repeats: how often.
        seed: of the beats.
        model: ONNX file; None = the shipped one.

    Raises:
        BenchError: the model cannot be used.
    """
    from detector import BEAT_SAMPLES, ModelError, Scorer

    try:
        scorer = Scorer(model, threads=1)
    except ModelError as error:
        raise BenchError(str(error)) from None
    rng = np.random.default_rng(seed)
    data = rng.normal(0.0, 0.3, (max(BATCHES), BEAT_SAMPLES)).astype(np.float32)
    known = _with_contexts(data, rng)
    eager = _eager_torch() if find_spec("torch") else None
    figures = []
    for batch in BATCHES:
        ask = partial(scorer.score_beats, known[:batch])
        calls = max(1, beats // batch)
        ours: list[float] = []
        theirs: list[float] = []
        _timed_ms(ask, 1)  # the first call allocates
        for _ in range(repeats):
            ours.append(_timed_ms(ask, calls) / batch)
            if eager is not None:
                theirs.append(_timed_ms(partial(eager, data[:batch]), calls) / batch)
        figures.append(timed(f"ours, batch {batch}", ours, "ms/beat"))
        if eager is not None:
            figures.append(timed(f"eager torch, batch {batch}", theirs, "ms/beat"))
            figures.append(paired_ratio(f"ratio: torch / ours, batch {batch}", theirs, ours))
        else:
            one_core = 60_000 / 80 / statistics.median(ours)
            figures.append(Figure(f"ratio: 80 beats a minute / cost, batch {batch}", one_core, "x"))
    return Report(
        "score",
        {"model": scorer.info.name, "threads": 1, "beats": beats, "repeats": repeats, "seed": seed},
        figures,
        (
            "Ours is Scorer.score_beats as the monitor calls it: blocks of one fixed size, the last one padded, so "
            "that a beat's score is the same bits in any company. A single beat therefore costs a whole block.",
            "Torch: the published sizes with random weights, eval mode, no gradients, without normalisation."
            if eager is not None
            else "torch is not installed: nothing to compare with.",
        ),
    )


def _with_contexts(data: NDArray[np.float32], rng: np.random.Generator) -> list[Beat]:
    """The beats as the detector would give them, each of a patient with templates and a rhythm."""
    from detector import CONTEXT_FIELDS, Beat, BeatContext, Quality

    beats = []
    for samples in data:
        template, steady = rng.normal(0.0, 0.3, (2, len(samples))).astype(np.float32)
        values = rng.uniform(0.7, 0.9, len(CONTEXT_FIELDS)).astype(np.float32)
        beats.append(Beat(0, 0.8, samples, Quality.GOOD, context=BeatContext(template, steady, values)))
    return beats


def _eager_torch() -> Callable[[NDArray[np.float32]], object]:
    """The published architecture, as one would call it in torch."""
    import torch

    from train.hybrid import HybridECGModel

    torch.set_num_threads(1)
    model = HybridECGModel(input_len=187, latent_dim=64, n_layers=8, hidden_dims=(512, 512)).eval()

    def score(beats: NDArray[np.float32]) -> object:
        with torch.inference_mode():
            return model.log_prob(torch.from_numpy(beats)).numpy()

    score(np.zeros((1, 187), np.float32))
    return score


def _timed_ms(score: Score, calls: int) -> float:
    """Milliseconds a call."""
    began_s = time.perf_counter()
    for _ in range(calls):
        score()
    return (time.perf_counter() - began_s) * 1e3 / calls
