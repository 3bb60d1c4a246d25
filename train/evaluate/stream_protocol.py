"""The protocol `stream`: the monitor as it runs; annotations serve only as the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, BEAT_SAMPLES, Calibration
from train.data.detected_beats import StreamedRecord, stream_beats
from train.data.records import CLASSES, DS1, LabelledBeats, join_beats
from train.data.two_leads import stream_two_leads
from train.errors import DataError, RunError
from train.evaluate.decision_rates import decision_rates
from train.evaluate.failures import FailedBeat, failed_beats
from train.evaluate.metrics import summary
from train.evaluate.protocols import (
    BY_PATIENT,
    LOG_PROB_ALONE,
    TWO_LEADS,
    Outcome,
    Progress,
    Row,
    no_progress,
    patient_scores,
)
from train.evaluate.record_decisions import LEARNING_S, RecordDecisions, decide_record, record_decisions
from train.evaluate.two_leads import decide_two_leads
from train.export.loaded_model import LoadedModel
from train.model.scores import BeatScores

__all__ = ["TEMPLATE_STREAMING", "empty_beats", "evaluate_decisions", "evaluate_stream", "require_calibrations"]

TEMPLATE_STREAMING: Final = "template, streaming"
TEMPLATE_QUANTILE: Final = 0.02  # share of training normals over the template's fixed threshold


def require_calibrations(models: Sequence[LoadedModel], protocol: str) -> list[Calibration]:
    """The calibration of each model.

    Raises:
        RunError: a model was made for other beats, or has no calibration.
    """
    calibrations = []
    for model in models:
        model.require(BEAT_DEFINITION, protocol)
        if model.calibration is None:
            raise RunError(f"{model.path}: no calibration; export the run and evaluate the .onnx file")
        calibrations.append(model.calibration)
    return calibrations


def evaluate_stream(
    models: Sequence[LoadedModel],
    records: Sequence[str],
    seed: int = 0,
    learning_s: float = LEARNING_S,
    training: Sequence[str] = DS1,
    progress: Progress = no_progress,
) -> Outcome:
    """Protocol `stream` on records of `mitdb`.

    Args:
        models: made for stream beats, each with a calibration.
        records: test records, of DS2.
        seed: of the bootstrap.
        learning_s: start of each record that does not count, s.
        training: records whose normals determine the threshold of the template.
        progress: receives one line per record.

    Raises:
        RunError: a model was made for other beats, or has no calibration.
    """
    calibrations = require_calibrations(models, "stream")
    progress(f"stream: normals of {len(training)} training records")
    limit = _template_limit(training)
    decided: list[list[RecordDecisions]] = [[] for _ in models]
    by_patient: list[list[NDArray[np.float64]]] = [[] for _ in models]
    by_template: list[RecordDecisions] = []
    failures: list[FailedBeat] = []
    test: list[LabelledBeats] = []
    for at, streamed in enumerate(stream_beats(records), 1):
        progress(f"stream: record {streamed.name}, {at} of {len(records)}")
        by_template.append(_template_decisions(streamed, limit, learning_s))
        for k, (model, calibration) in enumerate(zip(models, calibrations, strict=True)):
            scores = model.scores(streamed.beats, streamed.contexts)
            decided[k].append(decide_record(streamed, scores, calibration, learning_s))
            z = np.full(len(scores.score), np.nan)
            z[streamed.scorable] = patient_scores(calibration, scores.score[streamed.scorable])
            by_patient[k].append(z)
        if models:
            failures += failed_beats(streamed, decided[0][-1])
            test.append(_test_beats(streamed, decided[0][-1]))
    progress(f"stream: both leads of {len(records)} records")
    in_two = list(stream_two_leads(records)) if models else []
    progress("stream: figures and intervals")
    rows: list[Row] = []
    rates: dict[str, Any] = {}
    for model, own, standardised in zip(models, decided, by_patient, strict=True):
        rows.append(_row(model.name, own, [record.score for record in own], seed))
        if any(not np.array_equal(record.score, -record.log_prob, equal_nan=True) for record in own):
            rows.append(_row(f"{model.name}{LOG_PROB_ALONE}", own, [-record.log_prob for record in own], seed))
        rows.append(_row(f"{model.name}{BY_PATIENT}", own, standardised, seed))
        rates[model.name] = decision_rates(own, seed)
    for model, calibration in zip(models[:1], calibrations[:1], strict=True):
        both = list(decide_two_leads(in_two, model, calibration, learning_s))
        rows.append(_row(f"{model.name}{TWO_LEADS}", both, [record.score for record in both], seed))
        rates[f"{model.name}{TWO_LEADS}"] = decision_rates(both, seed)
    rows.append(_row(TEMPLATE_STREAMING, by_template, [record.score for record in by_template], seed))
    rates[TEMPLATE_STREAMING] = decision_rates(by_template, seed)
    extra = {"records": list(records), "learning_s": learning_s, "decisions": rates}
    return Outcome("stream", rows, join_beats([empty_beats(), *test]), extra, failures)


def evaluate_decisions(decided: RecordDecisions, seed: int = 0) -> Outcome:
    """Protocol `stream` on the monitor's own recording of one record."""
    row = _row("the monitor", [decided], [decided.score], seed)
    # The recording holds the positions of beats, not their samples: there is nothing to draw.
    extra = {"records": [decided.name], "decisions": {"the monitor": decision_rates([decided], seed)}}
    return Outcome("stream", [row], empty_beats(), extra)


