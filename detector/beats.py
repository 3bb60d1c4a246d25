"""The one definition of a beat, shared by training and live use.

A beat is 187 samples at 125 Hz of the causally band-passed lead, in mV, with the R-peak at index 62: 0.496 s
before it and 0.992 s after. The length and rate are those of the public beat set (Kachuee et al. 2018,
arXiv 1805.00794). Deviation: there the window starts at the R-peak; a window centred on it also holds the
P wave and the PR interval (1-nearest-neighbour AUROC 0.971 against 0.948). Its price is latency: a beat can be
scored 0.992 s after its R-peak.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.quality import Quality
from detector.short_repr import short_repr

__all__ = [
    "AFTER_R_S",
    "BEAT_DEFINITION",
    "BEAT_FS_HZ",
    "BEAT_SAMPLES",
    "BEFORE_R_S",
    "CONTEXT_FIELDS",
    "QRS",
    "QRS_AND_T",
    "R_INDEX",
    "Beat",
    "BeatContext",
    "BeatStretch",
    "beat_stretch",
    "cut_beat",
    "cut_beats",
    "template_score",
]

BEAT_DEFINITION = "stream/3"  # raise the number when anything that changes a beat's samples changes
BEAT_SAMPLES = 187
BEAT_FS_HZ = 125.0
R_INDEX = 62
BEFORE_R_S = R_INDEX / BEAT_FS_HZ
AFTER_R_S = (BEAT_SAMPLES - 1 - R_INDEX) / BEAT_FS_HZ
QRS = slice(R_INDEX - 12, R_INDEX + 18)  # -96 to +136 ms: QRS amplitude, peak to peak
QRS_AND_T = slice(R_INDEX - 17, R_INDEX + 44)  # -136 to +344 ms: shape distance

# Order of `BeatContext.values`. NaN = not known.
CONTEXT_FIELDS = (
    "rr_s",  # interval to the R-peak before
    "rr_before_s",  # the interval before that one, as learnt
    "rr_median_s",  # median of the last 64 intervals
    "rr_median_8_s",  # of the last 8
    "rr_long_s",  # 85 % quantile of the last 64
    "rr_variability",  # mean change from one interval to the next, over their median
    "amplitude_mv",  # median peak-to-peak of the QRS over the last 64 beats
    "usual_residual",  # median residual of the last 64 beats
)

_OFFSETS_S = (np.arange(BEAT_SAMPLES) - R_INDEX) / BEAT_FS_HZ


@dataclass(frozen=True, slots=True, eq=False)
class BeatContext:
    """The patient's usual beat and rhythm at the time of a beat: the model's second input.

    Attributes:
        template: (187,) float32, mV: pointwise median of the last 64 beats, read-only.
        steady: (187,) float32, mV: the median of the quarter of them after the longest intervals, read-only. It
            excludes early beats: in bigeminy, or when nearly all beats are premature, it still shows the normal beat.
        values: (8,) float32 in the order of `CONTEXT_FIELDS`, NaN = not known.
    """

    template: NDArray[np.float32]
    steady: NDArray[np.float32]
    values: NDArray[np.float32]

    __repr__ = short_repr


@dataclass(frozen=True, slots=True, eq=False)
class Beat:
    """One detected beat.

    Attributes:
        r_sample: R-peak, absolute index in the source's own samples (the filter's delay taken off).
        rr_s: interval to the previous R-peak, s; None after a gap, leads off or at the start.
        samples: (187,) float32, mV, band-passed, 125 Hz, R-peak at index 62; zeros where the signal had not
            begun or had ended (then `quality` is not good).
        quality: worst signal quality the beat touches; only a good beat may be scored.
        residual: shape distance to the patient's own template, in QRS amplitudes; None during its first beats.
        rr_ratio: RR over the median of the patient's last 64 RR, 1 = usual; None where not known.
        rr_ratio_8: the same over the last 8.
        decided_sample: the samples before this index decided the beat.
        context: the patient's usual beat and rhythm before this beat was learned; None during the first beats.
        paced: a pacing pulse was directly before it (`detector.pacer`).
        lead: the lead it is cut from, 0 or 1 (`detector.leads`).
        other: the same beat in the other lead, where both can be scored.
    """

    r_sample: int
    rr_s: float | None
    samples: NDArray[np.float32]
    quality: Quality
    residual: float | None = None
    rr_ratio: float | None = None
    rr_ratio_8: float | None = None
    decided_sample: int = 0
    context: BeatContext | None = None
    paced: bool = False
    lead: int = 0
    other: Beat | None = None

    __repr__ = short_repr

    @property
    def template(self) -> NDArray[np.float32] | None:
        """The patient's template before this beat was learned, (187,) float32, mV, read-only; None at first."""
        return None if self.context is None else self.context.template

    @property
    def scorable(self) -> bool:
        """Whether the beat may be scored."""
        return self.quality is Quality.GOOD

    @property
    def template_score(self) -> float | None:
        """Score without a model: `template_score` of this beat; None during the first beats."""
        return template_score(self.residual, self.rr_ratio, self.rr_ratio_8)


