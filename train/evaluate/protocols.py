"""The protocols `kaggle` and `inter`: beats are cut at annotations, every beat is scored once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, Calibration, PatientReference
from detector.short_repr import short_repr
from train.data.detected_beats import annotated_beats
from train.data.kaggle import KAGGLE_DEFINITION, kaggle_beats, kaggle_split, read_kaggle_csv
from train.data.records import DS1, LabelledBeats, NormalBeats, join_beats, read_record
from train.evaluate.failures import FailedBeat
from train.evaluate.metrics import summary
from train.evaluate.references import (
    TEMPLATE_LEFT_OUT,
    nearest_neighbour_scores,
    nearest_neighbour_threshold,
    template_scores,
)
from train.export.loaded_model import LoadedModel
from train.model.scores import BeatScores, join_scores

__all__ = [
    "BY_PATIENT",
    "LOG_PROB_ALONE",
    "NEAREST",
    "TEMPLATE",
    "TWO_LEADS",
    "Outcome",
    "Progress",
    "Row",
    "by_patient_row",
    "evaluate_inter",
    "evaluate_kaggle",
    "model_rows",
    "no_progress",
    "patient_scores",
]

REFERENCE_QUANTILE = 0.05  # of training normals, for the thresholds of the references

# Suffixes of the model's name, and names of the references, in the rows.
LOG_PROB_ALONE: Final = ", -log p alone"
BY_PATIENT: Final = ", by patient"
TWO_LEADS: Final = ", two leads"
NEAREST: Final = "1-nearest neighbour"
TEMPLATE: Final = "template baseline"

Progress = Callable[[str], None]


def no_progress(_: str) -> None:
    """Discard the line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One scored method on the test beats of a protocol.

    Attributes:
        name: of the method.
        scores: (n,) float64, higher = more anomalous.
        labels: (n,) classes.
        figures: see `train.evaluate.metrics.summary`.
        threshold_note: origin of its fixed threshold.
    """

    name: str
    scores: NDArray[np.float64]
    labels: NDArray[np.str_]
    figures: dict[str, Any]
    threshold_note: str = ""

    __repr__ = short_repr


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one protocol.

    Attributes:
        protocol: its name.
        rows: first the models, then the references.
        test: the test beats of the first row, for the drawings.
        extra: further figures, by name, for the JSON.
        failures: beats with a wrong decision of the first model, for a drawing.
    """

    protocol: str
    rows: list[Row]
    test: LabelledBeats
    extra: dict[str, Any] = field(default_factory=dict)
    failures: list[FailedBeat] = field(default_factory=list)


def evaluate_kaggle(
    models: Sequence[LoadedModel], csv_dir: Path | None = None, seed: int = 0, progress: Progress = no_progress
) -> Outcome:
    """Protocol `kaggle`: random split by beat. Patients overlap, which favours models that memorise.

    Args:
        models: made for `kaggle/1` beats.
        csv_dir: folder of the public CSV files; None = rebuilt from the records.
        seed: of the bootstrap and the reference's threshold.
        progress: receives one line per step.

    Raises:
        RunError: a model was made for other beats.
        DataError: data absent or with wrong counts.
    """
    for model in models:
        model.require(KAGGLE_DEFINITION, "kaggle")
    progress("kaggle: reading beats")
    train, test = read_kaggle_csv(csv_dir) if csv_dir else kaggle_split(kaggle_beats())
    normals = NormalBeats(train)
    records = None if csv_dir else test.records  # unknown in the public files
    rows: list[Row] = []
    for model in models:
        progress(f"kaggle: {model.name}, {len(test):,} beats")
        rows += model_rows(model, model.scores(test.beats, None), test.labels, records, seed, mixed=True)
    progress(f"kaggle: {NEAREST} among {len(normals):,} training normals, about a minute")
    near = nearest_neighbour_scores(normals, test.beats)
    threshold = nearest_neighbour_threshold(normals, REFERENCE_QUANTILE, seed)
    figures = summary(near, test.labels, records, threshold, seed, mixed=True)
    note = f"{REFERENCE_QUANTILE:.0%} of training normals, each left out of its own neighbours"
    rows.append(Row(NEAREST, near, test.labels, figures, note))
    return Outcome("kaggle", rows, test)


