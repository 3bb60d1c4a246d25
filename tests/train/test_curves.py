"""Curves of the shipped model as numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.scorer import Scorer, shipped_model
from train.curves import card_curves, card_figures, histogram, roc_points
from train.evaluate.metrics import auroc
from train.evaluate.results import FOLDER, read_results
from train.evaluate.stream_protocol import evaluate_stream
from train.export.loaded_model import load_model

drawn = st.lists(st.tuples(st.integers(-8, 40), st.sampled_from("NSVFQ")), min_size=1, max_size=60)


@given(drawn)
def test_roc_rises_from_one_corner_to_the_other_and_its_area_is_the_auroc(beats: list[tuple[int, str]]) -> None:
    scores = np.array([score for score, _ in beats], np.float64)
    labels = np.array([label for _, label in beats])
    points = np.array(roc_points(scores, labels != "N", most=100_000))
    assert (np.diff(points, axis=0) >= 0).all()
    assert points[0].tolist() == [0, 0]
    expected = auroc(scores, labels)
    if expected is not None:
        assert points[-1].tolist() == [1, 1]
        assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(expected, abs=1e-4)


@given(drawn)
def test_the_histogram_counts_every_beat_once(beats: list[tuple[int, str]]) -> None:
    labels = np.array([label for _, label in beats])
    found = histogram(np.array([score for score, _ in beats], np.float64), labels)
    for name, counts in found["counts"].items():
        assert sum(counts) == (labels == name).sum()


def test_the_shipped_figures_are_those_of_the_shipped_model_and_of_the_results() -> None:
    shipped = json.loads(shipped_model().with_suffix(".json").read_bytes())
    assert shipped["sha256"] == Scorer().info.sha256
    stated = json.loads(json.dumps(card_figures(read_results(FOLDER))))
    assert {key: shipped[key] for key in stated} == stated, "run `python -m train curves`"


@pytest.mark.slow
@pytest.mark.usefixtures("data_folder")
def test_curves_of_a_record() -> None:
    outcome = evaluate_stream([load_model(shipped_model())], ["200", "232"], training=["101"])
    found = card_curves(outcome)
    assert found["roc"][0]["name"] == "without record 232"
    assert found["roc"][0]["auroc"] > 0.97
    assert sum(found["beats"].values()) == sum(sum(counts) for counts in found["histogram"]["counts"].values())
