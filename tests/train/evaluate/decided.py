"""A made-up record with the monitor's decisions, small enough to count by hand."""

from __future__ import annotations

import numpy as np

from train.evaluate.record_decisions import RecordDecisions


def judged(**change: object) -> RecordDecisions:
    """Ten minutes at 100 Hz, a beat a second; from 300 s on: a missed V, an extra, an unscored S, flags."""
    annotated = np.arange(50, 60_000, 100, dtype=np.int64)
    labels = np.full(len(annotated), "N", dtype="<U1")
    labels[[310, 320, 330, 340]] = ["V", "V", "S", "S"]
    r_samples = np.sort(np.append(np.delete(annotated, 320), 35_100))
    log_prob = np.zeros(len(r_samples))
    flagged = np.zeros(len(r_samples), dtype=np.bool_)
    at = {int(sample): k for k, sample in enumerate(r_samples.tolist())}
    for beat in (310, 340, 400, 10):  # a V, an S, an N, and an N in the part that does not count
        flagged[at[int(annotated[beat])]] = True
    log_prob[at[int(annotated[330])]] = np.nan
    flagged[at[35_100]] = True
    values = {
        "score": -np.asarray(change.get("log_prob", log_prob)),
        "name": "made up",
        "fs_hz": 100.0,
        "first_sample": 30_000,
        "end_sample": 60_000,
        "r_samples": r_samples,
        "log_prob": log_prob,
        "flagged": flagged,
        "annotated": annotated,
        "labels": labels,
    }
    return RecordDecisions(**(values | change))  # type: ignore[arg-type]
