"""Calibration of a model: how the normal beats of training patients score, for the monitor's decision by patient."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from detector import Calibration, PatientReference, calibrate
from train.data.records import NormalBeats
from train.errors import RunError
from train.fit.checkpoint import FinishedRun

__all__ = [
    "PUBLISHED_ALPHA",
    "CalibratedOn",
    "calibrate_run",
    "calibrate_run_on",
    "conformal_calibration",
    "fixed_calibration",
]

CalibratedOn = Literal["all", "held_out", "patients"]

PATIENTS_SHARE: Final = 0.8  # a quarter of 32 patients held out is 8; a higher share needs more of them
_ROUNDS: Final = 3  # learned beats and table depend on each other
PUBLISHED_ALPHA: Final = 0.05  # the published threshold: 5 % of the training normals score under it


def calibrate_run(run: FinishedRun, normals: NormalBeats) -> Calibration:
    """`calibrate_run_on` all training patients, as the exported model is."""
    return calibrate_run_on(run, normals, ("all",))["all"]


def calibrate_run_on(
    run: FinishedRun, normals: NormalBeats, on: Sequence[CalibratedOn]
) -> dict[CalibratedOn, Calibration]:
    """Calibrate a run on the scores of its training normals, by lead of each patient and in order of time.

    Beats of `kaggle` have neither patient nor order, so such a run gets a calibration that does not adapt: one fixed
    threshold for every patient.

    Args:
        run: a finished fit.
        normals: exactly the beats it was fitted to (fitted and held out).
        on: one or more of `all`: all training patients, each lead with the same weight; `held_out`: those that the
            fit held out; `patients`: these, too, by `conformal_calibration`.

    Raises:
        RunError: other beats.
        ValueError: `patients` with too few held-out patients.
    """
    digest = hashlib.sha256(normals.beats.tobytes()).hexdigest()
    if digest != run.config["data_sha256"]:
        raise RunError(
            f"{run.folder}: was fitted to other beats than these ({run.config['data']}); "
            "give the --csv-dir or --limit-records of the fit"
        )
    scores = run.scores(normals.beats, normals.contexts).score
    if run.config["held_out_by"] == "record":
        alpha, signals = float(run.config["config"]["alpha"]), normals.signals
        found: dict[CalibratedOn, Calibration] = {}
        for name in on:
            records = np.unique(normals.records) if name == "all" else run.config["records_held_out"]
            patients = [
                [scores[signals == signal] for signal in np.unique(signals[normals.records == record]).tolist()]
                for record in records
            ]
            if name == "patients":
                found[name] = conformal_calibration(patients, alpha)
            else:
                found[name] = calibrate([signal for patient in patients for signal in patient], alpha)
        return found
    return {"all": fixed_calibration(float(run.config["score_threshold"]), scores)}


def conformal_calibration(
    patients: Sequence[Sequence[NDArray[np.float64]]], alpha: float, share: float = PATIENTS_SHARE
) -> Calibration:
    """Calibrate so that a share of new patients has at most `alpha` of their normal beats called.

    Conformal prediction with the patient as the unit: for each p-value of the table every calibration patient gives
    the standardised score that this share of its own beats reaches, and the table takes the ceil((k + 1) share)-th
    smallest of the k patients. The beats of a patient are not exchangeable with those of another, so a quantile over
    all beats would promise nothing for a new patient. To promise 1 % of the beats of new patients on average, without
    assumption about the scores, takes 99 patients or more (Lee, Barber and Willett 2023, arXiv:2306.06342).

    Args:
        patients: for each patient that no fit has seen, the scores of each lead in order of time.
        alpha: share of a patient's normal beats that may be called.
        share: share of new patients for which that holds.

    Raises:
        ValueError: too few patients for this share.
    """
    rank = math.ceil((len(patients) + 1) * share)
    if rank > len(patients):
        raise ValueError(
            f"{len(patients)} held-out patients are too few for a bound that {share:g} of patients keep: hold out more"
        )
    calibration = calibrate([signal for patient in patients for signal in patient], alpha)
    for _ in range(_ROUNDS):
        levels = 1.0 - np.array(calibration.p)
        own = [np.quantile(np.concatenate([_standardised(calibration, s) for s in p]), levels) for p in patients]
        at = np.sort(np.array(own), axis=0)[rank - 1]
        rising = np.maximum.accumulate(at + 1e-6 * np.arange(at.size))  # no two p-values at one score
        calibration = replace(calibration, z=tuple(np.round(rising, 6).tolist()))
    return calibration


def _standardised(calibration: Calibration, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of one signal in the units of its patient's reference at that time."""
    reference, z = PatientReference(calibration), []
    for score in scores.tolist():
        z.append(reference.standardise(score))
        reference.judge(score)
    return np.array(z)


def fixed_calibration(threshold: float, scores: NDArray[np.float64] | None) -> Calibration:
    """Calibration that does not adapt: a beat is anomalous if it scores over the threshold, for every patient.

    Args:
        threshold: score; higher = more anomalous.
        scores: of training normals, for the p-values; None = a straight line of p-values through alpha.
    """
    if scores is None:
        z, p = np.array([-100.0, 0.0, 100.0]), np.array([1.0, PUBLISHED_ALPHA, 0.0])
    else:
        share = np.concatenate((np.linspace(1.0, 0.11, 90), np.geomspace(0.1, 1e-4, 61)))
        at = np.quantile(scores, 1 - share) - threshold
        z = np.concatenate(([min(at[0], 0.0) - 1.0], at, [max(at[-1], 0.0) + 1.0]))
        z += 1e-9 * np.arange(z.size)  # strictly rising, even where many scores are equal
        p = np.concatenate(([1.0], 0.999 * share, [0.0]))
    return Calibration(
        centre=threshold,
        spread=1.0,
        centre_bounds=(threshold, threshold),
        spread_bounds=(1.0, 1.0),
        z=tuple(z.tolist()),
        p=tuple(p.tolist()),
        alpha=float(np.interp(0.0, z, p)),
    )
