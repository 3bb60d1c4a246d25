"""The monitor's decisions on one record beside its annotations: computed here, or read from a recording."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector import Calibration, PatientReference
from detector.short_repr import short_repr
from train.data.detected_beats import MATCH_S, StreamedRecord, match_beats
from train.data.records import CLASSES, read_record
from train.errors import DataError
from train.model.scores import BeatScores

__all__ = [
    "LEARNING_S",
    "RecordDecisions",
    "count",
    "decide_record",
    "rates",
    "read_recording",
    "record_decisions",
    "share",
]

LEARNING_S = 300.0  # EC57 excludes the first five minutes of a record
WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class RecordDecisions:
    """One record with the monitor's decision on every detected beat.

    Attributes:
        name: of the record.
        fs_hz: sampling rate, Hz.
        first_sample, end_sample: the part that counts, end not included.
        r_samples: (n,) int64, detected R-peaks, rising.
        log_prob: (n,) nats; NaN = not scored.
        score: (n,) all evidence, higher = more anomalous; NaN = not scored.
        flagged: (n,) bool, called anomalous.
        annotated: (k,) int64, annotated R-peaks, rising.
        labels: (k,) their classes.
    """

    name: str
    fs_hz: float
    first_sample: int
    end_sample: int
    r_samples: NDArray[np.int64]
    log_prob: NDArray[np.float64]
    score: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    annotated: NDArray[np.int64]
    labels: NDArray[np.str_]

    __repr__ = short_repr

    def matches(self) -> NDArray[np.int64]:
        """(n,) index of the annotated beat that matches each detected beat, -1 = none."""
        return match_beats(self.r_samples, self.annotated, MATCH_S * self.fs_hz)

    def counted(self, samples: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of these samples lies in the part that counts."""
        return (samples >= self.first_sample) & (samples < self.end_sample)

    def found(self) -> NDArray[np.int64]:
        """(k,) index of the detected beat that matches each annotated beat, -1 = missed."""
        detected = np.full(len(self.annotated), -1, dtype=np.int64)
        matched = self.matches()
        detected[matched[matched >= 0]] = np.flatnonzero(matched >= 0)
        return detected


