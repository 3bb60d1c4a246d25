"""Samples without holes in, blocks of seconds out: what the phases work on, cut on the absolute grid."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from detector.fibrillation import WINDOW_S as WAVES_S
from detector.quality import BASELINE_S
from detector.rpeaks import STEP_S, WINDOW_S
from detector.sample_hold import Stretch
from detector.seconds import Block, NewGap, Second, SignalEnd
from detector.tail import SignalTail

__all__ = ["Blocks", "joined"]

Samples = NDArray[np.float64]


class Blocks:
    """The samples of one bed that wait, and the newest ones that were taken.

    Args:
        fs_hz: sampling rate, Hz.
        hum: samples in which mains hum is looked for.
        beat: samples of a beat.

    Attributes:
        keep: samples that are held when a block is closed: a window and a beat.
        tail: the samples taken last; its filtered ones are written by the detector.
        now: absolute index after the last sample taken.
    """

    def __init__(self, fs_hz: float, hum: int, beat: int) -> None:
        self._step, self._window = round(STEP_S * fs_hz), round(WINDOW_S * fs_hz)
        self._waves, self._wander, self._hum = round(WAVES_S * fs_hz), round(BASELINE_S * fs_hz), hum
        self.keep = self._window + beat
        self.tail = SignalTail(self.keep)
        self._waiting: deque[Stretch | NewGap | SignalEnd] = deque()
        self.restart_at(0)

    def restart_at(self, sample: int) -> None:
        """A new signal begins at this absolute index; what waits is kept."""
        self.now = self._start = sample
        self._judged = sample  # the last tick
        self.tail.clear()

    def put(self, item: Stretch | NewGap | SignalEnd) -> None:
        """Add what comes next."""
        self._waiting.append(item)

    @property
    def has_next(self) -> bool:
        """Whether there is a next block."""
        return bool(self._waiting)

    def take(self, most: int) -> Block:
        """The next block: up to `most` ticks, or to the end of the signal. Its samples are not filtered yet."""
        stretches: list[Stretch] = []
        ticks: list[tuple[int, list[NewGap]]] = []
        gaps: list[NewGap] = []
        end: SignalEnd | None = None
        tick = (self.now // self._step + 1) * self._step
        while self._waiting and end is None and len(ticks) < most:
            item = self._waiting.popleft()
            if isinstance(item, SignalEnd):
                end = item
            elif isinstance(item, NewGap):
                gaps.append(item)
            else:
                room = tick + (most - len(ticks) - 1) * self._step - self.now
                if item.raw.size > room:
                    self._waiting.appendleft(Stretch(item.raw[room:], item.filled[room:], item.effect))
                    item = Stretch(item.raw[:room], item.filled[:room], item.effect)
                stretches.append(item)
                self.now += item.raw.size
                while tick <= self.now:
                    ticks.append((tick, gaps))
                    gaps, tick = [], tick + self._step
        if end is not None and self.now > (ticks[-1][0] if ticks else self._judged):
            ticks.append((self.now, gaps))
            gaps = []
        self.tail.append(joined([stretch.raw for stretch in stretches]))
        seconds = [self._second(*found) for found in ticks]
        return Block(joined([stretch.filled for stretch in stretches]), stretches, seconds, gaps, end)

    def _second(self, tick: int, gaps: list[NewGap]) -> Second:
        """The samples up to a tick, since the one before."""
        first, self._judged = self._judged, tick
        raw, filtered, held = self.tail.raw, self.tail.filtered, self.now - self.tail.raw.size

        def last(samples: Samples, n: int) -> Samples:
            return samples[max(self._start, tick - n) - held : tick - held]

        return Second(
            first=first,
            end=tick,
            on_grid=tick % self._step == 0,
            gaps=gaps,
            raw=raw[first - held : tick - held],
            filtered=filtered[first - held : tick - held],
            hum_window=last(raw, self._hum),
            wander_window=last(raw, self._wander),
            waves_window=last(filtered, self._waves),
            window=last(filtered, self._window),
        )

    def filtered(self, first_sample: int, end_sample: int) -> Samples:
        """Filtered signal of a recent stretch, (n,) float64, mV; NaN where it is not (or no longer) held."""
        out = np.full(max(0, end_sample - first_sample), np.nan)
        held = self.now - self.tail.filtered.size
        low, high = max(first_sample, held), min(end_sample, self.now)
        if low < high:
            out[low - first_sample : high - first_sample] = self.tail.filtered[low - held : high - held]
        return out


def joined(parts: list[Samples]) -> Samples:
    """The parts one after the other, (n,) float64; a single part is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0)])
