"""R-peak detection on all 48 records, with and without ventricular flutter, which has no annotated beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from train.data.detected_beats import StreamedRecord, stream_beats
from train.data.records import flutter_episodes
from train.evaluate.decision_rates import gross
from train.evaluate.protocols import Progress, no_progress
from train.evaluate.record_decisions import RecordDecisions, count, share

__all__ = ["R_PEAK_LEARNING_S", "r_peak_quality"]

R_PEAK_LEARNING_S: Final = 10.0  # start-up time of the first window and the thresholds


def r_peak_quality(records: Sequence[str], seed: int = 0, progress: Progress = no_progress) -> dict[str, Any]:
    """Sensitivity and positive predictivity of the R-peaks of records of `mitdb`, 150 ms tolerance.

    Args:
        records: names of the records.
        seed: of the bootstrap.
        progress: receives one line per record.

    Returns:
        Gross counts, rates and intervals (`r_ppv_outside_flutter`: detections in ventricular flutter or fibrillation
        not counted), and the worst record outside flutter by the lower of its two rates.
    """
    counts: dict[str, dict[str, int]] = {}
    for at, streamed in enumerate(stream_beats(records), 1):
        progress(f"R-peaks: record {streamed.name}, {at} of {len(records)}")
        counts[streamed.name] = _count(streamed)
    by_record = {name: _rates(one) for name, one in counts.items()}
    lower = {
        name: min(found["r_se"] or 0.0, found["r_ppv_outside_flutter"] or 0.0) for name, found in by_record.items()
    }
    worst = min(lower, key=lambda name: (lower[name], name))
    return {
        "records": len(records),
        "learning_s": R_PEAK_LEARNING_S,
        "gross": gross(counts, seed, _rates),
        "worst_record_outside_flutter": {"record": worst, "lower_of_se_and_ppv": lower[worst]},
        "by_record": by_record,
    }


def _count(streamed: StreamedRecord) -> dict[str, int]:
    unscored = np.full(len(streamed.r_samples), np.nan)
    decided = RecordDecisions(
        name=streamed.name,
        fs_hz=streamed.fs_hz,
        first_sample=round(R_PEAK_LEARNING_S * streamed.fs_hz),
        end_sample=streamed.samples,
        r_samples=streamed.r_samples,
        log_prob=unscored,
        score=unscored,
        flagged=np.zeros(len(unscored), dtype=np.bool_),
        annotated=streamed.annotated,
        labels=streamed.annotated_labels,
    )
    counted = count(decided)
    false = decided.r_samples[(decided.matches() < 0) & decided.counted(decided.r_samples)]
    within = [(false >= begin) & (false <= end) for begin, end in flutter_episodes(streamed.name)]
    in_flutter = int(np.count_nonzero(np.any(within, axis=0))) if within else 0
    kept = ("annotated", "found", "false_detections", "windows", "bad_windows")
    return {name: counted[name] for name in kept} | {"false_detections_in_flutter": in_flutter}


def _rates(counts: dict[str, int]) -> dict[str, float | None]:
    found, false = counts["found"], counts["false_detections"]
    return {
        "r_se": share(found, counts["annotated"]),
        "r_ppv": share(found, found + false),
        "r_ppv_outside_flutter": share(found, found + false - counts["false_detections_in_flutter"]),
        "bad_windows": share(counts["bad_windows"], counts["windows"]),
    }
