"""Samples that a device sent against samples that a monitor took, one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.emulator.encoder import Encoder
from monitor.emulator.plan import Fate

Floats = NDArray[np.float64]

RING = 1 << 16  # samples kept: some minutes
REACH_S = 2.0  # samples are searched up to this far from their expected place
SURE = 8  # samples that are compared to find a place
RUN = 3  # of these, equal in a row; a single equal sample is chance in about one of a hundred
IN_STEP = 2  # a reader must be in step again within this number of packets


class Ledger:
    """Finds every sample that was sent among those that were taken, by its place and value.

    Args:
        encoder: of the device; gives the value that can be read from a sample.
        fs_hz: sampling rate, Hz.
        off_mv: value that a reader gives for a lead that is off, until it reports leads off, mV.

    Many attributes: five counters and the state of the search.

    Attributes:
        intact: samples sent intact, and settled.
        missed: those of them that were never taken.
        excused: samples never taken within IN_STEP packets after damaged bytes.
        wrong: samples taken that were not sent so: garbled packets of a format without a checksum.
        twice: samples taken twice.
        shifts: (sample of the device, jump of its place on the monitor's clock, samples).
    """

    def __init__(self, encoder: Encoder, fs_hz: float, off_mv: float) -> None:
        self.intact = self.missed = self.excused = self.wrong = self.twice = 0
        self.shifts: list[tuple[int, int]] = []
        self._encoder, self._off_mv = encoder, off_mv
        self._reach = round(REACH_S * fs_hz)
        self._value = np.full(RING, np.inf)
        self._fate = np.full(RING, Fate.STOPPED, dtype=np.uint8)
        self._seen = np.zeros(RING, dtype=bool)
        self._settled = self._end = 0  # samples of the device: checked, sent
        self._offset = 0  # the monitor's index of a sample - the device's
        self._next = 0  # index of the monitor that follows without a gap
        self._unplaced: list[tuple[int, Floats]] = []

    def sent(self, first: int, mv: Floats, fates: NDArray[np.uint8]) -> None:
        """The device sent these samples."""
        end = first + mv.size
        self._settle(max(self._settled, end - RING + IN_STEP))
        at = np.arange(first, end) % RING
        self._value[at] = self._encoder.readable(mv)
        self._fate[at], self._seen[at] = fates, False
        self._end = end

    def taken(self, first: int, samples: Floats) -> None:
        """The monitor took these samples."""
        follow = self._follow(first, samples)
        if first != self._next and follow < min(RUN, samples.size):
            follow = 0  # after a gap one equal sample may be chance
        self._next = first + samples.size
        if follow:
            for part in self._unplaced:
                self._tick(self._range(*part), part[1])  # the samples before them were garbled
            self._unplaced.clear()
            self._tick(self._range(first, samples[:follow]), samples[:follow])
        if follow < samples.size:
            self._unplaced.append((first + follow, samples[follow:]))
            if sum(part.size for _, part in self._unplaced) >= SURE:
                self._search()

    def finish(self) -> None:
        """The run is over: settle all samples."""
        for part in self._unplaced:
            self._tick(self._range(*part), part[1])
        self._unplaced.clear()
        self._settle(self._end)

    def _range(self, first: int, samples: Floats) -> NDArray[np.int64]:
        """Samples of the device that these should be."""
        return np.arange(first, first + samples.size) - self._offset

    def _follow(self, first: int, samples: Floats) -> int:
        """Number of samples at their expected place, up to a place where most are not."""
        same = self._same(self._range(first, samples), samples)
        for at in np.flatnonzero(~same).tolist():
            if same[at : at + SURE].mean() < 0.5:
                return int(at)
        return samples.size

    def _search(self) -> None:
        """Find the place of the first samples that are not where expected; the others follow them."""
        parts, self._unplaced = self._unplaced, []
        places = np.concatenate([self._range(*part) for part in parts]) + self._offset
        values = np.concatenate([part for _, part in parts])
        taken = SURE
        for reach in (SURE, self._reach):  # lost packets; or the device was away
            shifts = np.arange(-reach, reach + 1)
            same = self._same(places[:SURE] - self._offset - shifts[:, None], values[:SURE])
            # Matching runs of RUN samples: [shift, begin].
            runs = np.array(np.lib.stride_tricks.sliding_window_view(same, RUN, axis=1).all(axis=2))
            if runs.any():
                begins = np.where(runs.any(axis=1), runs.argmax(axis=1), SURE)
                best = int(np.lexsort((np.abs(shifts), -same.sum(axis=1), begins))[0])
                if shifts[best]:
                    self.shifts.append((int(places[0] - self._offset - shifts[best]), int(shifts[best])))
                    self._offset += int(shifts[best])
                taken = int(begins[best]) + RUN
                break
        self._tick(places[:taken] - self._offset, values[:taken])
        for run in np.split(np.arange(taken, places.size), np.flatnonzero(np.diff(places[taken:]) > 1) + 1):
            if run.size:
                self.taken(int(places[run[0]]), values[run])

    def _same(self, at: NDArray[np.int64], values: Floats) -> NDArray[np.bool_]:
        """Whether the device's samples `at` read as `values`."""
        known = (at >= max(0, self._end - RING)) & (at < self._end)
        expected = self._value[at % RING]
        off = np.isnan(expected) & (np.isnan(values) | (np.abs(values - self._off_mv) < 1e-6))
        same: NDArray[np.bool_] = known & (off | (np.abs(values - expected) < 1e-6))
        return same

    def _tick(self, at: NDArray[np.int64], values: Floats) -> None:
        """Mark the device's samples `at` as seen where they are equal."""
        for place, same in zip((at % RING).tolist(), self._same(at, values).tolist(), strict=True):
            if not same or self._fate[place] == Fate.GARBLED:  # damaged, perhaps outside of the ECG
                self.wrong += 1
            elif self._fate[place] == Fate.INTACT and not self._seen[place]:
                self._seen[place] = True
            else:  # lost, or seen before: perhaps its equal neighbour
                near = [(place + step) % RING for step in (1, -1)]
                free = [i for i in near if self._fate[i] == Fate.INTACT and not self._seen[i]]
                equal = [i for i in free if self._value[i] == self._value[place]]
                if equal:
                    self._seen[equal[0]] = True
                elif self._seen[place]:
                    self.twice += 1
                else:
                    self.wrong += 1

    def _settle(self, end: int) -> None:
        """Count the samples before `end`."""
        if end <= self._settled:
            return
        at = np.arange(self._settled, end)
        intact = self._fate[at % RING] == Fate.INTACT
        unseen = intact & ~self._seen[at % RING]
        excuse = np.zeros(at.size, dtype=bool)
        for back in range(1, IN_STEP + 1):
            before = self._fate[(at - back) % RING]
            excuse |= (before != Fate.INTACT) & (before != Fate.DROPPED)
        self.intact += int(intact.sum())
        self.excused += int((unseen & excuse).sum())
        self.missed += int((unseen & ~excuse).sum())
        self._settled = end
