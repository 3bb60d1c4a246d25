"""The protocols `kaggle` and `inter`: beats cut with the help of annotations, every beat scored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, Calibration, PatientReference
from train.data import DS1, LabelledBeats, NormalBeats, read_record
from train.kaggle import KAGGLE_DEFINITION, kaggle_beats, kaggle_split, read_kaggle_csv
from train.metrics import summary
from train.references import (
    TEMPLATE_LEFT_OUT,
    nearest_neighbour_scores,
    nearest_neighbour_threshold,
    template_scores,
)
from train.streamed import annotated_beats
from train.subject import Subject

__all__ = ["Outcome", "Row", "evaluate_inter", "evaluate_kaggle", "patient_scores"]

REFERENCE_QUANTILE = 0.05  # of training normals, for the thresholds of the references


@dataclass(frozen=True, slots=True)
class Row:
    """One scored method on the test beats of a protocol.

    Attributes:
        name: of the method.
        scores: (n,) float64, higher = more anomalous.
        labels: (n,) classes.
        figures: see `train.metrics.summary`.
        threshold_note: how its fixed threshold was found.
    """

    name: str
    scores: NDArray[np.float64]
    labels: NDArray[np.str_]
    figures: dict[str, Any]
    threshold_note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one protocol gave.

    Attributes:
        protocol: its name.
        rows: the model first, references after it.
        test: the test beats of the model's row, for the figures.
        extra: further figures, by name, for the JSON.
    """

    protocol: str
    rows: list[Row]
    test: LabelledBeats
    extra: dict[str, Any] = field(default_factory=dict)


def evaluate_kaggle(model: Subject, csv_dir: Path | None = None, seed: int = 0) -> Outcome:
    """Protocol `kaggle`: random split by beat; patients overlap, which flatters memory.

    Args:
        model: made for `kaggle/1` beats.
        csv_dir: folder of the public CSV files; None: rebuilt from the records.
        seed: of the reference's threshold.

    Raises:
        RunError: a model for other beats.
        DataError: data absent or with wrong counts.
    """
    model.require(KAGGLE_DEFINITION, "kaggle")
    train, test = read_kaggle_csv(csv_dir) if csv_dir else kaggle_split(kaggle_beats())
    normals = NormalBeats(train)
    rows = [_model_row(model, -model.score(test.beats), test.labels, None, seed)]
    near = nearest_neighbour_scores(normals, test.beats)
    threshold = nearest_neighbour_threshold(normals, REFERENCE_QUANTILE, seed)
    rows.append(
        Row(
            "1-nearest neighbour",
            near,
            test.labels,
            summary(near, test.labels, None, threshold),
            f"{REFERENCE_QUANTILE:.0%} of training normals, each left out of its own neighbours",
        )
    )
    return Outcome("kaggle", rows, test)


def evaluate_inter(
    model: Subject,
    records: Sequence[str],
    seed: int = 0,
    training: Sequence[str] = DS1,
) -> Outcome:
    """Protocol `inter`: new patients, beats cut at the annotated R-peaks, the first 16 of a record left out.

    Args:
        model: made for the stream's beats; with a calibration there is a second row of the same scores, set
            against the patient's own.
        records: test records, of DS2.
        seed: of the bootstrap.
        training: records whose normals fix the template baseline's threshold.

    Raises:
        RunError: a model for other beats.
        DataError: a record is absent.
    """
    model.require(BEAT_DEFINITION, "inter")
    calibration = model.calibration
    parts: list[LabelledBeats] = []
    by_model: list[NDArray[np.float64]] = []
    by_patient: list[NDArray[np.float64]] = []
    by_template: list[NDArray[np.float64]] = []
    kept = slice(TEMPLATE_LEFT_OUT, None)
    for name in records:
        record = read_record(name)
        beats, _ = annotated_beats(record)
        log_prob = model.score(beats.beats)
        parts.append(beats.rows(np.arange(len(beats))[kept]))
        by_model.append(-log_prob[kept])
        by_template.append(template_scores(record)[kept])
        if calibration:
            by_patient.append(patient_scores(calibration, log_prob)[kept])
    test = LabelledBeats(
        np.concatenate([part.beats for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.records for part in parts]),
    )
    rows = [_model_row(model, np.concatenate(by_model), test.labels, test.records, seed)]
    if calibration:
        scores = np.concatenate(by_patient)
        threshold = float(-np.interp(calibration.alpha, calibration.p, calibration.z))
        figures = summary(scores, test.labels, test.records, threshold, seed)
        note = f"p < {calibration.alpha:g} of training normals, against the patient's own scores"
        rows.append(Row(f"{model.name}, by patient", scores, test.labels, figures, note))
    scores = np.concatenate(by_template)
    figures = summary(scores, test.labels, test.records, _template_threshold(training), seed)
    note = f"{REFERENCE_QUANTILE:.0%} of the normals of {len(training)} training records"
    rows.append(Row("template baseline", scores, test.labels, figures, note))
    return Outcome("inter", rows, test, {"records": list(records)})


def patient_scores(calibration: Calibration, log_prob: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log p of one patient's beats in order of time, set against the patient as the monitor does it.

    Returns:
        (n,) minus the standardised log p at each beat's own time, higher = more anomalous.
    """
    reference = PatientReference(calibration)
    scores = np.empty(len(log_prob))
    for k, value in enumerate(log_prob.tolist()):
        scores[k] = -reference.standardise(value)
        reference.learn(value)
    return scores


def _model_row(
    model: Subject,
    scores: NDArray[np.float64],
    labels: NDArray[np.str_],
    records: NDArray[np.str_] | None,
    seed: int,
) -> Row:
    threshold = None if model.threshold is None else -model.threshold
    share = "a stated share" if model.threshold_quantile is None else f"{model.threshold_quantile:.3g}"
    figures = summary(scores, labels, records, threshold, seed)
    return Row(model.name, scores, labels, figures, f"{share} of held-out training normals")


def _template_threshold(records: Sequence[str]) -> float:
    scores = []
    for name in records:
        record = read_record(name)
        scores.append(template_scores(record)[TEMPLATE_LEFT_OUT:][record.beat_labels[TEMPLATE_LEFT_OUT:] == "N"])
    return float(np.quantile(np.concatenate(scores), 1 - REFERENCE_QUANTILE))
