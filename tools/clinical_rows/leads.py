"""Pieces of real leads: `mitdb` records of DS1 and odd `cudb` records; nothing of the test patients."""

from __future__ import annotations

import functools
import itertools
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from clinical_rows.cases import Draw

Floats = NDArray[np.float64]

CLEAR: Final = ("101", "112", "115", "119", "122", "205", "209", "215", "220", "223", "230")
"""Records of DS1 in sinus rhythm with P waves that a person sees."""
SLOW: Final = ("101", "115", "119", "124")
"""Those whose P wave lies whole between T wave and QRS complex, with noise to measure before it."""
BLOCK: Final = ("109", "207")
"""Records of DS1 with left bundle branch block."""
_BEFORE_S, _AFTER_S = 0.07, 0.44  # of an R-peak: its QRST
_P_S: Final = (0.26, 0.07)  # before an R-peak: its P wave


def available() -> bool:
    """Whether records can be read."""
    folder = os.environ.get("ECG_MONITOR_DATA", "")
    return bool(folder) and (Path(folder) / "mitdb").is_dir()


@dataclass(frozen=True)
class Lead:
    """A record: samples in mV, beats in s, and the class of each (N, S, V, F, Q)."""

    name: str
    fs_hz: float
    mv: Floats
    beats_s: Floats
    labels: NDArray[np.str_]


@functools.lru_cache(maxsize=8)
def lead(name: str, data_set: str = "mitdb") -> Lead:
    """Read a record."""
    from train.data.records import read_record

    record = read_record(name, data_set)
    mv = np.where(np.isfinite(record.samples_mv), record.samples_mv, 0.0)
    return Lead(name, record.fs_hz, mv, record.beat_samples / record.fs_hz, record.beat_labels)


def stretch(whole: Lead, rng: np.random.Generator, seconds: float, classes: str = "N") -> float:
    """Begin of a time in which every beat is of these classes, s; ValueError: there is none."""
    other = whole.beats_s[~np.isin(whole.labels, list(classes))]
    last_s = whole.mv.size / whole.fs_hz - seconds - 1
    starts = np.arange(1.0, last_s, 2.0)
    free = np.searchsorted(other, starts) == np.searchsorted(other, starts + seconds)
    if not free.any():
        raise ValueError(f"record {whole.name} has no {seconds:.0f} s of {classes} alone")
    return float(rng.choice(starts[free]))


def cut(whole: Lead, since_s: float, seconds: float, fs_hz: float) -> tuple[Floats, list[float]]:
    """A piece at another sampling rate, without its mean, and its beats from its begin."""
    low = round(since_s * whole.fs_hz)
    mv = resampled(whole.mv[low : low + round((seconds + 1) * whole.fs_hz)], whole.fs_hz, fs_hz)[
        : round(seconds * fs_hz)
    ]
    inside = (whole.beats_s >= since_s) & (whole.beats_s < since_s + seconds)
    return mv - np.median(mv), (whole.beats_s[inside] - since_s).tolist()


def resampled(mv: Floats, from_hz: float, to_hz: float) -> Floats:
    """The same signal at another sampling rate."""
    ratio = Fraction(to_hz / from_hz).limit_denominator(500)
    offset = float(np.median(mv))
    return np.asarray(resample_poly(mv - offset, ratio.numerator, ratio.denominator) + offset)


def _pieces(mv: Floats, beats_s: list[float], fs_hz: float, before_s: float, after_s: float) -> list[Floats]:
    """The signal around each beat, from zero to zero by a straight line and soft edges."""
    low, high = round(before_s * fs_hz), round(after_s * fs_hz)
    at = [round(each * fs_hz) for each in beats_s]
    edge = max(2, round(0.02 * fs_hz))
    taper = np.minimum(1.0, np.minimum(np.arange(high + low), np.arange(high + low)[::-1]) / edge)
    found = []
    for r in at:
        if r - low < 0 or r + high > mv.size:
            continue
        piece = mv[r - low : r + high]
        ends = float(piece[:edge].mean()), float(piece[-edge:].mean())
        found.append((piece - np.linspace(*ends, piece.size)) * taper)
    return found