def count(record: RecordDecisions) -> dict[str, int]:
    """Counts for the rates; counts of several records can be added.

    An annotated abnormal beat that was not detected, or not scored, is a missed abnormal beat. A flagged false
    detection lowers the precision of the flags.
    """
    found = record.found()
    truth = record.counted(record.annotated)
    false = (record.matches() < 0) & record.counted(record.r_samples)
    hit = truth & (found >= 0)
    flagged = np.zeros(len(truth), dtype=np.bool_)
    flagged[hit] = record.flagged[found[hit]]
    scored = np.zeros(len(truth), dtype=np.bool_)
    scored[hit] = np.isfinite(record.log_prob[found[hit]])
    window = round(WINDOW_S * record.fs_hz)
    windows = (record.end_sample - record.first_sample) // window
    wrong = np.concatenate((record.annotated[truth & ~hit], record.r_samples[false]))
    bad = np.unique((wrong - record.first_sample) // window)
    counts = {
        "annotated": int(truth.sum()),
        "found": int(hit.sum()),
        "false_detections": int(false.sum()),
        "unscored": int((hit & ~scored).sum()),
        "flagged": int(flagged.sum()),
        "flagged_false_detections": int((false & record.flagged).sum()),
        "windows": int(windows),
        "bad_windows": int(np.count_nonzero(bad < windows)),
    }
    for name in CLASSES:
        of_class = truth & (record.labels == name)
        counts[f"beats_{name}"] = int(of_class.sum())
        counts[f"missed_{name}"] = int((of_class & ~hit).sum())
        counts[f"unscored_{name}"] = int((of_class & hit & ~scored).sum())
        counts[f"flagged_{name}"] = int((of_class & flagged).sum())
    return counts


def rates(counts: dict[str, int]) -> dict[str, float | None]:
    """Rates from (added) counts; None if the denominator is 0."""
    abnormal = sum(counts[f"beats_{name}"] for name in CLASSES[1:])
    hits = sum(counts[f"flagged_{name}"] for name in CLASSES[1:])
    return {
        "r_se": share(counts["found"], counts["annotated"]),
        "r_ppv": share(counts["found"], counts["found"] + counts["false_detections"]),
        "abnormal_se": share(hits, abnormal),
        "abnormal_ppv": share(hits, counts["flagged"] + counts["flagged_false_detections"]),
        "fpr": share(counts["flagged_N"], counts["beats_N"]),
        "veb_se": share(counts["flagged_V"], counts["beats_V"]),
        "sveb_se": share(counts["flagged_S"], counts["beats_S"]),
        "bad_windows": share(counts["bad_windows"], counts["windows"]),
    }


def decide_record(
    streamed: StreamedRecord, scores: BeatScores, calibration: Calibration, learning_s: float
) -> RecordDecisions:
    """Decide every scorable beat of a record in order of time, as the monitor does."""
    patient = PatientReference(calibration)
    flagged = np.zeros(len(scores.score), dtype=np.bool_)
    for k in np.flatnonzero(streamed.scorable).tolist():
        flagged[k] = patient.judge(float(scores.score[k])).anomalous
    return record_decisions(streamed, scores, flagged, learning_s)


def record_decisions(
    streamed: StreamedRecord, scores: BeatScores, flagged: NDArray[np.bool_], learning_s: float
) -> RecordDecisions:
    """Combine a record with decisions on its beats; a beat that is not scorable gets no score.

    Args:
        streamed: the record with n detected beats.
        scores: of all n beats.
        flagged: (n,) bool, called anomalous.
        learning_s: start of the record that does not count, s.
    """
    return RecordDecisions(
        name=streamed.name,
        fs_hz=streamed.fs_hz,
        first_sample=round(learning_s * streamed.fs_hz),
        end_sample=streamed.samples,
        r_samples=streamed.r_samples,
        log_prob=np.where(streamed.scorable, scores.log_prob, np.nan),
        score=np.where(streamed.scorable, scores.score, np.nan),
        flagged=flagged,
        annotated=streamed.annotated,
        labels=streamed.annotated_labels,
    )


def read_recording(folder: Path, record_name: str, learning_s: float = LEARNING_S) -> RecordDecisions:
    """Read a recording of the monitor (`--record`): `beats.csv` is in `folder` or in the folder of its only bed.

    Args:
        folder: the folder given to `--record`.
        record_name: the replayed record, for its annotations.
        learning_s: start of the record that does not count, s.

    Raises:
        DataError: no such recording, several beds, an unreadable file, or a recording that is too short.
    """
    bed = _bed_folder(folder)
    record = read_record(record_name)
    path = bed / "beats.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
        r_samples = np.array([int(row["r_sample"]) for row in table], dtype=np.int64)
        log_prob, score = (
            np.array([float(row[column] or "nan") for row in table], dtype=np.float64)
            for column in ("log_prob", "score")
        )
        flagged = np.array([row["anomalous"].strip().lower() in ("1", "true") for row in table], dtype=np.bool_)
    except (OSError, ValueError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a beats.csv of the monitor ({error!r}); record it again") from error
    first, end = _recorded_range(bed, len(record.samples_mv))
    begin = max(first, round(learning_s * record.fs_hz))
    if begin >= end or not len(r_samples):
        raise DataError(
            f"{bed}: no recording after the first {learning_s:g} s of the record, which do not count; "
            "record longer, or give a smaller --learning-s"
        )
    return RecordDecisions(
        name=record_name,
        fs_hz=record.fs_hz,
        first_sample=begin,
        end_sample=end,
        r_samples=r_samples,
        log_prob=log_prob,
        score=score,
        flagged=flagged,
        annotated=record.beat_samples,
        labels=record.beat_labels,
    )


def _bed_folder(folder: Path) -> Path:
    if (folder / "beats.csv").is_file():
        return folder
    beds = sorted(path.parent for path in folder.glob("*/beats.csv"))
    if not beds:
        raise DataError(f"{folder}: no beats.csv in it or in a subfolder; give the folder of `--record`")
    if len(beds) > 1:
        raise DataError(f"{folder}: several beds ({', '.join(b.name for b in beds)}); give the folder of one")
    return beds[0]


def _recorded_range(bed: Path, samples: int) -> tuple[int, int]:
    """First recorded sample and the one after the last, in samples of the record."""
    try:
        first = int(json.loads((bed / "session.json").read_text("utf-8")).get("first_sample", 0))
        leads = int((bed / "signal.hea").read_text("utf-8").split()[1])
        length = (bed / "signal.dat").stat().st_size // (2 * leads)  # WFDB format 16
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"{bed}: session.json or the signal cannot be read ({error}); record it again") from error
    return first, min(first + length, samples)


def share(part: int, whole: int) -> float | None:
    """Ratio of two counts; None if the denominator is 0."""
    return part / whole if whole else None
