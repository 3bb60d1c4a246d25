"""What a model says of beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.short_repr import short_repr

__all__ = ["BeatScores", "join_scores"]


@dataclass(frozen=True, slots=True)
class BeatScores:
    """Scores of n beats.

    Attributes:
        log_prob: (n,) float64, log p, nats; higher = more normal.
        score: (n,) float64, all evidence; higher = more anomalous. -log p if the model has no other evidence.
    """

    log_prob: NDArray[np.float64]
    score: NDArray[np.float64]

    __repr__ = short_repr


def join_scores(parts: Sequence[BeatScores]) -> BeatScores:
    """Concatenate the scores of several records."""
    return BeatScores(np.concatenate([part.log_prob for part in parts]), np.concatenate([part.score for part in parts]))
