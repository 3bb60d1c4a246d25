"""Figures of merit of an anomaly score: higher score = more anomalous, positive = abnormal (not class N)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data import CLASSES

__all__ = [
    "MIN_PER_RECORD",
    "at_threshold",
    "auroc",
    "auroc_interval",
    "best_f1",
    "by_class_at_threshold",
    "per_class_auroc",
    "per_record_auroc",
    "sensitivity_at_fpr",
    "summary",
]

Scores = NDArray[np.float64]
Labels = NDArray[np.str_]

MIN_PER_RECORD = 10  # a record with fewer beats of either kind has no AUROC worth a name
_BOOTSTRAPS = 2000


def auroc(scores: Scores, labels: Labels) -> float | None:
    """Area under the ROC of abnormal against normal; None where one of them is missing."""
    abnormal = labels != "N"
    if not abnormal.any() or abnormal.all():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(abnormal, scores))


def per_class_auroc(scores: Scores, labels: Labels) -> dict[str, float | None]:
    """AUROC of each abnormal class against the class N alone."""
    return {
        name: auroc(scores[keep], labels[keep]) for name in CLASSES[1:] for keep in [(labels == "N") | (labels == name)]
    }


def per_record_auroc(scores: Scores, labels: Labels, records: NDArray[np.str_]) -> dict[str, float]:
    """AUROC within each record that has at least 10 normal and 10 abnormal beats."""
    result: dict[str, float] = {}
    for name in np.unique(records).tolist():
        here = records == name
        abnormal = int(np.count_nonzero(labels[here] != "N"))
        value = auroc(scores[here], labels[here])
        if value is not None and min(abnormal, int(here.sum()) - abnormal) >= MIN_PER_RECORD:
            result[name] = value
    return result


def at_threshold(scores: Scores, labels: Labels, threshold: float) -> dict[str, float]:
    """F1, precision, recall and false-positive rate of calling everything over `threshold` abnormal.

    A share whose denominator is 0 is 0, as scikit-learn has it.
    """
    flagged, abnormal = scores > threshold, labels != "N"
    hit = int(np.count_nonzero(flagged & abnormal))
    false = int(np.count_nonzero(flagged & ~abnormal))
    positives, negatives = int(abnormal.sum()), int((~abnormal).sum())
    return {
        "threshold": float(threshold),
        "f1": _share(2 * hit, hit + false + positives),
        "precision": _share(hit, hit + false),
        "recall": _share(hit, positives),
        "fpr": _share(false, negatives),
    }


def best_f1(scores: Scores, labels: Labels) -> dict[str, float]:
    """As `at_threshold`, at the threshold with the best F1 on these very labels: only to compare with."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels != "N", scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))[:-1]
    # The curve's thresholds count as flagged (>=), ours do not (>): step just under it.
    return at_threshold(scores, labels, float(np.nextafter(thresholds[int(np.argmax(f1))], -np.inf)))


def sensitivity_at_fpr(scores: Scores, labels: Labels, name: str, fpr: float, missed: int = 0) -> float | None:
    """Share of class `name` over the threshold that `fpr` of the normal beats exceed.

    Args:
        scores: (n,), higher = more anomalous.
        labels: (n,) classes.
        name: the class, e.g. `V`.
        fpr: share of normal beats allowed over the threshold.
        missed: beats of the class that have no score at all, e.g. not detected: not found.

    Returns:
        The sensitivity, or None without normal beats or beats of the class.
    """
    normal, wanted = scores[labels == "N"], scores[labels == name]
    if not len(normal) or not len(wanted) + missed:
        return None
    allowed = int(fpr * len(normal))
    threshold = np.sort(normal)[::-1][allowed] if allowed < len(normal) else -np.inf
    return float(np.count_nonzero(wanted > threshold) / (len(wanted) + missed))


def by_class_at_threshold(scores: Scores, labels: Labels, threshold: float) -> dict[str, dict[str, int]]:
    """Confusion matrix by class: how many beats of each class are called normal and anomalous."""
    return {
        name: {
            "normal": int(np.count_nonzero(scores[labels == name] <= threshold)),
            "anomalous": int(np.count_nonzero(scores[labels == name] > threshold)),
        }
        for name in CLASSES
    }


