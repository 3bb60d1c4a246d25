"""Reference of a patient in two leads: the scores of a beat in both become one p-value."""

from __future__ import annotations

import math

from detector.baseline import Calibration, Judgement, PatientReference

__all__ = ["TwoLeadReference"]

_FIRST_WEIGHT = 0.6  # of the first lead, in the standardised score of two


class TwoLeadReference:
    """Judge each beat in two leads, each against the patient's earlier beats in that lead.

    Where both leads are scored, the standardised scores are added, the first one with a weight of 0.6 (chosen on DS1
    and nstdb, see docs/experiments.md), and the p-value is that of one lead. Each lead learns by its own judgement.

    Args:
        calibration, own: see `PatientReference`.
    """

    def __init__(self, calibration: Calibration, own: bool = False) -> None:
        self._alpha = calibration.alpha
        self._leads = PatientReference(calibration, own), PatientReference(calibration, own)

    def judge(self, lead: int, score: float, other: float | None = None) -> tuple[float, Judgement]:
        """Judge one beat.

        Args:
            lead: that of `score`, 0 or 1.
            score: higher = more anomalous.
            other: score of the same beat in the other lead; None where it has none.

        Returns:
            The score of both on the scale of `lead`, and the judgement on it.
        """
        reference, companion = self._leads[lead], self._leads[1 - lead]
        if other is None or not math.isfinite(score) or not math.isfinite(other):
            return score, reference.judge(score)
        weight = _FIRST_WEIGHT if lead == 0 else 1 - _FIRST_WEIGHT
        z = weight * reference.standardise(score) + (1 - weight) * companion.standardise(other)
        both, p_value = reference.score_of(z), reference.p_value(z)
        learning = reference.learning or companion.learning
        own, _ = reference.judge(score), companion.judge(other)
        if learning:
            return score, own
        return both, Judgement(p_value, own.threshold, p_value < self._alpha)
