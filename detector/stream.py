"""The streaming detector: pieces of raw ECG in, beats and other events out."""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detector.bandpass import Bandpass, Filtering
from detector.beats import AFTER_R_S, BEFORE_R_S, Beat, BeatStretch, beat_stretch, cut_beat
from detector.blocks import Blocks, joined
from detector.decisions import Decisions
from detector.events import Event, Gap
from detector.input_watch import InputWatch
from detector.mains import Mains, MainsFilter, Watched
from detector.pacer import PacerFilter
from detector.phases import process
from detector.rows import ROWS
from detector.sample_hold import BRIDGE_S, SampleHold, Stretch
from detector.seconds import Block, NewBeat, NewGap, Second, SignalEnd

__all__ = ["BRIDGE_S", "Detector"]

_STEP_MV = 2.5  # between the sides of a hole; from here on the filter's answer is as large as a QRS
_SETTLING_S = 1.0  # three time constants of the 0.5 Hz edge

Samples = NDArray[np.float64]


class Detector:
    """Find the beats of one lead as its samples arrive.

    >>> import numpy as np
    >>> fs_hz = 250
    >>> one_beat = np.exp(-0.5 * ((np.arange(fs_hz) - 100) / 4.0) ** 2)  # a 1-mV bump 40 ms wide, 60 a minute
    >>> noise = np.random.default_rng(0).normal(0, 0.01, 20 * fs_hz)
    >>> detector = Detector(fs_hz=fs_hz)
    >>> beats = [beat for piece in np.split(np.tile(one_beat, 20) + noise, 100) for beat in detector.push(piece)]
    >>> len(beats), beats[3].samples.shape, round(beats[3].rr_s, 2)
    (19, (187,), 1.0)

    Output does not depend on how samples are cut: filter and windows use the absolute grid. Memory is bounded.

    Every gap is published and counted. Missing and invalid samples (NaN) are treated alike, by the length of their run.
    From 1.5 s on the signal restarts. Over less the filter continues on a straight line to the next valid sample, for
    which invalid ones wait. Up to 12.5 ms (at least one sample) that line counts as signal: the filtered signal has
    nothing above 40 Hz and cannot turn within half a period of it. Up to 60 ms it hides no QRS: R-peaks and RR
    intervals continue, but no beat that it touches is scored. A longer hole has no R-peak, and no RR interval over it.

    Many attributes: the parts of the chain, and where the signal is.

    Args:
        fs_hz: sampling rate, Hz, 100 to 1000.
        rails_mv: lowest and highest value the ADC can give, mV, where known: then clipping is seen for certain.
        mains: notch against mains hum: `off`, `50`, `60` Hz, or `auto`, which finds hum that disturbs.

    Attributes:
        samples_in, samples_lost: samples taken, and samples missing in gaps, so far.
        pacer: the pacing pulses of the last 60 s.
        blocks, decisions: the samples that wait, and everything behind the filter, for `detector.phases`.

    Raises:
        ValueError: sampling rate out of range, or too low for the notch asked for.
    """

    def __init__(self, fs_hz: float, rails_mv: tuple[float, float] | None = None, mains: Mains = "auto") -> None:
        self.fs_hz = fs_hz = float(fs_hz)
        self.rails_mv = rails_mv
        self.samples_in = self.samples_lost = 0
        self._bandpass = Bandpass(fs_hz)
        self.pacer = PacerFilter(fs_hz)
        self._input = InputWatch(fs_hz, self.pacer)
        self._hold = SampleHold(fs_hz)
        self._mains = MainsFilter(fs_hz, mains)
        before = math.ceil(BEFORE_R_S * fs_hz) + 2
        after = math.ceil(AFTER_R_S * fs_hz) + 2  # two further samples for the cubic interpolation
        self.blocks = Blocks(fs_hz, self._mains.watched, before + after)
        self.decisions = Decisions(
            fs_hz, rails_mv, self.pacer, self._input, before=before, after=after, keep=self.blocks.keep
        )
        self._given: list[Samples] = []  # samples of the last call, without pacing pulses
        self._shown: list[Samples] = []  # the valid ones of them, filtered
        self._began = False
        self._coming = 0  # absolute index of the next sample; ahead of `_end` if an empty piece announced a gap
        self._end = 0  # absolute index after the samples that wait

    def push(self, samples: ArrayLike, first_sample: int | None = None) -> list[Beat]:
        """Take the next samples, return the beats that became complete.

        Args:
            samples: (n,) mV, NaN = no valid sample (leads off); n may be 0.
            first_sample: absolute index of samples[0]; None = follows on. A jump forward is a gap.

        Returns:
            Beats in order of time. A beat comes at the first full second 1 to 2 s after its R-peak.

        Raises:
            ValueError: not one-dimensional, or `first_sample` lies in the past.
        """
        return [event for event in self.advance(samples, first_sample) if isinstance(event, Beat)]

    def advance(self, samples: ArrayLike, first_sample: int | None = None) -> list[Event]:
        """As `push`, but return all events: gaps, quality, beats and ticks, in order."""
        self.put(samples, first_sample)
        return process(self)

    def flush(self) -> list[Event]:
        """End of the signal: return the remaining events."""
        self._given, self._shown = [], []
        self._enter(self.pacer.flush())
        self._take(self._hold.release())
        self.blocks.put(SignalEnd())
        if self._coming > self._end:  # an announced gap without samples after it
            self._finish(self._coming - self._end)
        return process(self)

    @property
    def mains_hz(self) -> float | None:
        """Frequency of the active mains notch, Hz; None = off."""
        return self._mains.hz

    @property
    def last_filtered(self) -> Samples:
        """The samples of the last call, (n,) float64, mV, band-passed, for display; NaN for invalid ones.

        One waits while it may be part of a pacing pulse (`detector.pacer`), at most 0.25 s.
        """
        given, shown = (np.concatenate([*parts, np.empty(0)]) for parts in (self._given, self._shown))
        if shown.size < given.size:  # some are invalid
            valid, shown = shown, np.full(given.size, np.nan)
            shown[np.isfinite(given)] = valid
        return shown

    def filtered(self, first_sample: int, end_sample: int) -> Samples:
        """Filtered signal of a recent stretch for display, mV; NaN where it is not (or no longer) held."""
        return self.blocks.filtered(first_sample, end_sample)

    # -- samples in -----------------------------------------------------------------------------------------

    def put(self, samples: ArrayLike, first_sample: int | None) -> None:
        """Take the next samples, see `push`; `detector.phases` works them off."""
        self._given, self._shown = [], []
        raw = np.array(samples, dtype=np.float64)
        if raw.ndim != 1:
            raise ValueError(f"samples has shape {raw.shape}: give one lead, shape (n,)")
        # operator.index: numpy's integers would overflow, and end up in messages
        first_sample = self._coming if first_sample is None else operator.index(first_sample)
        if self._began and first_sample < self._coming:
            raise ValueError(f"first_sample={first_sample} lies in the past: sample {self._coming} comes next")
        self._coming = first_sample
        if raw.size == 0:
            return
        raw = self._input.put(first_sample, raw)
        if not self._began:
            self._began = True
            self._end = first_sample
            self._restart_at(first_sample)
            self.pacer.reset(first_sample)
        elif (missing := first_sample - self._end - self._hold.waiting - self.pacer.waiting) > 0:
            self._enter(self.pacer.flush())
            if missing < self._hold.restart:
                self._take(self._hold.skip(missing))
            else:
                self._take(self._hold.release())
                self._finish(missing)
                self._hold.reset()
            self.pacer.skip(first_sample)
        self.samples_in += raw.size
        self._coming = first_sample + raw.size
        self._enter(self.pacer.push(raw))

    def _enter(self, samples: Samples) -> None:
        """Take samples without pacing pulses."""
        if samples.size:
            self._given.append(samples)
            self._take(self._hold.push(samples))

    def _take(self, stretches: list[Stretch]) -> None:
        """Take samples without holes."""
        for stretch in stretches:
            n, effect = stretch.raw.size, stretch.effect
            if stretch.anew:
                self._finish(0)
            if effect is not None:
                gap = Gap(self._end, n, effect, invalid=not stretch.missing)
                step = effect == "hole" and abs(stretch.filled[-1] - stretch.filled[0]) > _STEP_MV
                settled = self._end + n + round(_SETTLING_S * self.fs_hz) if step else None
                self.blocks.put(NewGap(gap, stretch.missing or effect == "hole", settled))
                self.samples_lost += n if stretch.missing else 0
            self.blocks.put(stretch)
            self._end += n

    def _finish(self, missing: int) -> None:
        """The signal ends; another one begins after `missing` samples."""
        gap = Gap(self._end, missing) if missing else None
        self._end += missing
        self.samples_lost += missing
        self.blocks.put(SignalEnd(gap, self._end))

    # -- blocks out -----------------------------------------------------------------------------------------

    def next_block(self) -> Block:
        """The samples that wait, up to 16 ticks or the end of the signal.

        During the first beats up to one tick: what is measured of the next second depends on what was decided.
        """
        block = self.blocks.take(ROWS if self.decisions.rpeaks.memory.enough else 1)
        self.decisions.note(block)
        return block

    def hum_work(self, second: Second) -> tuple[Hashable, Watched] | None:
        """The last 2 s, for `measure_lines`; None where they are not whole, or the signal ends."""
        watched = self._mains.work(second.hum_window) if second.on_grid else None
        return None if watched is None else (self.fs_hz, watched)

    def filter_work(self, block: Block) -> tuple[Hashable, Filtering] | None:
        """The block without hum, for the band-pass; None if it is empty. The notch may be switched at each tick."""
        if not block.filled.size:
            return None
        at, low, parts = 0, self.blocks.now - block.filled.size, list[Samples]()
        for second in block.seconds:
            if second.on_grid:
                parts.append(self._mains.push(block.filled[at : second.end - low]))
                at = second.end - low
                self._mains.look(second.hum_window, second.lines)
            second.hum_mv = self._mains.hum_mv if self._mains.hz is None else 0.0
        parts.append(self._mains.push(block.filled[at:]))
        return (self.fs_hz, block.filled.size), self._bandpass.work(joined(parts))

    def take_filtered(self, block: Block, filtered: Samples, state: Samples) -> None:
        """The answer of the band-pass."""
        self.blocks.tail.filtered[-filtered.size :] = self._bandpass.taken(filtered, state)
        at = 0
        for stretch in block.stretches:
            if stretch.effect is None:
                self._shown.append(filtered[at : at + stretch.raw.size])
            at += stretch.raw.size

    def cut_work(self, beat: NewBeat) -> tuple[Hashable, BeatStretch] | None:
        """The signal of a beat, for `cut_beats`; a beat that is not held as a whole is cut here."""
        filtered = self.blocks.tail.filtered
        at = beat.peak - self.blocks.now + filtered.size
        stretch = beat_stretch(filtered, at, self.fs_hz)
        if stretch is None:
            beat.samples = cut_beat(filtered, at, self.fs_hz)
        return None if stretch is None else (self.fs_hz, stretch)

    def close_block(self, block: Block) -> None:
        """Everything in the block is decided."""
        self.decisions.close(block)
        self.blocks.tail.forget()
        if block.end is not None and block.end.restart_at is not None:
            self._restart_at(block.end.restart_at)

    def _restart_at(self, sample: int) -> None:
        """A new signal begins at this absolute index."""
        self.blocks.restart_at(sample)
        self._bandpass.reset()
        self._mains.reset()
        self.decisions.restart_at(sample)
