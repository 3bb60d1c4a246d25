"""The protocols `kaggle` and `inter`: beats cut with the help of annotations, every beat scored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, Calibration, PatientReference
from train.data import DS1, LabelledBeats, NormalBeats, join_beats, read_record
from train.kaggle import KAGGLE_DEFINITION, kaggle_beats, kaggle_split, read_kaggle_csv
from train.metrics import summary
from train.references import (
    TEMPLATE_LEFT_OUT,
    nearest_neighbour_scores,
    nearest_neighbour_threshold,
    template_scores,
)
from train.scores import Scores, join_scores
from train.streamed import annotated_beats
from train.subject import Subject

__all__ = [
    "Outcome",
    "Row",
    "by_patient_row",
    "evaluate_inter",
    "evaluate_kaggle",
    "model_rows",
    "patient_scores",
]

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
    rows = model_rows(model, model.scores(test.beats, None), test.labels, None, seed)
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
    parts: list[LabelledBeats] = []
    by_model: list[Scores] = []
    by_patient: list[NDArray[np.float64]] = []
    by_template: list[NDArray[np.float64]] = []
    kept = slice(TEMPLATE_LEFT_OUT, None)
    for name in records:
        record = read_record(name)
        beats, _ = annotated_beats(record)
        scores = model.scores(beats.beats, beats.contexts)
        parts.append(beats.rows(np.arange(len(beats))[kept]))
        by_model.append(Scores(scores.log_prob[kept], scores.score[kept]))
        by_template.append(template_scores(record)[kept])
        if model.calibration:
            by_patient.append(patient_scores(model.calibration, scores.score)[kept])
    test = join_beats(parts)
    rows = model_rows(model, join_scores(by_model), test.labels, test.records, seed)
    if model.calibration:
        rows.append(by_patient_row(model, np.concatenate(by_patient), test.labels, test.records, seed))
    reference = np.concatenate(by_template)
    figures = summary(reference, test.labels, test.records, _template_threshold(training), seed)
    note = f"{REFERENCE_QUANTILE:.0%} of the normals of {len(training)} training records"
    rows.append(Row("template baseline", reference, test.labels, figures, note))
    return Outcome("inter", rows, test, {"records": list(records)})


def patient_scores(calibration: Calibration, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of one patient's beats in order of time, set against the patient by the monitor's own rule.

    Returns:
        (n,) the standardised score at each beat's own time, higher = more anomalous.
    """
    reference = PatientReference(calibration)
    standardised = np.empty(len(scores))
    for k, score in enumerate(scores.tolist()):
        standardised[k] = reference.standardise(score)
        reference.judge(score)
    return standardised


def model_rows(
    model: Subject, scores: Scores, labels: NDArray[np.str_], records: NDArray[np.str_] | None, seed: int
) -> list[Row]:
    """The model's score; where that is more than the likelihood, -log p alone as well."""
    share = "a stated share" if model.threshold_quantile is None else f"{model.threshold_quantile:.3g}"
    figures = summary(scores.score, labels, records, model.threshold, seed)
    rows = [Row(model.name, scores.score, labels, figures, f"{share} of held-out training normals")]
    if not np.array_equal(scores.score, -scores.log_prob):
        figures = summary(-scores.log_prob, labels, records, None, seed)
        rows.append(Row(f"{model.name}, -log p alone", -scores.log_prob, labels, figures))
    return rows


def by_patient_row(
    model: Subject, scores: NDArray[np.float64], labels: NDArray[np.str_], records: NDArray[np.str_], seed: int
) -> Row:
    """The model's score set against the patient's own, as the monitor decides.

    Raises:
        ValueError: the model has no calibration.
    """
    calibration = model.calibration
    if calibration is None:
        raise ValueError(f"{model.name} has no calibration")
    threshold = float(np.interp(calibration.alpha, calibration.p[::-1], calibration.z[::-1]))
    figures = summary(scores, labels, records, threshold, seed)
    note = f"p < {calibration.alpha:g} of training normals, against the patient's own scores"
    return Row(f"{model.name}, by patient", scores, labels, figures, note)


def _template_threshold(records: Sequence[str]) -> float:
    scores = []
    for name in records:
        record = read_record(name)
        scores.append(template_scores(record)[TEMPLATE_LEFT_OUT:][record.beat_labels[TEMPLATE_LEFT_OUT:] == "N"])
    return float(np.quantile(np.concatenate(scores), 1 - REFERENCE_QUANTILE))
