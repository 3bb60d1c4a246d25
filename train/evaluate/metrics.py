"""Figures of merit of an anomaly score: higher score = more anomalous, positive = abnormal (not class N)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data.records import CLASSES
from train.evaluate.bootstrap import draw_weights, mean_interval, score_intervals

__all__ = [
    "MIN_PER_RECORD",
    "at_threshold",
    "auroc",
    "best_f1",
    "by_class_at_threshold",
    "per_class_auroc",
    "per_record_auroc",
    "sensitivity_at_fpr",
    "summary",
]

Floats = NDArray[np.float64]
Labels = NDArray[np.str_]

MIN_PER_RECORD = 10  # with fewer normal or abnormal beats the AUROC of a record is too uncertain


def auroc(scores: Floats, labels: Labels) -> float | None:
    """Area under the ROC of abnormal against normal; None if either is absent."""
    abnormal = labels != "N"
    if not abnormal.any() or abnormal.all():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(abnormal, scores))


def per_class_auroc(scores: Floats, labels: Labels) -> dict[str, float | None]:
    """AUROC of each abnormal class against class N."""
    return {
        name: auroc(scores[keep], labels[keep]) for name in CLASSES[1:] for keep in [(labels == "N") | (labels == name)]
    }


def per_record_auroc(scores: Floats, labels: Labels, records: NDArray[np.str_]) -> dict[str, float]:
    """AUROC within each record that has at least 10 normal and 10 abnormal beats."""
    result: dict[str, float] = {}
    for name in np.unique(records).tolist():
        here = records == name
        abnormal = int(np.count_nonzero(labels[here] != "N"))
        value = auroc(scores[here], labels[here])
        if value is not None and min(abnormal, int(here.sum()) - abnormal) >= MIN_PER_RECORD:
            result[name] = value
    return result


def at_threshold(scores: Floats, labels: Labels, threshold: float) -> dict[str, float]:
    """F1, precision, recall and false-positive rate of calling everything over `threshold` abnormal.

    A ratio with denominator 0 is 0, as in scikit-learn.
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


def best_f1(scores: Floats, labels: Labels) -> dict[str, float]:
    """As `at_threshold`, at the threshold with the best F1 on these labels; for comparison only."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels != "N", scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))[:-1]
    # The curve flags scores >= threshold, `at_threshold` flags scores > threshold: step just below it.
    return at_threshold(scores, labels, float(np.nextafter(thresholds[int(np.argmax(f1))], -np.inf)))


def sensitivity_at_fpr(scores: Floats, labels: Labels, name: str, fpr: float, missed: int = 0) -> float | None:
    """Share of class `name` over the threshold that a share `fpr` of the normal beats exceeds.

    Args:
        scores: (n,), higher = more anomalous.
        labels: (n,) classes.
        name: the class, e.g. `V`.
        fpr: share of normal beats allowed over the threshold.
        missed: beats of the class without a score, e.g. not detected; they count as not found.

    Returns:
        The sensitivity, or None without normal beats or beats of the class.
    """
    normal, wanted = scores[labels == "N"], scores[labels == name]
    if not len(normal) or not len(wanted) + missed:
        return None
    allowed = int(fpr * len(normal))
    threshold = np.sort(normal)[::-1][allowed] if allowed < len(normal) else -np.inf
    return float(np.count_nonzero(wanted > threshold) / (len(wanted) + missed))


def by_class_at_threshold(scores: Floats, labels: Labels, threshold: float) -> dict[str, dict[str, int]]:
    """Confusion matrix by class: beats of each class called normal and anomalous."""
    return {
        name: {
            "normal": int(np.count_nonzero(scores[labels == name] <= threshold)),
            "anomalous": int(np.count_nonzero(scores[labels == name] > threshold)),
        }
        for name in CLASSES
    }


def summary(
    scores: Floats,
    labels: Labels,
    records: NDArray[np.str_] | None,
    threshold: float | None,
    seed: int = 0,
    missed: Mapping[str, Mapping[str, int]] | None = None,
    mixed: bool = False,
) -> dict[str, Any]:
    """All figures of one score on one test set, with 95 % bootstrap intervals.

    Args:
        scores: (n,), higher = more anomalous.
        labels: (n,) classes.
        records: (n,) names; None = unknown: the intervals resample beats instead of records.
        threshold: fixed score over which a beat is anomalous; None = no figures at a threshold.
        seed: of the bootstrap.
        missed: by record, number of beats of each class without a score, e.g. not detected; they count as not found
            in the sensitivities at a false-positive rate, and nowhere else.
        mixed: test patients are also training patients: no figures by record and none without 232.
    """
    result = _figures(scores, labels, records, threshold, seed, missed or {}, by_record=not mixed)
    if records is None or mixed:
        return result
    kept = records != "232"
    if not kept.all() and kept.any():
        others = {name: counts for name, counts in (missed or {}).items() if name != "232"}
        result["without_232"] = _figures(scores[kept], labels[kept], records[kept], threshold, seed, others)
    return result


def _figures(
    scores: Floats,
    labels: Labels,
    records: NDArray[np.str_] | None,
    threshold: float | None,
    seed: int,
    missed: Mapping[str, Mapping[str, int]],
    by_record: bool = True,
) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score

    lost = {name: sum(counts.get(name, 0) for counts in missed.values()) for name in CLASSES}
    both = auroc(scores, labels) is not None  # else one kind of beat is absent
    result: dict[str, Any] = {
        "beats": len(scores),
        "auroc": auroc(scores, labels),
        "average_precision": float(average_precision_score(labels != "N", scores)) if both else None,
        "auroc_by_class": per_class_auroc(scores, labels),
        "best": best_f1(scores, labels) if both else None,
        "veb_se_at_1pct_fpr": sensitivity_at_fpr(scores, labels, "V", 0.01, lost["V"]),
        "sveb_se_at_5pct_fpr": sensitivity_at_fpr(scores, labels, "S", 0.05, lost["S"]),
    }
    if threshold is not None:
        result["fixed"] = at_threshold(scores, labels, threshold)
        result["confusion"] = by_class_at_threshold(scores, labels, threshold)
    names, units = ([], np.arange(len(scores))) if records is None else _codes(records, missed)
    weights = draw_weights(len(names) or len(scores), seed)
    lost_by_unit = {label: np.array([missed.get(name, {}).get(label, 0) for name in names]) for label in CLASSES}
    intervals = (
        score_intervals(scores, labels, units, weights, threshold, lost_by_unit if names else None)
        if len(names) > 1 or records is None
        else {}  # no interval from one patient
    )
    if records is not None and by_record:
        each = per_record_auroc(scores, labels, records)
        result["record_mean_auroc"] = float(np.mean(list(each.values()))) if each else None
        result["auroc_by_record"] = each
        intervals["record_mean_auroc"] = mean_interval(each, weights, names) if len(names) > 1 else None
    return result | {"intervals": intervals, "resampled": "beats" if records is None else "records"}


def _codes(records: NDArray[np.str_], missed: Mapping[str, Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Names of all records, including those without a scored beat, and the index of each beat's record."""
    names = sorted(set(np.unique(records).tolist()) | set(missed))
    return names, np.searchsorted(np.array(names), records).astype(np.int64)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
