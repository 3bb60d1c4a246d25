"""Reference scores without learning, computed in the same run: nearest neighbour and the patient's template."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfiltfilt

from detector import QRS, QRS_AND_T, cut_beat
from detector.bandpass import design_bandpass
from train.data.records import NormalBeats, Record

__all__ = ["TEMPLATE_LEFT_OUT", "nearest_neighbour_scores", "nearest_neighbour_threshold", "template_scores"]

TEMPLATE_LEFT_OUT = 16  # first beats of a record, before the first template
_TEMPLATE_BEATS = 64
_RECENT_BEATS = 8
_BLOCK = 512  # test beats per block: the distances stay under 150 MB
_THRESHOLD_BEATS = 4000


def nearest_neighbour_scores(
    normals: NormalBeats, beats: NDArray[np.float32], leave_out: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Euclidean distance of each beat to the nearest training normal, in the raw 187 samples.

    Args:
        normals: (m, 187) training normals.
        beats: (n, 187), to be scored.
        leave_out: (n,) index of each beat among the normals, so that it is not its own neighbour.

    Returns:
        (n,) float64, higher = more anomalous.
    """
    train = normals.beats
    half_square = 0.5 * np.einsum("ij,ij->i", train, train)
    scores = np.empty(len(beats))
    for start in range(0, len(beats), _BLOCK):
        block = beats[start : start + _BLOCK]
        # |a-b|^2 / 2 = |a|^2 / 2 - (a.b - |b|^2 / 2): one matrix product, then a maximum.
        near = block @ train.T
        near -= half_square
        if leave_out is not None:
            near[np.arange(len(block)), leave_out[start : start + _BLOCK]] = -np.inf
        square = np.einsum("ij,ij->i", block, block) - 2.0 * near.max(axis=1)
        scores[start : start + _BLOCK] = np.sqrt(np.maximum(square, 0.0))
    return scores


def nearest_neighbour_threshold(normals: NormalBeats, quantile: float, seed: int = 0) -> float:
    """Distance exceeded by a share `quantile` of the training normals, each without itself as neighbour."""
    drawn = np.random.default_rng(seed).permutation(len(normals))[:_THRESHOLD_BEATS].astype(np.int64)
    return float(np.quantile(nearest_neighbour_scores(normals, normals.beats[drawn], drawn), 1 - quantile))


def template_scores(record: Record) -> NDArray[np.float64]:
    """Score of each annotated beat against the patient's previous 64, without learning.

    Band-pass 0.5 to 40 Hz without phase shift; residual = norm of (beat - pointwise median of the previous 64)
    from -136 to +344 ms around R, over the median of their peak-to-peak between -96 and +136 ms;
    r1 = log(RR / median of the previous 64 RR), r3 the same over 8;
    score = 0.4 * residual + max(0, -r1) + max(0, -r3).

    Returns:
        (n,) float64, higher = more anomalous; NaN for the first 16 beats, which have no template.
    """
    filtered = sosfiltfilt(design_bandpass(record.fs_hz), record.samples_mv)
    cut = np.array([cut_beat(filtered, at, record.fs_hz) for at in record.beat_samples.tolist()])
    shapes = cut[:, QRS_AND_T].astype(np.float64)
    heights = np.ptp(cut[:, QRS], axis=1).astype(np.float64)
    log_rr = np.r_[np.nan, np.log(np.diff(record.beat_samples) / record.fs_hz)]
    scores = np.full(len(cut), np.nan)
    for k in range(TEMPLATE_LEFT_OUT, len(cut)):
        before = slice(max(0, k - _TEMPLATE_BEATS), k)
        residual = np.linalg.norm(shapes[k] - np.median(shapes[before], axis=0)) / np.median(heights[before])
        early = sum(
            max(0.0, float(np.median(log_rr[max(1, k - beats) : k]) - log_rr[k]))
            for beats in (_TEMPLATE_BEATS, _RECENT_BEATS)
        )
        scores[k] = 0.4 * residual + early
    return scores
