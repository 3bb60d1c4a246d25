"""Figures are images with content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.train.fit.helpers import made_up_beats
from train.figures import example_beats, roc_curves, score_distribution, training_curves

HISTORY = {
    "autoencoder": [{"epoch": k, "train": 1 / k, "held_out": 1.1 / k, "lr": 1e-3, "seconds": 1.0} for k in range(1, 6)],
    "flow": [],
}


def inked(path: Path) -> float:
    """Share of the picture's pixels that are not white."""
    picture = imread(path)[..., :3]
    assert picture.shape[0] > 300
    assert picture.shape[1] > 600
    return float((picture < 0.99).any(axis=-1).mean())


@pytest.mark.slow
def test_all_figures_are_drawn(tmp_path: Path) -> None:
    test = made_up_beats(200)
    scores = np.where(test.labels == "V", 3.0, 0.0) + np.random.default_rng(0).normal(size=200)
    training_curves(HISTORY, tmp_path / "deeper" / "curves.png")
    example_beats(test, scores, tmp_path / "beats.png", 125.0, 62, "mV")
    score_distribution(scores, test.labels, 2.0, "made up", tmp_path / "scores.png")
    roc_curves([("made up", scores, test.labels, 0.9)], tmp_path / "roc.png")
    for path in (tmp_path / "deeper" / "curves.png", *tmp_path.glob("*.png")):
        assert inked(path) > 0.01


@pytest.mark.slow
def test_figures_of_extreme_scores_and_a_single_class(tmp_path: Path) -> None:
    labels = np.array(["N"] * 50 + ["V"] * 3)
    scores = np.append(np.zeros(50), [1e6, 2e6, 5e8])
    score_distribution(scores, labels, None, "made up", tmp_path / "far.png")
    score_distribution(np.arange(9.0), np.full(9, "V"), None, "made up", tmp_path / "one.png")
    score_distribution(np.zeros(9), np.full(9, "N"), None, "made up", tmp_path / "flat.png")
    roc_curves([("made up", scores[:50], labels[:50], None)], tmp_path / "none.png")
    for path in tmp_path.glob("*.png"):
        assert inked(path) > 0.005


@pytest.mark.slow
def test_a_decision_threshold_is_visible(tmp_path: Path) -> None:
    scores, labels = np.linspace(-1, 1, 100), np.array(["N", "V"] * 50)
    score_distribution(scores, labels, None, "made up", tmp_path / "without.png")
    score_distribution(scores, labels, 0.5, "made up", tmp_path / "with.png")
    without, with_it = (imread(tmp_path / name)[..., :3] for name in ("without.png", "with.png"))
    assert without.shape == with_it.shape
    assert np.abs(without - with_it).max() > 0.5
