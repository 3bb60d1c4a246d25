"""Measurements of a beat against the patient's usual beat and rhythm: numbers, no verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.beats import BEAT_FS_HZ, QRS, QRS_AND_T, R_INDEX, Beat

__all__ = ["Findings", "measure", "p_likeness", "qrs_duration_ms", "qrs_likeness"]

_MS = 1000.0 / BEAT_FS_HZ
_ST_T: Final = slice(QRS.stop, QRS_AND_T.stop)  # +144 to +344 ms
_P: Final = slice(R_INDEX - 32, R_INDEX - 9)  # -256 to -80 ms
_QUIET: Final = (slice(R_INDEX - 32, R_INDEX - 12), slice(R_INDEX + 20, R_INDEX + 44))  # no QRS, for the roughness
_QRS_LAG, _P_LAG = 2, 4  # largest shift of a wave, samples: 16 ms of fiducial, 32 ms of PR interval
_AMPLITUDE_MIN_MV = 0.05
# Smallest P wave of a template; the pointwise median of fibrillation waves stays below it.
_P_MIN_MV = 0.05
# A QRS ends where the slope stays below this share of its steepest for 40 ms. At 0.15 the usual beats of DS1 measure
# 73 ms (median patient), those with bundle branch block 109 to 146 ms: in one band-passed lead about 15 ms less than
# in 12 leads.
_SLOPE_SHARE = 0.15
_SLOPE_GAP = 4
_QRS_REACH = (22, 27)  # samples before and after R that a QRS can take: 176 and 216 ms


@dataclass(frozen=True, slots=True)
class Findings:
    """Measurements of one beat; None where there is no reference.

    Attributes:
        rr_ratio: RR over the median of the last 64 or of the last 8, whichever ratio is further from 1.
        qrs_ms: QRS duration, ms.
        usual_qrs_ms: QRS duration of the patient's template, ms.
        height: QRS peak-to-peak over that of the template.
        likeness: correlation with the template's QRS, -1 to 1, best within 16 ms.
        st_t: rms difference to the template's ST-T, in QRS heights.
        p_wave: share of the template's P wave found, best within 32 ms; 1 = as usual. None for a template without P
            wave.
        rough: rms second difference outside the QRS, in QRS heights.
    """

    rr_ratio: float | None = None
    qrs_ms: float | None = None
    usual_qrs_ms: float | None = None
    height: float | None = None
    likeness: float | None = None
    st_t: float | None = None
    p_wave: float | None = None
    rough: float | None = None


def measure(beat: Beat) -> Findings:
    """Measure a beat against the patient's template and usual RR; takes 0.1 ms, so only for anomalous beats."""
    rr_ratio = _further(beat.rr_ratio, beat.rr_ratio_8)
    samples = np.asarray(beat.samples, dtype=np.float64)
    qrs_ms = qrs_duration_ms(samples)
    if beat.template is None:
        return Findings(rr_ratio=rr_ratio, qrs_ms=qrs_ms)
    template = np.asarray(beat.template, dtype=np.float64)
    height_mv = max(float(np.ptp(template[QRS])), _AMPLITUDE_MIN_MV)
    return Findings(
        rr_ratio=rr_ratio,
        qrs_ms=qrs_ms,
        usual_qrs_ms=qrs_duration_ms(template),
        height=float(np.ptp(samples[QRS])) / height_mv,
        likeness=qrs_likeness(samples, template),
        st_t=_rms(samples[_ST_T] - template[_ST_T]) / height_mv,
        p_wave=_p_wave(samples, template),
        rough=_rms(np.concatenate([np.diff(samples[quiet], 2) for quiet in _QUIET])) / height_mv,
    )


