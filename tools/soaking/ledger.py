"""What a device sent against what a monitor took, sample by sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.emulator.encoder import Encoder
from monitor.emulator.plan import Fate

Floats = NDArray[np.float64]

RING = 1 << 16  # samples that are remembered: some minutes
REACH_S = 2.0  # so far from where they belong samples are looked for
SURE = 8  # samples that are looked at to find their place
RUN = 3  # of these, so many in a row must be equal: by chance, one in some hundred is
IN_STEP = 2  # packets within which a reader must be in step again


class Ledger:
    """Finds every sample that was sent among those that were taken, by its place and value.

    Args:
        encoder: of the device; tells what can be read out of a sample.
        fs_hz: sampling rate, Hz.
        off_mv: what a reader sees of a lead that is off, before it believes it.

    Attributes:
        intact: samples sent intact, and no more remembered.
        missed: of these, samples that were never taken.
        excused: samples never taken either, but within IN_STEP packets after something that was no packet.
        wrong: samples taken that were never sent so: garbled packets of a format without a checksum.
        twice: samples taken twice.
        shifts: (sample of the device, by how many samples its place on the monitor's clock jumped) of each time.
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
        """The device took these samples."""
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
            follow = 0  # behind a gap one equal sample may be chance
        self._next = first + samples.size
        if follow:
            for part in self._unplaced:
                self._tick(self._range(*part), part[1])  # what stood before them was garbled
            self._unplaced.clear()
            self._tick(self._range(first, samples[:follow]), samples[:follow])
        if follow < samples.size:
            self._unplaced.append((first + follow, samples[follow:]))
            if sum(part.size for _, part in self._unplaced) >= SURE:
                self._search()

    def finish(self) -> None:
        """Nothing more will come."""
        for part in self._unplaced:
            self._tick(self._range(*part), part[1])
        self._unplaced.clear()
        self._settle(self._end)

    def _range(self, first: int, samples: Floats) -> NDArray[np.int64]:
        """Which of the device's samples these should be."""
        return np.arange(first, first + samples.size) - self._offset

    def _follow(self, first: int, samples: Floats) -> int:
        """How many samples are where they are expected, up to where most are not."""
        same = self._same(self._range(first, samples), samples)
        for at in np.flatnonzero(~same).tolist():
            if same[at : at + SURE].mean() < 0.5:
                return int(at)
        return samples.size

    def _search(self) -> None:
        """Find where the first of the samples belong that lie elsewhere than expected; the others follow them."""
        parts, self._unplaced = self._unplaced, []
        places = np.concatenate([self._range(*part) for part in parts]) + self._offset
        values = np.concatenate([part for _, part in parts])
        taken = SURE
        for reach in (SURE, self._reach):  # a packet or two were lost; or the device was away
            shifts = np.arange(-reach, reach + 1)
            same = self._same(places[:SURE] - self._offset - shifts[:, None], values[:SURE])
            # Runs of RUN that match: [shift, where it begins].
            runs = np.lib.stride_tricks.sliding_window_view(same, RUN, axis=1).all(axis=2)
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
        """Whether the device's samples `at` are read as `values`."""
        known = (at >= max(0, self._end - RING)) & (at < self._end)
        expected = self._value[at % RING]
        off = np.isnan(expected) & (np.isnan(values) | (np.abs(values - self._off_mv) < 1e-6))
        return known & (off | (np.abs(values - expected) < 1e-6))

    def _tick(self, at: NDArray[np.int64], values: Floats) -> None:
        """These are the device's samples `at`, or none."""
        for place, same in zip((at % RING).tolist(), self._same(at, values).tolist(), strict=True):
            if not same or self._fate[place] == Fate.GARBLED:  # perhaps elsewhere than in the ECG
                self.wrong += 1
            elif self._fate[place] == Fate.INTACT and not self._seen[place]:
                self._seen[place] = True
            else:  # a lost one, or one that came before: of two equal neighbours the other is meant
                near = [(place + step) % RING for step in (1, -1)]
                free = [i for i in near if self._fate[i] == Fate.INTACT and not self._seen[i]]
                meant = [i for i in free if self._value[i] == self._value[place]]
                if meant:
                    self._seen[meant[0]] = True
                elif self._seen[place]:
                    self.twice += 1
                else:
                    self.wrong += 1

    def _settle(self, end: int) -> None:
        """Judge the samples before `end`."""
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