def _row(name: str, decided: Sequence[RecordDecisions], scores: Sequence[NDArray[np.float64]], seed: int) -> Row:
    """Figures over the matched and scored beats; undetected and unscored abnormal beats count as missed."""
    kept_scores, kept_labels, kept_records = [], [], []
    missed: dict[str, dict[str, int]] = {}
    for record, values in zip(decided, scores, strict=True):
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
        raise DataError(f"no beat of {', '.join(record.name for record in decided)} was found and scored")
    figures = summary(all_scores, labels, records, None, seed, missed)
    total = {label: sum(counts[label] for counts in missed.values()) for label in CLASSES}
    return Row(name, all_scores, labels, figures | {"missed_or_unscored": total})


def _template_limit(training: Sequence[str]) -> float:
    """Template score exceeded by `TEMPLATE_QUANTILE` of the training patients' normal beats."""
    scores = []
    for streamed in stream_beats(training):
        kept = streamed.scorable & (streamed.matched >= 0) & np.isfinite(streamed.template_scores)
        normal = streamed.annotated_labels[streamed.matched[kept]] == "N"
        scores.append(streamed.template_scores[kept][normal])
    return float(np.quantile(np.concatenate(scores), 1 - TEMPLATE_QUANTILE))


def _template_decisions(streamed: StreamedRecord, limit: float, learning_s: float) -> RecordDecisions:
    """Decisions by one fixed threshold on the template score, as a reference."""
    score = streamed.template_scores
    flagged = streamed.scorable & (np.nan_to_num(score, nan=-np.inf) > limit)
    return record_decisions(streamed, BeatScores(-score, score), flagged, learning_s)


def _test_beats(streamed: StreamedRecord, record: RecordDecisions) -> LabelledBeats:
    """The beats of one record in the model's row, in the same order."""
    found = record.found()
    ok = record.counted(record.annotated) & (found >= 0)
    ok[ok] = np.isfinite(record.score[found[ok]])
    return LabelledBeats(streamed.beats[found[ok]], record.labels[ok], np.full(int(ok.sum()), record.name))


def empty_beats() -> LabelledBeats:
    """No beat at all."""
    return LabelledBeats(np.zeros((0, BEAT_SAMPLES), np.float32), np.zeros(0, dtype="<U1"), np.zeros(0, dtype="<U8"))
