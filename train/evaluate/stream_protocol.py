"""The protocol `stream`: the product as it runs, nothing taken from the annotations but the truth to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, BEAT_SAMPLES, Calibration
from train.data.detected_beats import StreamedRecord, stream_beats
from train.data.records import CLASSES, DS1, DataError, LabelledBeats, join_beats
from train.evaluate.decisions import decisions
from train.evaluate.failures import FailedBeat, failed_beats
from train.evaluate.metrics import summary
from train.evaluate.protocols import BY_PATIENT, LOG_PROB_ALONE, Outcome, Progress, Row, no_progress, patient_scores
from train.evaluate.record_decisions import LEARNING_S, Judged, judge_record, judged_stream
from train.export.loaded_model import Subject
from train.fit.checkpoint import RunError
from train.model.scores import Scores

__all__ = ["TEMPLATE_STREAMING", "empty_beats", "evaluate_recording", "evaluate_stream", "require_calibrations"]

TEMPLATE_STREAMING: Final = "template, streaming"
TEMPLATE_QUANTILE: Final = 0.02  # of training normals are called anomalous by the template's fixed threshold


def require_calibrations(models: Sequence[Subject], protocol: str) -> list[Calibration]:
    """The calibration of each model; refuse a model for other beats, or one that cannot decide by patient.

    Raises:
        RunError: such a model.
    """
    calibrations = []
    for model in models:
        model.require(BEAT_DEFINITION, protocol)
        if model.calibration is None:
            raise RunError(f"{model.path}: no calibration; export the run and evaluate the .onnx file")
        calibrations.append(model.calibration)
    return calibrations


def evaluate_stream(
    models: Sequence[Subject],
    records: Sequence[str],
    seed: int = 0,
    learning_s: float = LEARNING_S,
    training: Sequence[str] = DS1,
    progress: Progress = no_progress,
) -> Outcome:
    """Protocol `stream` on records of `mitdb`.

    Args:
        models: made for the stream's beats, with a calibration each.
        records: test records, of DS2.
        seed: of the bootstrap.
        learning_s: how much of each record's begin does not count, s.
        training: records whose normals fix the threshold of the template's decisions.
        progress: told what is being done.

    Raises:
        RunError: a model for other beats, or no calibration.
    """
    calibrations = require_calibrations(models, "stream")
    progress(f"stream: normals of {len(training)} training records")
    limit = _template_limit(training)
    judged: list[list[Judged]] = [[] for _ in models]
    by_patient: list[list[NDArray[np.float64]]] = [[] for _ in models]
    by_template: list[Judged] = []
    failures: list[FailedBeat] = []
    test: list[LabelledBeats] = []
    for at, streamed in enumerate(stream_beats(records), 1):
        progress(f"stream: record {streamed.name}, {at} of {len(records)}")
        by_template.append(_template_judged(streamed, limit, learning_s))
        for k, (model, calibration) in enumerate(zip(models, calibrations, strict=True)):
            scores = model.scores(streamed.beats, streamed.contexts)
            judged[k].append(judge_record(streamed, scores, calibration, learning_s))
            z = np.full(len(scores.score), np.nan)
            z[streamed.scorable] = patient_scores(calibration, scores.score[streamed.scorable])
            by_patient[k].append(z)
        if models:
            failures += failed_beats(streamed, judged[0][-1])
            test.append(_test_beats(streamed, judged[0][-1]))
    progress("stream: figures and intervals")
    rows: list[Row] = []
    made: dict[str, Any] = {}
    for model, own, standardised in zip(models, judged, by_patient, strict=True):
        rows.append(_row(model.name, own, [record.score for record in own], seed))
        if any(not np.array_equal(record.score, -record.log_prob, equal_nan=True) for record in own):
            rows.append(_row(f"{model.name}{LOG_PROB_ALONE}", own, [-record.log_prob for record in own], seed))
        rows.append(_row(f"{model.name}{BY_PATIENT}", own, standardised, seed))
        made[model.name] = decisions(own, seed)
    rows.append(_row(TEMPLATE_STREAMING, by_template, [record.score for record in by_template], seed))
    made[TEMPLATE_STREAMING] = decisions(by_template, seed)
    extra = {"records": list(records), "learning_s": learning_s, "decisions": made}
    return Outcome("stream", rows, join_beats([empty_beats(), *test]), extra, failures)


def evaluate_recording(judged: Judged, seed: int = 0) -> Outcome:
    """Protocol `stream` on what the monitor itself recorded of one record."""
    row = _row("the monitor", [judged], [judged.score], seed)
    # The recording holds no beats, only where they are: there is nothing to draw.
    extra = {"records": [judged.name], "decisions": {"the monitor": decisions([judged], seed)}}
    return Outcome("stream", [row], empty_beats(), extra)


def _row(name: str, judged: Sequence[Judged], scores: Sequence[NDArray[np.float64]], seed: int) -> Row:
    """Figures over the matched and scored beats; undetected and unscored abnormal beats count as missed."""
    kept_scores, kept_labels, kept_records = [], [], []
    missed: dict[str, dict[str, int]] = {}
    for record, values in zip(judged, scores, strict=True):
        found = record.found()
        truth = record.counted(record.annotated)
        ok = truth & (found >= 0)
        ok[ok] = np.isfinite(values[found[ok]])
        kept_scores.append(values[found[ok]])
        kept_labels.append(record.labels[ok])
        kept_records.append(np.full(int(ok.sum()), record.name))
        missed[record.name] = {label: int((truth & ~ok & (record.labels == label)).sum()) for label in CLASSES}
    all_scores, labels, records = (np.concatenate(p) for p in (kept_scores, kept_labels, kept_records))
    if not len(all_scores):
        raise DataError(f"no beat of {', '.join(record.name for record in judged)} was found and scored")
    figures = summary(all_scores, labels, records, None, seed, missed)
    total = {label: sum(counts[label] for counts in missed.values()) for label in CLASSES}
    return Row(name, all_scores, labels, figures | {"missed_or_unscored": total})


def _template_limit(training: Sequence[str]) -> float:
    """Template score that `TEMPLATE_QUANTILE` of the training patients' normal beats exceed."""
    scores = []
    for streamed in stream_beats(training):
        kept = streamed.scorable & (streamed.matched >= 0) & np.isfinite(streamed.template_scores)
        normal = streamed.annotated_labels[streamed.matched[kept]] == "N"
        scores.append(streamed.template_scores[kept][normal])
    return float(np.quantile(np.concatenate(scores), 1 - TEMPLATE_QUANTILE))


def _template_judged(streamed: StreamedRecord, limit: float, learning_s: float) -> Judged:
    """What one fixed threshold on the template score decides, as a reference."""
    score = streamed.template_scores
    flagged = streamed.scorable & (np.nan_to_num(score, nan=-np.inf) > limit)
    return judged_stream(streamed, Scores(-score, score), flagged, learning_s)


def _test_beats(streamed: StreamedRecord, record: Judged) -> LabelledBeats:
    """The beats of one record behind the model's row, in its order."""
    found = record.found()
    ok = record.counted(record.annotated) & (found >= 0)
    ok[ok] = np.isfinite(record.score[found[ok]])
    return LabelledBeats(streamed.beats[found[ok]], record.labels[ok], np.full(int(ok.sum()), record.name))


def empty_beats() -> LabelledBeats:
    """No beat at all."""
    return LabelledBeats(np.zeros((0, BEAT_SAMPLES), np.float32), np.zeros(0, dtype="<U1"), np.zeros(0, dtype="<U8"))