def auroc_interval(
    scores: Scores, labels: Labels, records: NDArray[np.str_], seed: int, resamples: int = _BOOTSTRAPS
) -> tuple[float, float] | None:
    """95 % bootstrap interval of the pooled AUROC over records: patients are drawn anew, not beats.

    A draw only changes how often each record counts, so the wins of record i's abnormal over record j's normal
    beats are counted once, and every draw is a weighted sum of them (Efron's percentile method).

    Args:
        scores: (n,), higher = more anomalous.
        labels: (n,) classes.
        records: (n,) names.
        seed: of the draws.
        resamples: how many draws.

    Returns:
        Lower and upper bound, or None with fewer than two records or only one kind of beats.
    """
    names = np.unique(records).tolist()
    if len(names) < 2 or auroc(scores, labels) is None:
        return None
    abnormal = [scores[(records == name) & (labels != "N")] for name in names]
    normal = [np.sort(scores[(records == name) & (labels == "N")]) for name in names]
    wins = np.array([[_wins(high, low) for low in normal] for high in abnormal])  # (records, records)
    positives, negatives = (np.array([len(part) for part in parts]) for parts in (abnormal, normal))
    draws = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    weights = np.array([np.bincount(draw, minlength=len(names)) for draw in draws], dtype=np.float64)
    pairs = (weights @ positives) * (weights @ negatives)
    won = np.einsum("di,ij,dj->d", weights, wins, weights)
    low, high = np.quantile(won[pairs > 0] / pairs[pairs > 0], [0.025, 0.975])
    return float(low), float(high)


def summary(
    scores: Scores,
    labels: Labels,
    records: NDArray[np.str_] | None,
    threshold: float | None,
    seed: int = 0,
    missed: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """All figures of one score on one test set.

    Args:
        scores: (n,), higher = more anomalous.
        labels: (n,) classes.
        records: (n,) names; None: no figures by record (the protocol mixes patients).
        threshold: score over which a beat is anomalous, fixed beforehand; None: no such figures.
        seed: of the bootstrap.
        missed: how many beats of each class have no score, e.g. not detected; they count as not found in the
            sensitivities at a false-positive rate, and nowhere else.
    """
    from sklearn.metrics import average_precision_score

    lost = missed or {}
    both = auroc(scores, labels) is not None  # else there is nothing to tell apart
    result: dict[str, Any] = {
        "beats": len(scores),
        "auroc": auroc(scores, labels),
        "average_precision": float(average_precision_score(labels != "N", scores)) if both else None,
        "auroc_by_class": per_class_auroc(scores, labels),
        "best": best_f1(scores, labels) if both else None,
        "veb_se_at_1pct_fpr": sensitivity_at_fpr(scores, labels, "V", 0.01, lost.get("V", 0)),
        "sveb_se_at_5pct_fpr": sensitivity_at_fpr(scores, labels, "S", 0.05, lost.get("S", 0)),
    }
    if threshold is not None:
        result["fixed"] = at_threshold(scores, labels, threshold)
        result["confusion"] = by_class_at_threshold(scores, labels, threshold)
    if records is not None:
        result |= _by_record(scores, labels, records, seed)
        kept = records != "232"
        if not kept.all() and kept.any():
            result["without_232"] = {
                "auroc": auroc(scores[kept], labels[kept]),
                "auroc_by_class": per_class_auroc(scores[kept], labels[kept]),
                **_by_record(scores[kept], labels[kept], records[kept], seed),
            }
    return result


def _by_record(scores: Scores, labels: Labels, records: NDArray[np.str_], seed: int) -> dict[str, Any]:
    each = per_record_auroc(scores, labels, records)
    return {
        "auroc_95": auroc_interval(scores, labels, records, seed),
        "record_mean_auroc": float(np.mean(list(each.values()))) if each else None,
        "auroc_by_record": each,
    }


def _wins(high: Scores, low: Scores) -> float:
    """Pairs in which a value of `high` is over one of `low` (sorted); equal values count half."""
    return 0.5 * float(np.searchsorted(low, high, "left").sum() + np.searchsorted(low, high, "right").sum())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
