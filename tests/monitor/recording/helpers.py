"""Beats to record."""

from __future__ import annotations

from typing import Any

from monitor.messages import BeatMessage


def beat(r_sample: int, log_prob: float | None = -12.5, score: float | None = 1.5, **changes: Any) -> BeatMessage:
    fields = {"rr_s": 0.8, "p_value": 0.25, "threshold": 4.5, "anomalous": False, "quality": "good"} | changes
    return BeatMessage(bed="p1", r_sample=r_sample, log_prob=log_prob, score=score, **fields)
