"""Truth from the annotations alone: episodes that must raise an alarm, and which alarms are true.

Tolerances: an alarm may come up to 10 s late (the goal), and up to 10 s after the end of its episode, because it is
decided 1 to 3 s after its beats (`irregular_rhythm`, which looks at 25 beats: 40 s). Rates and intervals within 5 bpm
and 0.2 s of the limit are true, because annotation and detected R-peak differ in place.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.config import AlarmsConfig

WITHIN_S: Final = 10.0
_BEATS: Final = frozenset("NLRBAaJSVrFejnE/fQ?")
_VENTRICULAR: Final = frozenset("VEF!")
_ABNORMAL: Final = frozenset("AaJSVEFfQ!")  # AAMI's S, V, F, Q; a paced beat is normal
_NEAR_BPM, _NEAR_S = 5.0, 0.2
_MATCH_S = 0.15
_RUN_SPAN_S = 2.0
_IRREGULAR_S = 40.0
_LIMITS = AlarmsConfig()


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of a record that must raise an alarm of this kind; begin and end in s."""

    kind: str
    first_s: float
    end_s: float


class Truth:
    """Annotated beats and rhythms of one record.

    Args:
        at_s: (n,) time of each annotation, s.
        symbols: its code.
        notes: its text, e.g. `(VT`.
        length_s: of the record.
    """

    def __init__(self, at_s: NDArray[np.float64], symbols: list[str], notes: list[str], length_s: float) -> None:
        self.length_s = length_s
        beats = [(at, symbol) for at, symbol in zip(at_s.tolist(), symbols, strict=True) if symbol in _BEATS | {"!"}]
        self.beats_s = np.array([at for at, _ in beats])
        self.codes = [symbol for _, symbol in beats]
        self.abnormal = np.array([symbol in _ABNORMAL for symbol in self.codes], bool)
        self.fibrillation = _bracketed(at_s, symbols, length_s)
        self.tachycardia = _noted(at_s, symbols, notes, "(VT", length_s)
        self.atrial_fibrillation = _noted(at_s, symbols, notes, "(AFIB", length_s)
        self._atrial_flutter = _noted(at_s, symbols, notes, "(AFL", length_s)
        self._flutter = [*self.fibrillation, *_noted(at_s, symbols, notes, "(VFL", length_s)]
        self._rr = np.diff(self.beats_s)
        self._counted = np.ones(self._rr.size, bool)  # intervals between beats, outside of flutter
        for low, high in self._flutter:
            self._counted &= (self.beats_s[1:] < low) | (self.beats_s[:-1] > high)

    def ventricular_runs(self, beats: int = 5, bpm: float = 100.0) -> list[Episode]:
        """At least `beats` consecutive ventricular beats at a mean rate over `bpm`."""
        found = self._consecutive("ventricular_run", np.array([code in "VE" for code in self.codes], bool), beats)
        return [run for run, n in found if 60.0 * (n - 1) > bpm * (run.end_s - run.first_s)]

    def fibrillations(self) -> list[Episode]:
        """Ventricular fibrillation or flutter with an onset, `[` to `]`; not one in which the record begins."""
        return [Episode("ventricular_fibrillation", low, high) for low, high in self.fibrillation if low > 1.0]

    def silences(self, kind: str, seconds: float, most: float = np.inf) -> list[Episode]:
        """RR intervals of at least `seconds` and under `most`, s."""
        at = np.flatnonzero(self._counted & (self._rr >= seconds) & (self._rr < most))
        return [Episode(kind, float(self.beats_s[i]), float(self.beats_s[i + 1])) for i in at]

    def rates(self, kind: str, near: float = 0.0) -> list[Episode]:
        """Stretches in which the rate crosses the limit of a kind, over as many beats as the engine takes."""
        limits, slow = getattr(_LIMITS, kind), kind.endswith("bradycardia")
        n = limits.beats - 1
        if self._rr.size < n:
            return []
        windows = np.lib.stride_tricks.sliding_window_view(self._rr, n)
        whole = np.lib.stride_tricks.sliding_window_view(self._counted, n).all(axis=1)
        bound = limits.limit + (near if slow else -near)
        if kind.startswith("extreme") and not near:
            crossed = (60.0 / windows < bound) if slow else (60.0 / windows > bound)
            holds = crossed.all(axis=1)
        else:
            rate = 60.0 / windows.mean(axis=1)
            holds = rate < bound if slow else rate > bound
        return [
            Episode(kind, float(self.beats_s[low]), float(self.beats_s[high - 1 + n]))
            for low, high in _runs(holds & whole)
        ]

    def _consecutive(self, kind: str, mask: NDArray[np.bool_], beats: int) -> list[tuple[Episode, int]]:
        """Runs of at least `beats` beats of a mask, each with its number of beats."""
        return [
            (Episode(kind, float(self.beats_s[low]), float(self.beats_s[high - 1])), high - low)
            for low, high in _runs(mask)
            if high - low >= beats
        ]

    def confirms(self, kind: str, onset_s: float, decided_s: float) -> bool:
        """Whether a physiological alarm with this onset and time of decision is true."""
        if kind == "anomalous_beat":
            near = np.abs(self.beats_s - onset_s) <= _MATCH_S
            flutter = (low - _RUN_SPAN_S <= onset_s and decided_s <= high + WITHIN_S for low, high in self._flutter)
            return bool((near & self.abnormal).any()) or any(flutter)
        if kind == "anomaly_burden":
            minute = (self.beats_s > decided_s - 62.0) & (self.beats_s <= decided_s)
            limit = _LIMITS.anomaly_burden.limit - _LIMITS.anomaly_burden.relief
            return bool((minute & self.abnormal).sum() >= limit)
        late_s = _IRREGULAR_S if kind == "irregular_rhythm" else WITHIN_S
        return any(
            episode.first_s - _RUN_SPAN_S <= decided_s <= episode.end_s + late_s for episode in self._causes(kind)
        )

    def _causes(self, kind: str) -> list[Episode]:
        """Episodes that make an alarm of this kind true; a fast ventricular rhythm does so for both of its kinds."""
        if kind in ("asystole", "pause"):
            return self.silences(kind, getattr(_LIMITS, kind).limit - _NEAR_S)
        fast = self.ventricular_runs(bpm=100.0 - _NEAR_BPM)
        fast += [Episode(kind, low, high) for low, high in (*self._flutter, *self.tachycardia)]
        if kind in ("ventricular_fibrillation", "ventricular_run"):
            return fast
        if kind == "irregular_rhythm":
            return [Episode(kind, low, high) for low, high in (*self.atrial_fibrillation, *self._atrial_flutter)]
        if kind == "anomaly_run":
            return [*fast, *(run for run, _ in self._consecutive(kind, self.abnormal, 3))]
        own = self.rates(kind, _NEAR_BPM)
        return [*own, *fast] if kind.endswith("tachycardia") else own


