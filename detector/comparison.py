"""Distance of a beat from the patient's usual beat, computed for many beats at once."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.beats import BEAT_FS_HZ, BEAT_SAMPLES, QRS_AND_T, R_INDEX

__all__ = ["REST", "BeatComparison", "BeatPair", "compare_beats"]

_CORE = slice(R_INDEX - 9, R_INDEX + 14)  # -72 to +104 ms: the QRS without its surroundings
_LAG = 3
_LAGS = np.arange(_CORE.start, _CORE.stop) + np.arange(-_LAG, _LAG + 1)[:, None]  # (7, 23) samples of a beat
REST: Final = slice(0, R_INDEX - 17)  # -496 to -144 ms: the heart rests before a beat that is not early,
_NEAR_S = 0.144  # except this close to the previous R-peak
_AT_S = (np.arange(BEAT_SAMPLES) - R_INDEX)[REST] / BEAT_FS_HZ
_MIN_RESTING = 8  # samples

Samples = NDArray[np.float32]


class BeatComparison(NamedTuple):
    """A beat beside the patient's template and last beats; distances in the patient's QRS amplitudes.

    Attributes:
        residual: distance of QRS and T wave to the template.
        strays: mean distance to the template in the resting interval; NaN if that is too short or unknown.
        nearest: mean distance there to the nearest of the template and the last beats; NaN likewise.
        likeness: highest correlation of the QRS with the template's within 24 ms.
    """

    residual: float
    strays: float
    nearest: float
    likeness: float


class BeatPair(NamedTuple):
    """A beat and what it is compared with.

    Attributes:
        samples: (187,) float32, mV, the beat.
        template: (187,) float32, mV, the patient's template.
        amplitude_mv: the patient's usual QRS height, peak to peak, mV.
        rr_s: interval to the previous R-peak, s; NaN = not known.
        last_beats: (k, 45) float32, mV, `REST` of the last beats; k may be 0.
    """

    samples: Samples
    template: Samples
    amplitude_mv: float
    rr_s: float
    last_beats: Samples


def compare_beats(pairs: list[BeatPair]) -> list[BeatComparison]:
    """Compare beats; all have the same number of last beats."""
    samples, templates, amplitudes, intervals, last_beats = map(np.array, zip(*pairs, strict=True))
    apart = samples[:, QRS_AND_T] - templates[:, QRS_AND_T]
    residual = np.sqrt(np.vecdot(apart, apart)) / amplitudes
    rests = (np.abs(_AT_S + intervals[:, None]) > _NEAR_S).astype(np.float32)  # an unknown interval gives no rest
    resting = rests.sum(axis=1)
    known = np.concatenate((templates[:, None, REST], last_beats), axis=1)
    known -= samples[:, None, REST]
    distances = np.vecdot(np.abs(known, out=known), rests[:, None])
    enough = np.where(resting >= _MIN_RESTING, resting, math.nan) * amplitudes
    columns = residual, distances[:, 0] / enough, distances.min(axis=1) / enough, _likeness(samples, templates)
    return list(map(BeatComparison, *(column.tolist() for column in columns)))


def _likeness(samples: Samples, templates: Samples) -> NDArray[np.float64]:
    pieces = samples.astype(np.float64)[:, _LAGS]  # (beats, lags, 23)
    usual = templates[:, _CORE].astype(np.float64)
    usual -= usual.mean(axis=1, keepdims=True)
    n = usual.shape[1]
    squares = np.vecdot(pieces, pieces) - pieces.sum(axis=2) ** 2 / n
    norms = np.sqrt(np.maximum(squares, 0.0) * np.vecdot(usual, usual)[:, None])
    highest: NDArray[np.float64] = (np.vecdot(pieces, usual[:, None]) / np.maximum(norms, 1e-9)).max(axis=1)
    return highest