def qrs_duration_ms(samples: NDArray[np.float64]) -> float | None:
    """QRS duration of one beat, ms: the steep stretch around the steepest slope near R.

    Args:
        samples: (187,) mV.

    Returns:
        None for a flat beat.
    """
    slope = np.zeros(samples.size)
    slope[1:-1] = np.abs(samples[2:] - samples[:-2])
    near = slope[R_INDEX - 10 : R_INDEX + 11]
    limit = _SLOPE_SHARE * float(near.max())
    if not limit > 0:
        return None
    steepest = R_INDEX - 10 + int(near.argmax())
    values = slope.tolist()
    first = _end(values, limit, steepest, -1, R_INDEX - _QRS_REACH[0])
    last = _end(values, limit, steepest, +1, R_INDEX + _QRS_REACH[1])
    return (last - first) * _MS


def _end(slope: list[float], limit: float, start: int, step: int, reach: int) -> float:
    """Position, between samples, where the slope falls below the limit for good."""
    last = place = start
    while place != reach and abs(place - last) <= _SLOPE_GAP:
        place += step
        if slope[place] >= limit:
            last = place
    here, beyond = slope[last], slope[last + step]
    return last + step * (here - limit) / (here - beyond) if beyond < limit < here else float(last)


def qrs_likeness(samples: NDArray[np.float64], template: NDArray[np.float64]) -> float:
    """Correlation of the QRS of two beats, -1 to 1, best within 16 ms.

    Args:
        samples: (187,) mV, one beat.
        template: (187,) mV, the other beat.
    """
    usual = _centred(template[QRS])
    power = float(usual @ usual)
    best = -1.0
    for lag in range(-_QRS_LAG, _QRS_LAG + 1):
        shape = _centred(samples[QRS.start + lag : QRS.stop + lag])
        norms = math.sqrt(float(shape @ shape) * power)
        best = max(best, float(shape @ usual) / norms if norms > 0 else 0.0)
    return best


def p_likeness(samples: NDArray[np.float32], template: NDArray[np.float32]) -> float:
    """Correlation of the stretch of the P wave in two beats, straight lines removed; best within 32 ms, -1 to 1.

    Args:
        samples: (187,) mV, one beat.
        template: (187,) mV, the other beat.
    """
    usual = _levelled(np.asarray(template[_P], np.float64))
    near = np.asarray(samples[_P.start - _P_LAG : _P.stop + _P_LAG], np.float64)
    pieces = np.lib.stride_tricks.sliding_window_view(near, usual.size)
    ramp = np.linspace(-1.0, 1.0, usual.size)
    ramp /= math.sqrt(float(ramp @ ramp))
    squares = np.square(pieces).sum(axis=1) - usual.size * pieces.mean(axis=1) ** 2 - (pieces @ ramp) ** 2
    norms = np.sqrt(np.maximum(squares, 0.0) * float(usual @ usual))
    found = (pieces @ usual)[norms > 1e-12] / norms[norms > 1e-12]
    return float(found.max(initial=-1.0))


def _p_wave(samples: NDArray[np.float64], template: NDArray[np.float64]) -> float | None:
    """Share of the template's P wave in the beat: regression coefficient after removal of straight lines."""
    usual = _levelled(template[_P])
    if float(np.ptp(usual)) < _P_MIN_MV:
        return None
    # The beat's own straight line need not be removed: its product with a levelled wave is zero.
    near = samples[_P.start - _P_LAG : _P.stop + _P_LAG]
    return float(np.correlate(near, usual).max()) / float(usual @ usual)


def _levelled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ramp = np.linspace(-1.0, 1.0, values.size)
    centred = _centred(values)
    return centred - ramp * (float(centred @ ramp) / float(ramp @ ramp))


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values - float(values.sum()) / values.size


def _rms(values: NDArray[np.float64]) -> float:
    return math.sqrt(float(np.square(values).sum()) / values.size)


def _further(*ratios: float | None) -> float | None:
    """The ratio furthest from 1 on a log scale; None if none is known."""
    known = [ratio for ratio in ratios if ratio is not None and ratio > 0]
    return max(known, key=lambda ratio: abs(float(np.log(ratio))), default=None)
