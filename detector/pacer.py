"""Pacing pulses: found on the raw samples, taken out before any filter, and reported.

A pacemaker's pulse on the skin has 2 to 700 mV and lasts 0.1 to 2 ms; a tail of opposite sign may follow, 2.5 to 25 %
of the pulse and at most 2 mV, with a time constant of 4 to 100 ms (ANSI/AAMI EC13:2002, 4.1.4; IEC 60601-2-27,
201.12.1.101.13). At 100 to 1000 Hz a pulse is one to a few samples, and lower than it was. Behind the band-pass it
looks like a QRS, so it must be found before, by its slopes, as in Haq et al. 2021 (DOI 10.1101/2021.01.21.21250278):

- *spike*: the signal jumps and comes back within 12 ms, and both edges are steeper than all that is beside them. The
  flank of a QRS is as steep as its neighbours; a moved electrode does not come back;
- *tail alone*: a short pulse at a low sampling rate leaves less than its tail: a jump out of a flat line, which then
  decays.

A spike is replaced by a straight line, its tail is subtracted. Samples wait only while an edge in the last 30 ms (with
a tail: 0.2 s) is undecided; an ECG without such edges passes at once. No sample is lost or moved, and the result does
not depend on how the samples are cut. Deviation from the source: one lead, and neighbours instead of a threshold.

The constants were chosen on synthetic pulses over synthetic ECGs of 125 to 1000 Hz, and on DS1, which has no pulses;
`_FULL_MV` after record 104 was seen, whose recorder made waves of its pulses.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.known_pulses import KnownPulses

__all__ = ["LOOK_AHEAD_S", "PacerFilter", "find_pulses"]

Samples = NDArray[np.float64]

LOOK_AHEAD_S: Final = 0.06  # after an edge; tells a pulse from a QRS at any sampling rate; a tail needs 0.2 s more
_WIDEST_S = 0.012  # three samples at 250 Hz: 2 ms, widened by an anti-aliasing filter
_BESIDE_S = 0.016  # compared on either side
_PULSE_S = 0.002  # a tail alone is preceded by no more than this, and the samples at either end of it
_JUMP_MV = 0.12  # smallest edge: a lower pulse is under 0.05 mV behind the band-pass
# Edges over the steepest slope beside them; a spike wider than 12 ms, with part of a sample at either end: the second.
_STEEPER = 4.0, 8.0  # the R wave of an infant (QRS 40 ms) reaches 2 and 6
_COARSE_HZ, _COARSE_STEEPER = 200.0, (7.0, 15.0)  # for one and two samples at 125 Hz, where it reaches 4.8 and 12
_ALONE_STEEPER, _ALONE_MV = 6.0, 0.3  # jump to a tail alone; not below 200 Hz
_SURE_MV, _SURE_STEEPER = 15.0, 2.0  # no QRS is so high
_FULL_MV = 1.5  # over more than two samples a pulse of 2 mV shows nearly its height
_BACK = 0.45  # distance from where it came, in heights of the pulse: a tail of 25 %, and the slope of a QRS
_EDGE = 0.15  # of the largest jump: another that is part of the pulse
_LATER = 2.0  # times the slope before: a jump that is the slope of a QRS before the pulse
_REST = 1.5  # last part of an edge, over the steepest slope after it
_TAIL_MV, _TAIL_MOST_MV = 0.04, 2.5
_TAIL_S = 0.2  # signal in which a tail is measured, ...
_BLOCK_S = 0.004  # ... in means of this length
_TAUS_S = np.geomspace(0.003, 0.16, 23)
_TAIL_END = 0.002  # a tail ends at this share of its height
# Explained variation of the 0.2 s, in heights of the tail. Jump and return make 2, a step makes 1.
_EXPLAINED, _EXPLAINED_UNSURE, _EXPLAINED_ALONE = 0.8, 1.2, 1.4
_UNSURE = 3.0  # a tail is unsure if lower than this times the change that the slope before gives
_MEMORY_S = 60.0
_BEFORE_R_S, _AFTER_R_S = 0.15, 0.04  # an R-peak is paced up to 0.15 s after a pulse, or 0.04 s before it if fused


class _Pulse(NamedTuple):
    """A pulse: the index after it, the height of the tail from there on (mV, 0 = none), and the tail's table row."""

    end: int
    tail_mv: float = 0.0
    row: int = 0


_WAITS = _Pulse(-1)  # not known yet