@dataclass(frozen=True)
class RealHeart:
    """Parts of a real lead, to put together anew.

    Attributes:
        qrst: the QRST of single beats, each from `before_s` before its R-peak.
        p_wave: the mean P wave.
        p_waves: the single ones.
        noise: between T and P wave, joined, a minute or less.
        r_mv: usual height of the QRS, peak to peak, mV.
    """

    fs_hz: float
    qrst: list[Floats]
    p_wave: Floats
    p_waves: list[Floats]
    noise: Floats
    r_mv: float

    before_s = _BEFORE_S

    def p_scaled(self, share: float) -> Floats:
        """The P wave with this share of the QRS height."""
        height = float(np.ptp(self.p_wave))
        return np.asarray(self.p_wave * share * self.r_mv / height)

    def noise_of(self, n: int, rms_mv: float | None = None) -> Floats:
        """The measured noise, again and again, to and fro so that it has no jumps; scaled to `rms_mv` where given."""
        there = np.concatenate((self.noise, self.noise[::-1]))
        made = np.resize(there, n)
        return made if rms_mv is None else np.asarray(made * rms_mv / max(1e-6, float(made.std())))


def real_heart(mv: Floats, beats_s: list[float], fs_hz: float) -> RealHeart:
    """Take a piece of a lead apart."""
    qrst = _pieces(mv, beats_s, fs_hz, _BEFORE_S, _AFTER_S)
    before = [at_s - _P_S[1] for at_s in beats_s]
    p_waves = _pieces(mv, before, fs_hz, _P_S[0] - _P_S[1], 0.0)
    quiet = []
    for first_s, then_s in itertools.pairwise(beats_s):
        low, high = round((first_s + _AFTER_S + 0.02) * fs_hz), round((then_s - _P_S[0] - 0.02) * fs_hz)
        if high - low > 0.08 * fs_hz:
            piece = mv[low:high]
            line = np.polyval(np.polyfit(np.arange(piece.size), piece, 1), np.arange(piece.size))
            quiet.append((piece - line) * np.hanning(piece.size) ** 0.25)
    noise = np.concatenate(quiet) if quiet else np.zeros(2)
    return RealHeart(
        fs_hz, qrst, np.median(p_waves, axis=0), p_waves, noise, float(np.median([np.ptp(each) for each in qrst]))
    )


def clear_piece(draw: Draw, seconds: float, names: tuple[str, ...] = CLEAR) -> tuple[str, Floats, list[float]]:
    """A piece in which every beat is normal, of one of the records: its name, signal and beats; polarity is drawn."""
    first = names.index(draw.pick(names))
    for name in (*names[first:], *names[:first]):
        whole = lead(name)
        try:
            begin_s = stretch(whole, draw.rng, seconds)
        except ValueError:
            continue
        break
    mv, beats_s = cut(whole, begin_s, seconds, draw.fs_hz)
    return whole.name, mv * draw.pick((1, -1)), beats_s


def fibrillation(draw: Draw, seconds: float) -> tuple[str, Floats]:
    """Up to `seconds` of annotated fibrillation of an odd record of cudb, from 0 to 5 s after its begin."""
    from studies.truth import read_truth

    from train.data.records import data_folder

    odd = [f"cu{number:02d}" for number in range(1, 36, 2)]
    first = odd.index(draw.pick(odd))
    for name in (*odd[first:], *odd[:first]):
        if not (data_folder("cudb") / f"{name}.atr").is_file():
            continue
        whole = lead(name, "cudb")
        truth = read_truth(data_folder("cudb") / name, whole.fs_hz, whole.mv.size / whole.fs_hz)
        spans = [(low, high) for low, high in truth.fibrillation if high - low > 20]
        if spans:
            break
    low, high = spans[int(draw.rng.integers(len(spans)))]
    since_s = low + draw.rng.uniform(0, 5)
    mv, _ = cut(whole, since_s, min(seconds, high - since_s), draw.fs_hz)
    return name, mv


def noise(kind: str, rng: np.random.Generator, seconds: float, fs_hz: float) -> Floats:
    """A piece of the pure noise `em` or `ma` of nstdb, of its first half."""
    from train.data.noise_mix import read_noise

    whole, own_hz = read_noise(kind, "first")
    n = round((seconds + 1) * own_hz)
    first = int(rng.integers(whole.size - n))
    return resampled(whole[first : first + n], own_hz, fs_hz)[: round(seconds * fs_hz)]
