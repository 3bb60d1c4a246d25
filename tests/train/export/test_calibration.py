"""Calibration over patients: what it promises holds on patients that it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Calibration, PatientReference, calibrate
from train.export.calibration import conformal_calibration

ALPHA = 0.02


def patients(n: int, seed: int) -> list[list[NDArray[np.float64]]]:
    """Scores of two leads of 300 beats of each patient; patients differ in level, spread and weight of the tail."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        level, spread, tail = rng.normal(0, 0.5), rng.uniform(0.7, 1.4), rng.uniform(0, 0.04)
        leads = []
        for _ in range(2):
            far = rng.random(300) < tail
            leads.append(level + spread * rng.normal(size=300) + far * rng.exponential(3.0, 300))
        found.append(leads)
    return found


def called(calibration: Calibration, patient: list[NDArray[np.float64]]) -> float:
    """Share of a patient's beats that are called, by the monitor's rule."""
    verdicts = []
    for lead in patient:
        reference = PatientReference(calibration)
        verdicts += [reference.judge(score).anomalous for score in lead.tolist()]
    return float(np.mean(verdicts))


def test_four_new_patients_in_five_keep_the_bound() -> None:
    known, new = patients(40, seed=1), patients(80, seed=2)
    conformal = conformal_calibration(known, ALPHA)
    usual = calibrate([lead for patient in known for lead in patient], ALPHA)
    kept, kept_usually = (np.mean([called(c, patient) <= ALPHA for patient in new]) for c in (conformal, usual))
    assert 0.7 <= kept <= 0.95  # 0.8 is promised over calibrations and patients; one calibration and 80 patients vary
    assert kept_usually < 0.68  # a quantile over all beats keeps the mean, not the patients
    assert conformal.alpha == usual.alpha == ALPHA


def test_too_few_patients_for_the_bound_are_refused() -> None:
    assert conformal_calibration(patients(4, seed=3), ALPHA).alpha == ALPHA
    with pytest.raises(ValueError, match=r"3 held-out patients are too few for a bound that 0\.8 of patients keep"):
        conformal_calibration(patients(3, seed=3), ALPHA)