class PacerFilter:
    """Take the pacing pulses out of one lead, piece by piece.

    Many attributes: lengths in samples, the tables of tails, and the state of the signal.

    Args:
        fs_hz: sampling rate, Hz.

    Attributes:
        waiting: number of samples held back.
        pulses: absolute indices of the first sample of each pulse, rising; `found` forgets those older than 60 s.
    """

    def __init__(self, fs_hz: float) -> None:
        self._widest = math.ceil(_WIDEST_S * fs_hz) + 1
        self._beside = max(2, round(_BESIDE_S * fs_hz))
        self._before = np.arange(-1 - self._beside, -1)  # jumps before that to a sample
        self._ahead = np.arange(-1, self._widest)
        self._rise = math.ceil(_PULSE_S * fs_hz) + 2
        self._tail = round(_TAIL_S * fs_hz)
        self._memory = round(_MEMORY_S * fs_hz)
        self._coarse = fs_hz < _COARSE_HZ
        self._steeper = _COARSE_STEEPER[0] if self._coarse else _STEEPER[0]
        whole = round(_WIDEST_S * fs_hz)  # a wider spike must be steeper
        self._steeper_of = [_STEEPER[width > whole] for width in range(self._widest + 1)]
        if self._coarse:
            self._steeper_of = [*_COARSE_STEEPER[:1], *_COARSE_STEEPER, *(math.inf for _ in range(self._widest))]
        n = np.arange(round(-math.log(_TAIL_END) * _TAUS_S[-1] * fs_hz))
        self._tails: Samples = np.exp(-n / (_TAUS_S[:, None] * fs_hz))  # (time constants, samples)
        q = self._block = max(1, round(_BLOCK_S * fs_hz))
        blocks = self._tails[:, : self._tail // q * q].reshape(len(_TAUS_S), -1, q).mean(axis=2)
        self._changes = np.diff(blocks, axis=1, prepend=0.0)  # of a tail of height 1: the jump to it, then its return
        self._known = KnownPulses(fs_hz)
        self._spike: tuple[float, bool, int] | None = None  # of the place judged: area, whether sure, index after it
        self._paces = round(_BEFORE_R_S * fs_hz), round(_AFTER_R_S * fs_hz)
        self.pulses: list[int] = []
        self._given = 0  # number of them that `found` has returned
        self.reset(0)

    def reset(self, sample: int) -> None:
        """Start a new signal at this absolute index."""
        self._now = sample  # absolute index after the last sample taken
        self._held: Samples = np.empty(0)  # the last samples given out, then those that wait; tails subtracted
        self._active: list[tuple[int, float, int]] = []  # tails: first sample, height in mV, row
        self.waiting = 0

    def push(self, raw: Samples) -> Samples:
        """Take the next samples, (n,) mV, NaN = invalid; returns the samples that are decided, in order."""
        first = self._now
        self._now += raw.size
        if self._active:
            raw = raw.copy()
            for tail in self._active:
                self._subtract(tail, raw, first)
            self._active = [tail for tail in self._active if tail[0] + self._tails.shape[1] > self._now]
        return self._decide(np.concatenate((self._held, raw)), self._held.size - self.waiting, ended=False)

    def flush(self) -> Samples:
        """The signal ends here or samples are missing: decide and return the samples that wait."""
        return self._decide(self._held, self._held.size - self.waiting, ended=True) if self.waiting else np.empty(0)

    def skip(self, until: int) -> None:
        """After `flush`: the samples up to this absolute index are missing."""
        self._now = until
        self._held = np.empty(0)

    def found(self, until: int) -> tuple[int, ...]:
        """Pulses before this absolute index that were not returned before; `until` rises from call to call."""
        if not self.pulses:
            return ()
        upto = bisect_left(self.pulses, until)
        new = tuple(self.pulses[self._given : upto])
        old = bisect_left(self.pulses, until - self._memory, hi=upto)
        del self.pulses[:old]
        self._given = upto - old
        return new

    def between(self, first_sample: int, end_sample: int) -> tuple[int, ...]:
        """Pulses in a stretch of the last 60 s."""
        return tuple(self.pulses[bisect_left(self.pulses, first_sample) : bisect_left(self.pulses, end_sample)])

    def paces(self, r_sample: int) -> bool:
        """Whether a pulse of the last 60 s is near enough to this R-peak to have caused it."""
        before, after = self._paces
        at = bisect_left(self.pulses, r_sample - before)
        return at < len(self.pulses) and self.pulses[at] <= r_sample + after

    def _decide(self, samples: Samples, undecided: int, ended: bool) -> Samples:
        """Decide `samples` from index `undecided` on; keep what the next call needs."""
        upto = samples.size
        places, waits = self._edges(samples, undecided, ended)
        if places or waits is not None:
            samples, first = samples.copy(), self._now - samples.size
            while places:
                at = places.pop(0)
                pulse = self._pulse(samples, at, ended)
                if pulse is _WAITS:
                    waits = at
                    break
                if self._spike is not None:
                    area, sure, end = self._spike
                    self._known.note(first + at, area, sure)
                    places = [place for place in places if place > end]
                if pulse is not None:
                    self._remove(pulse, samples, at, first)
                    places, waits = self._edges(samples, pulse.end + 1, ended)
            upto = samples.size if waits is None else waits
        self.waiting = samples.size - upto
        self._held = samples[max(0, upto - self._beside - 2) :].copy()
        return samples[undecided:upto]

    def _edges(self, samples: Samples, since: int, ended: bool) -> tuple[list[int], int | None]:
        """Edges from `since` on that are steeper than the slopes before them.

        Returns:
            (Indices of the samples that they lead to; index of the first sample that waits for more to be seen.)
        """
        low = max(0, since - 1)
        sizes = np.abs(samples[1:] - samples[:-1])
        places = (sizes[low:] > _JUMP_MV).nonzero()[0] + (low + 1)
        if not places.size:  # the usual case
            return [], None
        sizes[np.isnan(sizes)] = 0.0
        waits = None
        if ended:
            sizes = np.append(sizes, np.zeros(self._widest))
        elif places[-1] + self._widest + self._beside >= samples.size:
            ready = int((places + self._widest + self._beside < samples.size).sum())
            places, waits = places[:ready], int(places[ready])
        slope = sizes[np.maximum(places[:, None] + self._before, 0)].max(axis=1, initial=_JUMP_MV / self._steeper)
        steepest = sizes[places[:, None] + self._ahead].max(axis=1, initial=0.0)
        sure = steepest > _SURE_MV / 2
        if self._coarse:
            sure |= places + self._now - samples.size <= self._known.until
        return places[(steepest > self._steeper * slope) | (sure & (steepest > _SURE_STEEPER * slope))].tolist(), waits

    def _pulse(self, samples: Samples, at: int, ended: bool) -> _Pulse | None:
        """The pulse that begins at `at`, if any; `_WAITS` if its tail needs more samples."""
        self._spike = None
        low = max(0, at - 1 - self._beside)
        values = samples[low : at + self._widest + self._beside + 1]
        changes = np.diff(values)
        changes[np.isnan(changes)] = 0.0
        before, jumps = [abs(jump) for jump in changes[: at - 1 - low].tolist()], changes[at - 1 - low :].tolist()
        slope = max(_JUMP_MV / self._steeper, *before, 0.0)
        if abs(jumps[0]) < min(_LATER * slope, _EDGE * max(map(abs, jumps[: self._widest]))):
            return None  # if there is one, it begins later
        heights: list[float] = (values[at - low :] - samples[at - 1]).tolist()  # above the sample before
        width = self._width(heights, jumps, slope)
        sure = width is not None
        if not sure and self._coarse and self._now - samples.size + at <= self._known.until:
            width = self._width(heights, jumps, slope, True)
        if width is not None:
            end, height, area = at + width, heights[width], sum(heights[:width])
            self._spike = area, sure, end
            if not sure and area not in self._known:
                return None
            if abs(height) < _TAIL_MV or height * max(heights[:width], key=abs) > 0:
                return _Pulse(end)
            needed = _EXPLAINED if abs(height) > _UNSURE * slope * (width + 1) else _EXPLAINED_UNSURE
            if samples.size < end + self._tail and not ended:
                return _WAITS
            return _Pulse(end, *self._known.tail(area, height, self._fit(samples, at, end, needed)))
        # A tail alone: the signal has not come back. The last edge leads to it.
        rise = jumps[: self._rise]
        largest = max(rise, key=abs)
        limit = max(abs(largest) / self._steeper, slope)
        if self._coarse or abs(largest) < _ALONE_STEEPER * slope:
            return None
        last = max(i for i, jump in enumerate(rise) if abs(jump) > max(_EDGE * abs(largest), slope))
        after = jumps[last + 1 : last + 1 + self._beside]
        end, height = at + last, heights[last]
        if abs(height) < _ALONE_MV or any(jump * height > limit * abs(height) for jump in after):
            return None
        if samples.size < end + self._tail and not ended:
            return _WAITS
        both = min(max(rise[: last + 1]), -min(rise[: last + 1])) > limit
        tail_mv, row = self._fit(samples, at, end, _EXPLAINED if both else _EXPLAINED_ALONE)
        if not tail_mv or (row == len(self._tails) - 1 and not both):
            return None
        rest = np.array(after) - tail_mv * np.diff(self._tails[row, : len(after) + 1])
        return _Pulse(end, tail_mv, row) if np.abs(rest).max(initial=0.0) < limit else None

    def _width(self, heights: list[float], jumps: list[float], slope: float, as_steep: bool = False) -> int | None:
        """Width in samples of the spike that begins with the first of `heights`; None if there is none.

        Args:
            heights: samples over the one before the spike, mV.
            jumps: jump to each of them, mV.
            slope: steepest jump before them, mV.
            as_steep: a spike as steep as an R wave, or wider, is one, too.
        """
        if not min(jumps[: self._widest + 1]) < 0.0 < max(jumps[: self._widest + 1]):
            return None
        low = high = top = 0.0
        for width in range(1, min(self._widest + 1, len(heights))):
            top = max(top, heights[width - 1], key=abs)
            low, high = min(low, *jumps[: width + 1]), max(high, *jumps[: width + 1])
            if not abs(heights[width]) <= _BACK * abs(top) + slope * (width + 1):
                continue
            sure = as_steep or abs(top) > _SURE_MV
            if width > 2 and abs(top) < _FULL_MV and not sure:
                continue
            steeper = _SURE_STEEPER if sure else self._steeper_of[width]
            if min(high, -low) <= steeper * max(slope, self._steepest(jumps, width + 1)):
                continue
            # the rest of the edge
            while width < self._widest and width + 1 < len(jumps) and jumps[width + 1] * top < 0:
                if abs(jumps[width + 1]) < _REST * max(slope, self._steepest(jumps, width + 2)):
                    break
                width += 1
            return width
        return None

    def _steepest(self, jumps: list[float], since: int) -> float:
        return max(map(abs, jumps[since : since + self._beside]), default=0.0)

    def _fit(self, samples: Samples, at: int, end: int, needed: float) -> tuple[float, int]:
        """Height, mV, and row of the table of the tail from `end` on; 0.0 where none explains enough.

        For each time constant the height that leaves the least variation, the sum of absolute differences, to which a
        QRS in the 0.2 s adds the same for any tail: a weighted median. Then the time constant that leaves the least.
        """
        q = self._block
        after = samples[end : end + self._tail]
        after = after[: after.size // q * q].reshape(-1, q).mean(axis=1)
        invalid = np.isnan(after).nonzero()[0]
        changes = np.diff(after[: invalid[0]] if invalid.size else after, prepend=samples[max(0, at - q) : at].mean())
        if changes.size < 2:
            return 0.0, 0
        unit = self._changes[:, : changes.size]
        heights = changes / unit
        order = heights.argsort(axis=1)
        weight = np.abs(np.take_along_axis(unit, order, 1)).cumsum(axis=1)
        middle = (weight >= weight[:, -1:] / 2).argmax(axis=1)
        rows = np.arange(len(unit))
        height = heights[rows, order[rows, middle]]
        left = np.abs(changes - height[:, None] * unit).sum(axis=1)
        row = int(left.argmin())
        found, jump = float(height[row]), float(heights[row, 0])
        explained = float(np.abs(changes).sum() - left[row])
        if found * jump <= 0 or abs(found) > _TAIL_MOST_MV or explained < needed * max(abs(found), abs(jump)):
            return 0.0, 0
        return found, row

    def _remove(self, pulse: _Pulse, samples: Samples, at: int, first: int) -> None:
        """Take a pulse out of `samples`, which begin at the absolute index `first`, in place."""
        self.pulses.append(first + at)
        end = pulse.end
        if pulse.tail_mv:
            self._active.append((first + end, pulse.tail_mv, pulse.row))
            self._subtract(self._active[-1], samples, first)
        samples[at:end] = np.linspace(samples[at - 1], samples[end], end - at + 2)[1:-1]

    def _subtract(self, tail: tuple[int, float, int], samples: Samples, first: int) -> None:
        """Subtract a tail from samples that begin at the absolute index `first`, in place."""
        begins, height, row = tail
        low = max(0, begins - first)
        table = self._tails[row, low + first - begins :][: samples.size - low]
        samples[low : low + table.size] -= height * table


def find_pulses(raw: NDArray[np.floating], fs_hz: float, first_sample: int = 0) -> list[int]:
    """Pacing pulses of a stored stretch: the first sample of each.

    Args:
        raw: (n,) mV, NaN = invalid.
        fs_hz: sampling rate, Hz.
        first_sample: absolute index of raw[0].
    """
    pacer = PacerFilter(fs_hz)
    pacer.reset(first_sample)
    pacer.push(raw.astype(np.float64))
    pacer.flush()
    return pacer.pulses