def evaluate_inter(
    models: Sequence[LoadedModel],
    records: Sequence[str],
    seed: int = 0,
    training: Sequence[str] = DS1,
    progress: Progress = no_progress,
) -> Outcome:
    """Protocol `inter`: new patients, beats cut at the annotated R-peaks, the first 16 of a record left out.

    Args:
        models: made for stream beats; a model with a calibration gets a further row, its scores standardised by
            patient.
        records: test records, of DS2.
        seed: of the bootstrap.
        training: records whose normals determine the threshold of the template baseline.
        progress: receives one line per record.

    Raises:
        RunError: a model was made for other beats.
        DataError: a record is absent.
    """
    for model in models:
        model.require(BEAT_DEFINITION, "inter")
    parts: list[LabelledBeats] = []
    by_model: list[list[BeatScores]] = [[] for _ in models]
    by_patient: list[list[NDArray[np.float64]]] = [[] for _ in models]
    by_template: list[NDArray[np.float64]] = []
    kept = slice(TEMPLATE_LEFT_OUT, None)
    for at, name in enumerate(records, 1):
        progress(f"inter: record {name}, {at} of {len(records)}")
        record = read_record(name)
        beats, _ = annotated_beats(record)
        parts.append(beats.rows(np.arange(len(beats))[kept]))
        by_template.append(template_scores(record)[kept])
        for model, scored, standardised in zip(models, by_model, by_patient, strict=True):
            scores = model.scores(beats.beats, beats.contexts)
            scored.append(BeatScores(scores.log_prob[kept], scores.score[kept]))
            if model.calibration:
                standardised.append(patient_scores(model.calibration, scores.score)[kept])
    test = join_beats(parts)
    rows: list[Row] = []
    progress("inter: figures and intervals")
    for model, scored, standardised in zip(models, by_model, by_patient, strict=True):
        rows += model_rows(model, join_scores(scored), test.labels, test.records, seed)
        if model.calibration:
            rows.append(by_patient_row(model, np.concatenate(standardised), test.labels, test.records, seed))
    reference = np.concatenate(by_template)
    figures = summary(reference, test.labels, test.records, _template_threshold(training), seed)
    note = f"{REFERENCE_QUANTILE:.0%} of the normals of {len(training)} training records"
    rows.append(Row(TEMPLATE, reference, test.labels, figures, note))
    return Outcome("inter", rows, test, {"records": list(records)})


def patient_scores(calibration: Calibration, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standardise the scores of one patient's beats, in order of time, by the monitor's own rule.

    Returns:
        (n,) standardised score at the time of each beat, higher = more anomalous.
    """
    reference = PatientReference(calibration)
    standardised = np.empty(len(scores))
    for k, score in enumerate(scores.tolist()):
        standardised[k] = reference.standardise(score)
        reference.judge(score)
    return standardised


def model_rows(
    model: LoadedModel,
    scores: BeatScores,
    labels: NDArray[np.str_],
    records: NDArray[np.str_] | None,
    seed: int,
    mixed: bool = False,
) -> list[Row]:
    """A row of the model's score, and one of -log p alone if the score differs from it."""
    share = "a fixed share" if model.threshold_quantile is None else f"{model.threshold_quantile:.3g}"
    figures = summary(scores.score, labels, records, model.threshold, seed, mixed=mixed)
    rows = [Row(model.name, scores.score, labels, figures, f"{share} of training normals")]
    if not np.array_equal(scores.score, -scores.log_prob):
        figures = summary(-scores.log_prob, labels, records, None, seed, mixed=mixed)
        rows.append(Row(f"{model.name}{LOG_PROB_ALONE}", -scores.log_prob, labels, figures))
    return rows


def by_patient_row(
    model: LoadedModel, scores: NDArray[np.float64], labels: NDArray[np.str_], records: NDArray[np.str_], seed: int
) -> Row:
    """A row of the model's score standardised by patient, as the monitor decides.

    Raises:
        ValueError: the model has no calibration.
    """
    calibration = model.calibration
    if calibration is None:
        raise ValueError(f"{model.name} has no calibration")
    threshold = float(np.interp(calibration.alpha, calibration.p[::-1], calibration.z[::-1]))
    figures = summary(scores, labels, records, threshold, seed)
    note = f"p < {calibration.alpha:g} of training normals, relative to the patient's own scores"
    return Row(f"{model.name}{BY_PATIENT}", scores, labels, figures, note)


def _template_threshold(records: Sequence[str]) -> float:
    scores = []
    for name in records:
        record = read_record(name)
        scores.append(template_scores(record)[TEMPLATE_LEFT_OUT:][record.beat_labels[TEMPLATE_LEFT_OUT:] == "N"])
    return float(np.quantile(np.concatenate(scores), 1 - REFERENCE_QUANTILE))
