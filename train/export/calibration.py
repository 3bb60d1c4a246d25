"""Calibration of a model: how the normal beats of training patients score, for the monitor's decision by patient."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector import Calibration, calibrate
from train.data.records import NormalBeats
from train.errors import RunError
from train.fit.checkpoint import FinishedRun

__all__ = ["PUBLISHED_ALPHA", "calibrate_run", "fixed_calibration"]

PUBLISHED_ALPHA: Final = 0.05  # the published threshold: 5 % of the training normals score under it


def calibrate_run(run: FinishedRun, normals: NormalBeats) -> Calibration:
    """Calibrate a run on the scores of its training normals, by patient and in order of time.

    Beats of `kaggle` have neither patient nor order, so such a run gets a calibration that does not adapt: one fixed
    threshold for every patient.

    Args:
        run: a finished fit.
        normals: exactly the beats it was fitted to (fitted and held out).

    Raises:
        RunError: other beats.
    """
    digest = hashlib.sha256(normals.beats.tobytes()).hexdigest()
    if digest != run.config["data_sha256"]:
        raise RunError(
            f"{run.folder}: was fitted to other beats than these ({run.config['data']}); "
            "give the --csv-dir or --limit-records of the fit"
        )
    scores = run.scores(normals.beats, normals.contexts).score
    if run.config["held_out_by"] == "record":
        names = np.unique(normals.records).tolist()
        return calibrate([scores[normals.records == name] for name in names], float(run.config["config"]["alpha"]))
    return fixed_calibration(float(run.config["score_threshold"]), scores)


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
