"""What a device sent against what a monitor took, sample by sample; imported by soak.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.emulator.encoder import Encoder
from monitor.emulator.plan import Fate

Floats = NDArray[np.float64]

RING = 1 << 16  # samples that are remembered: some minutes
REACH_S = 2.0  # so far from where they belong samples are looked for
SURE = 8  # samples in a row that find their place: equal by chance one in some hundred is
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
        if samples.size == 0:
            return
        if self._matches(first, samples, self._offset).mean() >= 0.5:
            for part in (*self._unplaced, (first, samples)):
                self._tick(*part)
            self._unplaced.clear()
            return
        self._unplaced.append((first, samples))
        places = np.concatenate([np.arange(at, at + part.size) for at, part in self._unplaced])
        values = np.concatenate([part for _, part in self._unplaced])
        if values.size >= SURE:
            self._search(places, values)

    def finish(self) -> None:
        """Nothing more will come."""
        for part in self._unplaced:
            self._tick(*part)
        self._unplaced.clear()
        self._settle(self._end)

    def _search(self, places: NDArray[np.int64], values: Floats) -> None:
        """Give samples that lie elsewhere than expected their place."""
        tried = sorted(range(-self._reach, self._reach + 1), key=abs)
        shares = [self._same(places - self._offset - shift, values).mean() for shift in tried]
        best = int(np.argmax(shares))
        if shares[best] < 0.5 and values.size < 20 * SURE:
            return
        if shares[best] >= 0.5:
            self.shifts.append((int(places[0]) - self._offset - tried[best], tried[best]))
            self._offset += tried[best]
        for part in self._unplaced:
            self._tick(*part)
        self._unplaced.clear()

    def _matches(self, first: int, samples: Floats, offset: int) -> NDArray[np.bool_]:
        return self._same(np.arange(first, first + samples.size) - offset, samples)

    def _same(self, at: NDArray[np.int64], values: Floats) -> NDArray[np.bool_]:
        """Whether the device's samples `at` are read as `values`."""
        known = (at >= max(0, self._end - RING)) & (at < self._end)
        expected = self._value[at % RING]
        off = np.isnan(expected) & (np.isnan(values) | (np.abs(values - self._off_mv) < 1e-6))
        return known & (off | (np.abs(values - expected) < 1e-6))

    def _tick(self, first: int, samples: Floats) -> None:
        at = np.arange(first, first + samples.size) - self._offset
        same = self._same(at, samples) & (self._fate[at % RING] == Fate.INTACT)
        self.wrong += int((~same).sum())
        places = at[same] % RING
        self.twice += int(self._seen[places].sum())
        self._seen[places] = True

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