def template_score(residual: float | None, rr_ratio: float | None, rr_ratio_8: float | None) -> float | None:
    """Baseline score without a model: distance to the template and prematurity. Higher = more anomalous.

    0.4 * residual + max(0, -log(rr_ratio)) + max(0, -log(rr_ratio_8)); None without a template.
    """
    if residual is None:
        return None
    early = sum(max(0.0, -float(np.log(ratio))) for ratio in (rr_ratio, rr_ratio_8) if ratio is not None)
    return 0.4 * residual + early


def cut_beat(signal: NDArray[np.float64], r_index: float, fs_hz: float) -> NDArray[np.float32]:
    """Cut the beat around one R-peak out of a filtered signal, resampled to 125 Hz.

    Cubic convolution (Keys 1981, DOI 10.1109/TASSP.1981.1163711) at the wanted instants: the signal ends at
    40 Hz, so nothing is left to alias, and unlike a polyphase filter it needs no state and no rational rate.

    Args:
        signal: (n,) float64, band-passed, mV.
        r_index: position of the R-peak in `signal`, samples; need not be whole.
        fs_hz: sampling rate of `signal`, Hz.

    Returns:
        (187,) float32, mV; zeros outside the signal.
    """
    stretch = beat_stretch(signal, r_index, fs_hz)
    if stretch is not None:
        return cut_beats([stretch])[0]
    whole = math.floor(r_index)
    left, t, taps = _instants(r_index - whole, fs_hz)
    left = whole + left
    inside = (left >= 0) & (left + (t > 0) <= signal.size - 1)
    clipped = np.clip(taps + whole, 0, max(signal.size - 1, 0))
    value = _cubic(signal[clipped] if signal.size else np.zeros((4, BEAT_SAMPLES)), t)
    return np.where(inside, value, 0.0).astype(np.float32)


Instants = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
BeatStretch = tuple[NDArray[np.float64], float, float]  # signal, fraction of the position of the R-peak, sampling rate


def beat_stretch(signal: NDArray[np.float64], r_index: float, fs_hz: float) -> BeatStretch | None:
    """What `cut_beats` needs of the arguments of `cut_beat`; None where the signal does not hold all of the beat."""
    # Split the whole part of the position off: the last bit of a beat must not depend on its place in a buffer.
    whole = math.floor(r_index)
    left = _instants(r_index - whole, fs_hz)[0]
    first, end = whole + int(left[0]) - 1, whole + int(left[-1]) + 3
    return (signal[first:end], r_index - whole, fs_hz) if first >= 0 and end <= signal.size else None


def cut_beats(stretches: list[BeatStretch]) -> list[NDArray[np.float32]]:
    """The beat in each stretch; fraction and rate are equal for all."""
    left, t, taps = _instants(*stretches[0][1:])
    rows = np.array([stretch for stretch, *_ in stretches])
    # Each an array of its own, since a template may hold it for long.
    return [row.copy() for row in _cubic(rows[:, taps - (left[0] - 1)].swapaxes(0, 1), t).astype(np.float32)]


@functools.lru_cache(maxsize=64)  # a detector's R-peaks are whole samples, so one entry a sampling rate
def _instants(fraction: float, fs_hz: float) -> Instants:
    """Of each instant, in samples from R's whole part: the sample to its left, how far on, and its four taps."""
    position = fraction + _OFFSETS_S * fs_hz
    floor = np.floor(position).astype(np.int64)
    return floor, position - floor, np.arange(-1, 3)[:, None] + floor


def _cubic(points: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 187) values at t between the second and third of (4, ..., 187) points."""
    p0, p1, p2, p3 = points
    value: NDArray[np.float64]
    value = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return value
