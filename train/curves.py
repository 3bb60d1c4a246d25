"""Figures, ROC and score histogram as numbers, for pages that draw them: `detector/models/ecg_maf.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.scorer import shipped_model
from train.atomic_file import replace_file
from train.data.records import CLASSES, DS2
from train.evaluate.metrics import auroc
from train.evaluate.protocols import Outcome, Progress, no_progress
from train.evaluate.record_decisions import LEARNING_S
from train.evaluate.results import FOLDER, read_results
from train.evaluate.stream_protocol import evaluate_stream
from train.export.loaded_model import load_model
from train.tables import OURS, SHORT_NOTE, short_rows

__all__ = ["card_curves", "card_figures", "histogram", "roc_points", "write_card_curves"]

# In 232 most beats are abnormal, so its usual beat is not a normal one; the README states figures without it.
LEFT_OUT: Final = "232"
_DECISIONS: Final = ("gross", f"gross_without_{LEFT_OUT}")
_POINTS: Final = 160
_EDGES: Final = (-4.0, 32.0, 72)  # of the histogram: lowest, highest score, bins; scores beyond count in the outer bins
_FPR_MIN: Final = 1e-4


def write_card_curves(path: Path | None = None, progress: Progress = no_progress) -> Path:
    """Evaluate the shipped model on DS2 as the monitor runs, and write curves and figures beside it.

    Returns:
        The written file.
    """
    model = load_model(shipped_model())
    outcome = evaluate_stream([model], DS2, progress=progress)
    path = path or shipped_model().with_suffix(".json")
    known = {"sha256": model.sha256, "learning_s": LEARNING_S, **card_figures(read_results(FOLDER))}
    replace_file(path, json.dumps({**known, **card_curves(outcome)}, separators=(",", ":")).encode() + b"\n")
    return path


def card_figures(results: Mapping[str, Any]) -> dict[str, Any]:
    """The short table of the README, and how the model decides on new patients, from the stored results.

    Args:
        results: by protocol, from `read_results`.
    """
    decided = results["stream"]["decisions"][OURS]
    return {
        "figures": short_rows(results),
        "note": SHORT_NOTE,
        "decisions": {name: {key: decided[name][key] for key in ("rates", "intervals")} for name in _DECISIONS},
    }


def card_curves(outcome: Outcome) -> dict[str, Any]:
    """Curves of the first row of the protocol `stream` (the model) and of its last (the template, no learning)."""
    ours, template = outcome.rows[0], outcome.rows[-1]
    kept = outcome.test.records != LEFT_OUT
    return {
        "records": list(outcome.extra["records"]),
        "without": LEFT_OUT,
        "beats": {name: int((ours.labels == name).sum()) for name in CLASSES},
        "roc": [
            _curve(f"without record {LEFT_OUT}", ours.scores[kept], ours.labels[kept]),
            _curve("all records", ours.scores, ours.labels),
            _curve("no learning, all records", template.scores, template.labels),
        ],
        "histogram": histogram(ours.scores, ours.labels),
    }


def _curve(name: str, scores: NDArray[np.float64], labels: NDArray[np.str_]) -> dict[str, Any]:
    return {"name": name, "auroc": auroc(scores, labels), "points": roc_points(scores, labels != "N")}


def roc_points(scores: NDArray[np.float64], abnormal: NDArray[np.bool_], most: int = _POINTS) -> list[list[float]]:
    """Points (false positive rate, true positive rate) from (0, 0) to (1, 1), at most about `most` of them.

    Args:
        scores: (n,), higher = more anomalous.
        abnormal: (n,) labels.
        most: number of false positive rates, evenly spaced on a logarithmic axis.
    """
    ordered = abnormal[np.argsort(-scores, kind="stable")]
    values = np.sort(scores)[::-1]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # beats of equal score change side together
    tpr = np.append(0.0, np.cumsum(ordered)[ends] / max(int(abnormal.sum()), 1))
    fpr = np.append(0.0, np.cumsum(~ordered)[ends] / max(int((~abnormal).sum()), 1))
    at = np.append(0.0, np.geomspace(_FPR_MIN, 1.0, most))
    chosen = np.union1d(np.searchsorted(fpr, at, side="right") - 1, [0, fpr.size - 1])
    chosen = np.arange(fpr.size) if fpr.size <= most else chosen
    return [[round(float(fpr[i]), 6), round(float(tpr[i]), 6)] for i in chosen]


def histogram(
    scores: NDArray[np.float64], labels: NDArray[np.str_], classes: Sequence[str] = CLASSES
) -> dict[str, Any]:
    """Number of beats of each class per bin of the score; the outer bins also count what lies beyond them."""
    low, high, bins = _EDGES
    edges = np.linspace(low, high, bins + 1)
    inside = np.clip(scores, low, high)
    counts = {name: np.histogram(inside[labels == name], edges)[0].tolist() for name in classes}
    return {"low": low, "high": high, "bins": bins, "counts": counts}
