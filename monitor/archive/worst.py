"""The worst strips of a record: 10 s around the beats with the highest scores, at least 30 s apart. Pure.

Streaming, with bounded memory: each cell of 30 s has one candidate, the beat with the highest score. The highest
candidates keep their 10 s of signal. At the end the highest ones are chosen that lie 30 s or more apart.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.pacer import find_pulses
from monitor.engine.signal_history import SignalHistory
from monitor.engine.strips import STRIP_S
from monitor.messages import BeatMessage

__all__ = ["APART_S", "HISTORY_S", "BeatStrip", "WorstBeats"]

APART_S: Final = 30.0
HISTORY_S: Final = 180.0  # a strip is cut up to 130 s after its beat: its cell, and beats that wait to be scored
_CELLS_HIDDEN: Final = 3  # a chosen strip excludes at most its own cell and both neighbours
_AROUND_BEATS: Final = 1024  # newest beats; those within a strip are marked on it
_DECIDED_S: Final = 3.0  # a beat is detected 1 to 2 s after its R-peak


@dataclass(frozen=True, slots=True, eq=False)
class BeatStrip:
    """A beat and the 10 s around it.

    Attributes:
        beat: with a high score.
        first_sample: of the strip, samples of the record.
        samples: (n,) float32 mV, filtered; NaN = no valid sample.
        beats: all beats within the strip.
        pulses: pacing pulses within the strip, samples of the record.
    """

    beat: BeatMessage
    first_sample: int
    samples: NDArray[np.float32]
    beats: tuple[BeatMessage, ...]
    pulses: tuple[int, ...] = ()


class WorstBeats:
    """Choose the worst beats of a record from its beats in order.

    The caller puts every sample into `history`, see HISTORY_S.

    Args:
        fs_hz: sampling rate, Hz.
        most: number of strips at most; 0 = none.
    """

    def __init__(self, fs_hz: float, most: int) -> None:
        self.history = SignalHistory(round(HISTORY_S * fs_hz))
        self._fs_hz = fs_hz
        self._most = most
        self._cell = round(APART_S * fs_hz)
        self._n = round(STRIP_S * fs_hz)
        self._best: dict[int, BeatMessage] = {}  # of each open cell
        self._around: deque[BeatMessage] = deque(maxlen=_AROUND_BEATS)
        self._kept: list[BeatStrip] = []  # highest score first

    def put(self, beat: BeatMessage) -> None:
        """Take the next beat; an unscored one is only drawn."""
        self._around.append(beat)
        if beat.score is None or not self._most:
            return
        cell = beat.r_sample // self._cell
        best = self._best.get(cell)
        if best is None or best.score is None or beat.score > best.score:
            self._best[cell] = beat

    def close_cells(self, *, ended: bool = False) -> None:
        """Close the cells that can have no further beat; call it after new samples."""
        ready = self.history.end - round((STRIP_S / 2 + _DECIDED_S) * self._fs_hz)
        for cell in [cell for cell in self._best if ended or (cell + 1) * self._cell <= ready]:
            self._keep(self._best.pop(cell))

    def worst(self) -> list[BeatStrip]:
        """The strips, highest score first, their beats at least APART_S apart."""
        chosen: list[BeatStrip] = []
        for strip in self._kept:
            if all(abs(strip.beat.r_sample - other.beat.r_sample) >= self._cell for other in chosen):
                chosen.append(strip)
        return chosen[: self._most]

    def _keep(self, beat: BeatMessage) -> None:
        place = bisect.bisect_left(self._kept, _order(beat), key=lambda strip: _order(strip.beat))
        most = _CELLS_HIDDEN * self._most
        if place >= most:
            return
        first = beat.r_sample - self._n // 2
        raw, filtered = self.history.get(first, self._n)
        beats = tuple(b for b in self._around if first <= b.r_sample < first + self._n)
        # The filter held the last value at an invalid sample; the drawing leaves it open.
        samples = np.where(np.isfinite(raw), filtered, np.float32(np.nan))
        self._kept.insert(place, BeatStrip(beat, first, samples, beats, tuple(find_pulses(raw, self._fs_hz, first))))
        del self._kept[most:]


def _order(beat: BeatMessage) -> tuple[float, int]:
    """Sort key: highest score first, then the earliest."""
    return -(beat.score or 0.0), beat.r_sample
