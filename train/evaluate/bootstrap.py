"""95 % bootstrap intervals over patients (records), not beats, because beats of one patient are alike.

A resample only changes how often each unit counts. It is therefore a vector of weights: all figures are computed on
the same sorted scores, once per weight vector (Efron's percentile method).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "Interval", "Ranked", "draw_weights", "interval", "mean_interval", "score_intervals"]

RESAMPLES: Final = 500  # from seed to seed the bounds move by about a tenth of the interval
_COVERED: Final = (0.025, 0.975)

Interval = tuple[float, float]
Weights = NDArray[np.float64]


def draw_weights(units: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """Count of each of `units` in each resample with replacement: (resamples, units); each row sums to `units`."""
    draws = np.random.default_rng(seed).integers(units, size=(resamples, units))
    return np.stack([np.bincount(draw, minlength=units) for draw in draws]).astype(np.int64)


def interval(values: Sequence[float] | NDArray[np.float64]) -> Interval | None:
    """Middle 95 % of the values; resamples without a value (NaN) are left out."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return None
    low, high = np.quantile(known, _COVERED)
    return float(low), float(high)


def mean_interval(values: Mapping[str, float], weights: NDArray[np.int64], units: Sequence[str]) -> Interval | None:
    """Interval of the mean of a figure that only some units have, e.g. the AUROC of each record.

    Args:
        values: figure by unit; a unit without one is resampled as well.
        weights: (resamples, units).
        units: names, in the order of the columns.
    """
    has = np.array([unit in values for unit in units])
    if not has.any():
        return None
    kept = weights[:, has].astype(np.float64)
    total = kept.sum(axis=1)
    sums = kept @ np.array([values[unit] for unit in units if unit in values])
    return interval(sums[total > 0] / total[total > 0])


class Ranked:
    """Beats sorted by score, so that weighted figures are cumulative sums.

    Args:
        scores: (n,) higher = more anomalous.
        labels: (n,) classes, `N` = normal.
    """

    def __init__(self, scores: NDArray[np.float64], labels: NDArray[np.str_]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self._labels = labels[self.order]
        self._scores = scores[self.order]
        self._abnormal = (self._labels != "N").astype(np.float64)
        last = np.append(self._scores[1:] != self._scores[:-1], True) if len(scores) else np.zeros(0, bool)
        self._ends = np.flatnonzero(last)  # the last beat of each run of equal scores

    def auroc(self, weights: Weights) -> float:
        """Weighted area under the ROC of abnormal against normal; equal scores count half; NaN without either."""
        hits, false = self._above(weights)
        if not hits.size or hits[-1] == 0 or false[-1] == 0:
            return np.nan
        return float(np.trapezoid(np.r_[0.0, hits], np.r_[0.0, false]) / (hits[-1] * false[-1]))

    def best_f1(self, weights: Weights) -> float:
        """Best weighted F1 over all thresholds; NaN without abnormal beats."""
        hits, false = self._above(weights)
        if not hits.size or hits[-1] == 0:
            return np.nan
        return float(np.max(2 * hits / (hits + false + hits[-1])))

    def sensitivity(self, weights: Weights, name: str, fpr: float, missed: float = 0.0) -> float:
        """Weighted share of class `name` over the threshold exceeded by `fpr` of the normals; NaN without either."""
        normal = np.cumsum(weights * (self._labels == "N"))
        of_class = weights * (self._labels == name)
        wanted = float(of_class.sum()) + missed
        if not normal.size or normal[-1] == 0 or wanted == 0:
            return np.nan
        at = int(np.searchsorted(normal, int(fpr * normal[-1]), side="right"))
        over = self._scores > self._scores[at] if at < len(normal) else np.ones(len(normal), bool)
        return float(of_class[over].sum() / wanted)

    def at(self, weights: Weights, threshold: float) -> dict[str, float]:
        """Weighted F1, recall and false-positive rate of calling everything over `threshold` abnormal."""
        over = self._scores > threshold
        abnormal = weights * self._abnormal
        normal = weights - abnormal
        hit, false, positives = (float(part.sum()) for part in (abnormal[over], normal[over], abnormal))
        negatives = float(normal.sum())
        return {
            "f1": 2 * hit / (hit + false + positives) if hit + false + positives else np.nan,
            "recall": hit / positives if positives else np.nan,
            "fpr": false / negatives if negatives else np.nan,
        }

    def _above(self, weights: Weights) -> tuple[Weights, Weights]:
        """Cumulative abnormal and normal weight at each distinct score, from the highest."""
        hits = np.cumsum(weights * self._abnormal)[self._ends]
        return hits, np.cumsum(weights)[self._ends] - hits


def score_intervals(
    scores: NDArray[np.float64],
    labels: NDArray[np.str_],
    units: NDArray[np.int64],
    weights: NDArray[np.int64],
    threshold: float | None = None,
    missed: Mapping[str, NDArray[np.int64]] | None = None,
) -> dict[str, Interval | None]:
    """Intervals of the figures of one score.

    Args:
        scores: (n,) higher = more anomalous.
        labels: (n,) classes.
        units: (n,) column of `weights` of each beat.
        weights: (resamples, units), see `draw_weights`.
        threshold: fixed threshold; None = no figures at a threshold.
        missed: class to (units,) number of beats without a score, which count as not found.

    Returns:
        By name: `auroc`, `best_f1`, `veb_se_at_1pct_fpr`, `sveb_se_at_5pct_fpr`, and with a threshold `fixed_f1`,
        `fixed_recall`, `fixed_fpr`.
    """
    ranked = Ranked(scores, labels)
    column = units[ranked.order]
    lost = {name: weights @ counts for name, counts in (missed or {}).items()}
    none = np.zeros(len(weights))

    def of_draw(k: int) -> dict[str, float]:
        drawn = weights[k, column].astype(np.float64)
        figures = {
            "auroc": ranked.auroc(drawn),
            "best_f1": ranked.best_f1(drawn),
            "veb_se_at_1pct_fpr": ranked.sensitivity(drawn, "V", 0.01, float(lost.get("V", none)[k])),
            "sveb_se_at_5pct_fpr": ranked.sensitivity(drawn, "S", 0.05, float(lost.get("S", none)[k])),
        }
        if threshold is not None:
            figures |= {f"fixed_{name}": value for name, value in ranked.at(drawn, threshold).items()}
        return figures

    rows = [of_draw(k) for k in range(len(weights))]
    return {name: interval([row[name] for row in rows]) for name in rows[0]}
