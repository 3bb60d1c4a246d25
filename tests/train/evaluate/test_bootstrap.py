"""Weighted figures equal those of beats repeated by hand, and intervals those of plain resampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tests.train.evaluate.decided import judged
from train.evaluate.bootstrap import Ranked, draw_weights, interval, mean_interval, score_intervals
from train.evaluate.decision_rates import decision_rates, gross
from train.evaluate.metrics import at_threshold, best_f1, sensitivity_at_fpr, summary


def made_up(seed: int, n: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(["N", "V", "S"], n, p=[0.6, 0.2, 0.2])
    return np.round(rng.normal(size=n) + (labels != "N"), 1), labels  # many equal scores


@given(st.integers(0, 300))
def test_weights_are_repetitions(seed: int) -> None:
    scores, labels = made_up(seed)
    times = np.random.default_rng(seed).integers(0, 4, len(scores))
    rows = np.repeat(np.arange(len(scores)), times)
    ranked = Ranked(scores, labels)
    weights = times[ranked.order].astype(float)
    abnormal = labels[rows] != "N"
    if not abnormal.any() or abnormal.all():
        assert np.isnan(ranked.auroc(weights))
        return
    assert ranked.auroc(weights) == pytest.approx(roc_auc_score(abnormal, scores[rows]))
    assert ranked.best_f1(weights) == pytest.approx(best_f1(scores[rows], labels[rows])["f1"])
    for name, fpr, missed in (("V", 0.01, 0), ("S", 0.05, 3), ("V", 0.5, 1)):
        expected = sensitivity_at_fpr(scores[rows], labels[rows], name, fpr, missed)
        found = ranked.sensitivity(weights, name, fpr, missed)
        assert (None if np.isnan(found) else found) == (expected if expected is None else pytest.approx(expected))
    at = at_threshold(scores[rows], labels[rows], 0.4)
    assert ranked.at(weights, 0.4) == pytest.approx({key: at[key] for key in ("f1", "recall", "fpr")})


@pytest.mark.slow
@given(st.integers(0, 50))
def test_intervals_resample_whole_records(seed: int) -> None:
    scores, labels = made_up(seed)
    units = np.arange(4).repeat(12)
    weights = draw_weights(4, seed=3, resamples=40)
    values = []
    for draw in np.random.default_rng(3).integers(4, size=(40, 4)):
        rows = np.concatenate([np.flatnonzero(units == k) for k in draw])
        if 0 < (labels[rows] != "N").sum() < len(rows):
            values.append(roc_auc_score(labels[rows] != "N", scores[rows]))
    found = score_intervals(scores, labels, units, weights)["auroc"]
    assert found == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_unscored_beats_lower_the_sensitivity_of_their_record() -> None:
    scores = np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    labels = np.array(["N", "N", "N", "V", "V"])
    units = np.array([0, 0, 1, 0, 1])
    weights = np.array([[2, 0], [0, 2], [1, 1]])
    missed = {"V": np.array([0, 3])}
    # Only the second record has missed ones: 1 of 1, then 1 of 4, and 2 of 5 of both.
    rows = [score_intervals(scores, labels, units, weights[k : k + 1], None, missed) for k in range(3)]
    assert [row["veb_se_at_1pct_fpr"] for row in rows] == [(1.0, 1.0), (0.25, 0.25), (0.4, 0.4)]


def test_intervals_of_figures_missing_in_some_records() -> None:
    weights = np.array([[2, 0, 0], [1, 1, 0], [0, 0, 2]])
    # The draws have means .8 and (.8 + .6) / 2; the third holds only the record without a figure.
    low, high = mean_interval({"a": 0.8, "b": 0.6}, weights, ["a", "b", "c"]) or (0.0, 0.0)
    assert (low, high) == pytest.approx(tuple(np.quantile([0.8, 0.7], [0.025, 0.975])))
    assert mean_interval({}, weights, ["a", "b", "c"]) is None
    assert interval([np.nan, np.nan]) is None
    assert interval([np.nan, 0.5]) == (0.5, 0.5)


def test_an_interval_is_seeded_and_holds_the_figure() -> None:
    scores, labels = made_up(1, 600)
    records = np.array([f"r{k % 12}" for k in range(600)])
    first, again, other = (summary(scores, labels, records, 0.5, seed) for seed in (0, 0, 1))
    assert first == again
    assert first["intervals"] != other["intervals"]
    for name, (low, high) in first["intervals"].items():
        value = {"fixed": first["fixed"], "best_": first["best"]}.get(name[:5], first)
        key = name.removeprefix("fixed_") if name.startswith("fixed") else "f1" if name == "best_f1" else name
        assert low <= value[key] <= high, name
        assert high - low < 0.5, name
    assert first["resampled"] == "records"
    beats = summary(scores, labels, None, None)
    assert beats["resampled"] == "beats"
    assert beats["intervals"]["auroc"][0] < beats["auroc"] < beats["intervals"]["auroc"][1]
    mixed = summary(scores, labels, records, None, mixed=True)
    assert "auroc_by_record" not in mixed
    assert mixed["resampled"] == "records"


def test_counts_are_added_and_their_rates_drawn_by_record() -> None:
    counts = {"a": {"found": 9, "annotated": 10}, "b": {"found": 5, "annotated": 10}}
    summed = gross(counts, 0, lambda total: {"se": total["found"] / total["annotated"]})
    assert summed["counts"] == {"found": 14, "annotated": 20}
    assert summed["rates"] == {"se": 0.7}
    assert summed["intervals"]["se"] == (0.5, 0.9)


def test_the_record_with_most_false_alarms_is_named() -> None:
    loud = judged(name="232", flagged=np.ones(600, dtype=np.bool_))
    found = decision_rates([judged(), loud], 0)
    assert found["worst_fpr"] == {"record": "232", "fpr": 1.0}
    assert found["gross_without_232"]["counts"] == found["by_record"]["made up"]["counts"]
    assert found["gross"]["counts"]["annotated"] == 600
