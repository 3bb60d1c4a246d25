"""Decisions of the monitor on records of which both leads are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from detector import Calibration, TwoLeadReference
from train.data.two_leads import TwoLeadRecord
from train.evaluate.record_decisions import RecordDecisions, record_decisions
from train.export.loaded_model import LoadedModel
from train.model.scores import BeatScores

__all__ = ["decide_two_leads"]


def decide_two_leads(
    records: Iterable[TwoLeadRecord], model: LoadedModel, calibration: Calibration, learning_s: float
) -> Iterator[RecordDecisions]:
    """Decide every scorable beat of each record in order of time, as the monitor does; the score is that of both."""
    for record in records:
        given, both = record.given, np.flatnonzero(record.both)
        scores = model.scores(given.beats, given.contexts)
        other = np.full(len(scores.score), np.nan)
        other[both] = model.scores(record.other.beats[both], record.other.contexts.rows(both)).score
        reference = TwoLeadReference(calibration)
        fused, flagged = scores.score.astype(np.float64), np.zeros(len(other), dtype=np.bool_)
        for k in np.flatnonzero(given.scorable).tolist():
            companion = float(other[k]) if record.both[k] else None
            fused[k], judgement = reference.judge(int(record.lead[k]), float(scores.score[k]), companion)
            flagged[k] = judgement.anomalous
        yield record_decisions(given, BeatScores(scores.log_prob, fused), flagged, learning_s)
