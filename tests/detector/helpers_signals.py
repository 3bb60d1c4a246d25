"""Signals, records and comparisons that the detector's tests share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector import Beat, BeatContext, Detector, Event

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")  # annotation codes that mark a heartbeat
MATCH_S = 0.150  # EC57: a detection within 150 ms of an annotation is that beat
LEARNING_S = 10.0

# centre relative to R (s), height (mV), width (s): P, Q, R, S and T of a textbook lead II
_WAVES = ((-0.17, 0.12, 0.022), (-0.030, -0.10, 0.009), (0.0, 1.1, 0.011), (0.030, -0.22, 0.010), (0.26, 0.30, 0.050))


def synthetic_ecg(
    fs_hz: float, duration_s: float, *, seed: int = 0, noise_mv: float = 0.01, first_r_s: float = 0.4
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A sum of Gaussian waves at slightly irregular times; (signal in mV, R times in s)."""
    rng = np.random.default_rng(seed)
    rr_s = 0.8 + 0.05 * rng.standard_normal(int(duration_s / 0.5) + 2)
    r_s = first_r_s + np.concatenate(([0.0], np.cumsum(rr_s)))
    r_s = r_s[r_s < duration_s]
    t = np.arange(round(duration_s * fs_hz)) / fs_hz
    signal = noise_mv * rng.standard_normal(t.size)
    for centre, height, width in _WAVES:
        for r in r_s:
            low, high = np.searchsorted(t, (r + centre - 6 * width, r + centre + 6 * width))
            signal[low:high] += height * np.exp(-0.5 * ((t[low:high] - r - centre) / width) ** 2)
    return signal, r_s


def read_lead(folder: Path, name: str, sampto: int | None = None, lead: int = 0) -> NDArray[np.float64]:
    """One lead of a MIT-BIH record, mV."""
    import wfdb

    record = wfdb.rdrecord(str(folder / "mitdb" / name), channels=[lead], sampto=sampto)
    signal: NDArray[np.float64] = record.p_signal[:, 0]
    return signal


def read_beats(folder: Path, name: str) -> NDArray[np.int64]:
    """Annotated beats of a MIT-BIH record, samples."""
    import wfdb

    annotation = wfdb.rdann(str(folder / "mitdb" / name), "atr")
    return np.array(
        [s for s, symbol in zip(annotation.sample, annotation.symbol, strict=True) if symbol in BEAT_SYMBOLS],
        np.int64,
    )


def record_names(folder: Path) -> list[str]:
    """Names of the MIT-BIH records."""
    return sorted(path.stem for path in (folder / "mitdb").glob("*.hea"))


def match(
    found: Sequence[int] | NDArray[np.int64], wanted: Sequence[int] | NDArray[np.int64], tolerance: float
) -> list[tuple[int, int]]:
    """Pair detections with annotations greedily in order of time, each at most once: (found, wanted) samples."""
    pairs = []
    i = j = 0
    while i < len(found) and j < len(wanted):
        if abs(int(found[i]) - int(wanted[j])) <= tolerance:
            pairs.append((int(found[i]), int(wanted[j])))
            i, j = i + 1, j + 1
        elif found[i] < wanted[j]:
            i += 1
        else:
            j += 1
    return pairs


def run(detector: Detector, pieces: Iterable[NDArray[np.float64]], first_sample: int | None = None) -> list[Event]:
    """Every event of a signal given in pieces, to its end."""
    events: list[Event] = []
    for piece in pieces:
        events += detector.advance(piece, first_sample)
        first_sample = None
    return events + detector.flush()


def beats_of(events: Iterable[Event]) -> list[Beat]:
    """The beats among the events."""
    return [event for event in events if isinstance(event, Beat)]


def key(event: Event | BeatContext) -> object:
    """An event as something `==` compares to the last bit."""
    if isinstance(event, Beat | BeatContext):
        values = [getattr(event, field.name) for field in dataclasses.fields(event)]
        return tuple(_bits(value) for value in values)
    return event


def _bits(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return key(value) if isinstance(value, Beat | BeatContext) else value


def keys(events: Iterable[Event]) -> list[object]:
    """`key` of each event."""
    return [key(event) for event in events]
