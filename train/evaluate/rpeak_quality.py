"""How well R-peaks are found on all 48 records, ventricular flutter apart, where there are no beats to find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from train.data.detected_beats import StreamedRecord, stream_beats
from train.data.records import flutter_episodes
from train.evaluate.decisions import gross
from train.evaluate.protocols import Progress, no_progress
from train.evaluate.record_decisions import Judged, count

__all__ = ["R_PEAK_LEARNING_S", "r_peak_quality"]

R_PEAK_LEARNING_S: Final = 10.0  # the first window and the thresholds need so much


def r_peak_quality(records: Sequence[str], seed: int = 0, progress: Progress = no_progress) -> dict[str, Any]:
    """Sensitivity and positive predictivity of the R-peaks of records of `mitdb`, 150 ms tolerance.

    Args:
        records: their names.
        seed: of the bootstrap.
        progress: told what is being done.

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
    nothing = np.full(len(streamed.r_samples), np.nan)
    judged = Judged(
        name=streamed.name,
        fs_hz=streamed.fs_hz,
        first_sample=round(R_PEAK_LEARNING_S * streamed.fs_hz),
        end_sample=streamed.samples,
        r_samples=streamed.r_samples,
        log_prob=nothing,
        score=nothing,
        flagged=np.zeros(len(nothing), dtype=np.bool_),
        annotated=streamed.annotated,
        labels=streamed.annotated_labels,
    )
    counted = count(judged)
    false = judged.r_samples[(judged.matches() < 0) & judged.counted(judged.r_samples)]
    within = [(false >= begin) & (false <= end) for begin, end in flutter_episodes(streamed.name)]
    in_flutter = int(np.count_nonzero(np.any(within, axis=0))) if within else 0
    kept = ("annotated", "found", "false_detections", "windows", "bad_windows")
    return {name: counted[name] for name in kept} | {"false_detections_in_flutter": in_flutter}


def _rates(counts: dict[str, int]) -> dict[str, float | None]:
    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    found, false = counts["found"], counts["false_detections"]
    return {
        "r_se": share(found, counts["annotated"]),
        "r_ppv": share(found, found + false),
        "r_ppv_outside_flutter": share(found, found + false - counts["false_detections_in_flutter"]),
        "bad_windows": share(counts["bad_windows"], counts["windows"]),
    }
