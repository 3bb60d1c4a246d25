"""Beats made from intervals and letters."""

from __future__ import annotations

import numpy as np

from monitor.reports.holter.beats import HolterBeats

FS_HZ = 250.0


def beats_of_rr(rr_s: list[float], *, odd: set[int] | None = None, unscored: set[int] | None = None) -> HolterBeats:
    """Beats one after the other; the first has no interval. NaN: after a gap of 5 s."""
    steps = np.array([1.0, *(5.0 if np.isnan(rr) else rr for rr in rr_s)])
    r_sample = np.round(np.cumsum(steps) * FS_HZ).astype(np.int64)
    n = r_sample.size
    rr = np.concatenate([[np.nan], np.diff(r_sample) / FS_HZ])
    rr[1:][np.isnan(rr_s)] = np.nan
    score = np.zeros(n)
    score[list(unscored or ())] = np.nan
    anomalous = np.zeros(n, np.bool_)
    anomalous[list(odd or ())] = True
    quality = tuple("motion" if np.isnan(value) else "good" for value in score)
    return HolterBeats(FS_HZ, r_sample, rr, score, anomalous, quality)
