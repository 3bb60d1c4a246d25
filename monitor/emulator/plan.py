"""Fate of each sample of an emulated device: a function of its index, the faults and the seed. Pure.

A strap's plan counts notifications instead of samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.emulator.faults import Fault, Faults

__all__ = ["Fate", "Plan", "Span"]

BLOCK: Final = 4096  # samples; random numbers are drawn on this absolute grid, so they do not depend on the time steps
_DROP, _GARBLE, _LATE, _TWICE = 1, 2, 3, 4  # streams of random numbers
_ROUNDING: Final = 1e-6  # samples: a fault at 60 s begins with sample 15000 despite rounding of 60.0 * 250


class Fate(IntEnum):
    """Fate of one sample."""

    INTACT = 0
    DROPPED = 1
    GARBLED = 2
    UNPLUGGED = 3
    STALLED = 4
    BOOTING = 5
    NOISE = 6
    STOPPED = 7  # the device waits for START
    LATE = 8  # of a strap: comes after the next one
    TWICE = 9  # of a strap: comes twice


_LOST: Final = {"unplug": Fate.UNPLUGGED, "stall": Fate.STALLED, "banner": Fate.BOOTING, "noise": Fate.NOISE}


@dataclass(frozen=True, slots=True)
class Span:
    """A lasting fault in samples: `first_sample` <= sample < `end_sample`."""

    fault: Fault
    first_sample: int
    end_sample: int


class Plan:
    """Time and fate of each sample.

    Attributes:
        spans: the lasting faults in samples, in order.
    """

    def __init__(self, faults: Faults, fs_hz: float, seed: int = 0) -> None:
        self._faults, self._seed = faults, seed
        self._drawn: tuple[int, NDArray[np.uint8]] | None = None  # the last block
        fs_hz *= 1.0 + faults.drift
        # Pieces of constant rate: (from s, samples due by then, Hz from then on).
        self._pieces: list[tuple[float, float, float]] = [(0.0, 0.0, fs_hz)]
        for rate in faults.rates:
            start_s, due, hz = self._pieces[-1]
            piece = (rate.start_s, due + (rate.start_s - start_s) * hz, fs_hz * rate.factor)
            self._pieces[-1 if rate.start_s == start_s else len(self._pieces) :] = [piece]
        self.spans = tuple(Span(f, self.due(f.start_s), self.due(f.end_s)) for f in faults.lasting)

    @property
    def fastest_hz(self) -> float:
        """Highest rate of the device, Hz."""
        return max(hz for _, _, hz in self._pieces)

    @property
    def longest_hiccup_s(self) -> float:
        """Longest time that bytes are held back, s."""
        return max((f.duration_s for f in self._faults.lasting if f.kind == "hiccup"), default=0.0)

    def due(self, until_s: float) -> int:
        """Return the number of samples taken before `until_s`."""
        start_s, due, hz = next(piece for piece in reversed(self._pieces) if piece[0] <= max(0.0, until_s))
        return max(0, math.ceil(due + (until_s - start_s) * hz - _ROUNDING))

    def time_s(self, sample: int) -> float:
        """Return the time at which a sample is taken, s."""
        start_s, due, hz = next(piece for piece in reversed(self._pieces) if piece[1] <= max(0, sample))
        return start_s + (sample - due) / hz

    def fates(self, first: int, end: int) -> NDArray[np.uint8]:
        """Return the fate of each sample from `first` to before `end`, (n,) uint8."""
        blocks = range(first // BLOCK, -(-end // BLOCK))
        drawn = [self._random_fates(block) for block in blocks]
        origin = blocks.start * BLOCK
        fates = np.concatenate([np.empty(0, np.uint8), *drawn])[first - origin : end - origin]
        for span in self.spans:
            if span.fault.kind in _LOST and span.first_sample < end and span.end_sample > first:
                fates[max(0, span.first_sample - first) : span.end_sample - first] = _LOST[span.fault.kind]
        return fates

    def _random_fates(self, block: int) -> NDArray[np.uint8]:
        if self._drawn is not None and self._drawn[0] == block:  # most steps stay within one block
            return self._drawn[1]
        fates = np.full(BLOCK, Fate.INTACT, dtype=np.uint8)
        for share, stream, fate in (
            (self._faults.twice, _TWICE, Fate.TWICE),
            (self._faults.late, _LATE, Fate.LATE),
            (self._faults.garble, _GARBLE, Fate.GARBLED),
            (self._faults.drop, _DROP, Fate.DROPPED),
        ):
            if share:
                fates[np.random.default_rng([self._seed, stream, block]).random(BLOCK) < share] = fate
        self._drawn = (block, fates)
        return fates