def read_truth(path: Path, fs_hz: float, length_s: float) -> Truth:
    """Truth of a record from its annotation file `atr`."""
    import wfdb

    marks = wfdb.rdann(str(path), "atr")
    notes = [note.strip("\0") for note in marks.aux_note]
    return Truth(np.asarray(marks.sample, np.float64) / fs_hz, list(marks.symbol), notes, length_s)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _bracketed(at_s: NDArray[np.float64], symbols: list[str], length_s: float) -> list[tuple[float, float]]:
    """From each `[` to its `]`, or to the end."""
    spans: list[tuple[float, float]] = []
    since: float | None = None
    for at, symbol in zip(at_s.tolist(), symbols, strict=True):
        if symbol == "[" and since is None:
            since = at
        elif symbol == "]" and since is not None:
            spans.append((since, at))
            since = None
    return spans if since is None else [*spans, (since, length_s)]


def _noted(
    at_s: NDArray[np.float64], symbols: list[str], notes: list[str], rhythm: str, length_s: float
) -> list[tuple[float, float]]:
    """From each change to a rhythm to the next change of rhythm."""
    changes = [(at, note) for at, symbol, note in zip(at_s.tolist(), symbols, notes, strict=True) if symbol == "+"]
    pairs = itertools.pairwise([*changes, (length_s, "")])
    return [(at, end) for (at, note), (end, _) in pairs if note == rhythm]
