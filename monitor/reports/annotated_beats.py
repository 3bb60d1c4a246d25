"""Which annotation belongs to which beat, by the rule of ANSI/AAMI EC57."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["MATCH_S", "matched_annotations"]

MATCH_S: Final = 0.15  # EC57: a beat is the annotated one within 150 ms


def matched_annotations(r_samples: NDArray[np.int64], annotated: NDArray[np.int64], fs_hz: float) -> NDArray[np.int64]:
    """The nearest annotation of each beat, at most 150 ms away; an annotation serves one beat only.

    Args:
        r_samples: (n,) R-peaks.
        annotated: (m,) annotated beats, rising.
        fs_hz: sampling rate of both.

    Returns:
        (n,) int64, index of the annotation; -1 = none.
    """
    found = np.full(len(r_samples), -1, np.int64)
    if not len(annotated):
        return found
    best: dict[int, tuple[int, int]] = {}  # annotation -> distance, beat
    right = np.clip(np.searchsorted(annotated, r_samples), 1, max(len(annotated) - 1, 1))
    for beat, (r, at) in enumerate(zip(r_samples.tolist(), right.tolist(), strict=True)):
        nearest = min((i for i in (at - 1, at) if i < len(annotated)), key=lambda i: abs(int(annotated[i]) - r))
        distance = abs(int(annotated[nearest]) - r)
        if distance <= MATCH_S * fs_hz and distance < best.get(nearest, (10**9, 0))[0]:
            best[nearest] = distance, beat
    for annotation, (_, beat) in best.items():
        found[beat] = annotation
    return found
