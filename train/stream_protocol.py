"""The protocol `stream`: the product as it runs, nothing taken from the annotations but the truth to judge by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, BEAT_SAMPLES
from train.data import CLASSES, DataError, LabelledBeats
from train.judged import LEARNING_S, Judged, count, judge_record, rates
from train.metrics import summary
from train.protocols import Outcome, Row, patient_scores
from train.run import RunError
from train.streamed import StreamedRecord, stream_beats
from train.subject import Subject

__all__ = ["evaluate_recording", "evaluate_stream"]


def evaluate_stream(
    model: Subject,
    records: Sequence[str],
    seed: int = 0,
    learning_s: float = LEARNING_S,
    progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Protocol `stream` on records of `mitdb`.

    Args:
        model: made for the stream's beats, with a calibration.
        records: test records, of DS2.
        seed: of the bootstrap.
        learning_s: how much of each record's begin does not count, s.
        progress: told the name of each record as it begins.

    Raises:
        RunError: a model for other beats, or no calibration.
    """
    model.require(BEAT_DEFINITION, "stream")
    calibration = model.calibration
    if calibration is None:
        raise RunError(f"{model.path}: no calibration; export the run and evaluate the .onnx file")
    judged: list[Judged] = []
    streams: list[StreamedRecord] = []
    by_patient: list[NDArray[np.float64]] = []
    for streamed in stream_beats(records):
        if progress:
            progress(streamed.name)
        scores = model.scores(streamed.beats, streamed.contexts)
        judged.append(judge_record(streamed, scores, calibration, learning_s))
        streams.append(streamed)
        z = np.full(len(scores.score), np.nan)
        z[streamed.scorable] = patient_scores(calibration, scores.score[streamed.scorable])
        by_patient.append(z)
    rows = [_row(model.name, judged, [record.score for record in judged], seed)]
    if any(not np.array_equal(record.score, -record.log_prob, equal_nan=True) for record in judged):
        rows.append(_row(f"{model.name}, -log p alone", judged, [-record.log_prob for record in judged], seed))
    rows += [
        _row(f"{model.name}, by patient", judged, by_patient, seed),
        _row(
            "template, streaming",
            judged,
            [np.where(s.scorable, s.template_scores, np.nan) for s in streams],
            seed,
        ),
    ]
    test = _test_beats(zip(streams, judged, strict=True))
    return Outcome("stream", rows, test, _decisions(judged))


def evaluate_recording(judged: Judged, seed: int = 0) -> Outcome:
    """Protocol `stream` on what the monitor itself recorded of one record."""
    row = _row("the monitor", [judged], [judged.score], seed)
    # The recording holds no beats, only where they are: the figures of example beats are cut by the caller.
    empty = LabelledBeats(np.zeros((0, BEAT_SAMPLES), np.float32), np.zeros(0, dtype="<U1"), np.zeros(0, dtype="<U8"))
    return Outcome("stream", [row], empty, _decisions([judged]))


def _row(name: str, judged: Sequence[Judged], scores: Sequence[NDArray[np.float64]], seed: int) -> Row:
    """Figures over the matched and scored beats; undetected and unscored abnormal beats count as missed."""
    kept_scores, kept_labels, kept_records = [], [], []
    missed = dict.fromkeys(CLASSES, 0)
    for record, values in zip(judged, scores, strict=True):
        found = record.found()
        truth = record.counted(record.annotated)
        ok = truth & (found >= 0)
        ok[ok] = np.isfinite(values[found[ok]])
        kept_scores.append(values[found[ok]])
        kept_labels.append(record.labels[ok])
        kept_records.append(np.full(int(ok.sum()), record.name))
        for label in CLASSES:
            missed[label] += int((truth & ~ok & (record.labels == label)).sum())
    all_scores, labels, records = (np.concatenate(p) for p in (kept_scores, kept_labels, kept_records))
    if not len(all_scores):
        raise DataError(f"no beat of {', '.join(record.name for record in judged)} was found and scored")
    figures = summary(all_scores, labels, records, None, seed, missed) | {"missed_or_unscored": missed}
    return Row(name, all_scores, labels, figures)


def _decisions(judged: Sequence[Judged]) -> dict[str, Any]:
    """Counts and rates of the monitor's own decisions, by record and gross, with and without 232."""
    counts = {record.name: count(record) for record in judged}
    extra: dict[str, Any] = {
        "by_record": {name: {"counts": one, "rates": rates(one)} for name, one in counts.items()},
        "gross": _gross(list(counts.values())),
    }
    others = [one for name, one in counts.items() if name != "232"]
    if 0 < len(others) < len(counts):
        extra["gross_without_232"] = _gross(others)
    return extra


def _gross(counts: Sequence[dict[str, int]]) -> dict[str, Any]:
    total = {key: sum(one[key] for one in counts) for key in counts[0]}
    return {"counts": total, "rates": rates(total)}


def _test_beats(pairs: Iterable[tuple[StreamedRecord, Judged]]) -> LabelledBeats:
    """The beats behind the model's row, in its order."""
    parts = []
    for streamed, record in pairs:
        found = record.found()
        ok = record.counted(record.annotated) & (found >= 0)
        ok[ok] = np.isfinite(record.score[found[ok]])
        parts.append((streamed.beats[found[ok]], record.labels[ok], np.full(int(ok.sum()), record.name)))
    beats, labels, records = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return LabelledBeats(beats, labels, records)
