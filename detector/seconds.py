"""What the phases work on: a block of samples of one bed, and the seconds that end in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detector.comparison import BeatComparison
from detector.events import Gap
from detector.fibrillation import Waves
from detector.mains import Line
from detector.qrs import Steepness
from detector.quality import Measurable, Measured, Quality
from detector.rpeaks import Candidates
from detector.sample_hold import Stretch
from detector.short_repr import short_repr

__all__ = ["Block", "NewBeat", "NewGap", "Second", "SignalEnd"]

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NewGap:
    """A gap, whether it is an event, and up to which sample the filter settles after it; None: it need not."""

    gap: Gap
    published: bool
    settled: int | None


@dataclass(frozen=True, slots=True)
class SignalEnd:
    """End of a signal: everything is decided; then a gap, and a new signal at `restart_at`, if there are any."""

    gap: Gap | None = None
    restart_at: int | None = None


@dataclass(slots=True, eq=False, repr=False)
class NewBeat:
    """A beat between its R-peak and the verdict on it.

    Attributes:
        peak: its R-peak, index in filtered samples.
        rr_s: the RR interval before it, s.
        tick: the samples before this index decide it.
        samples: (187,) float32, mV, once it is cut.
        compared: with the patient's template and last beats; None during the first beats.
    """

    peak: int
    rr_s: float | None
    tick: int = 0
    samples: NDArray[np.float32] = field(init=False)
    compared: BeatComparison | None = None


@dataclass(slots=True, eq=False, repr=False)
class Second:
    """The samples between two ticks, and what is measured of them before anything is decided.

    Many attributes: views of the signal, and one result of each phase.

    Attributes:
        first, end: absolute indices of its first sample, and after its last one: the tick.
        on_grid: its tick is on the grid; False where the signal ends.
        gaps: those that begin before its tick.
        raw, filtered: (n,) float64, mV, its samples.
        hum_window, wander_window: (n,) float64, mV, raw samples of the last 2 and 3 s.
        waves_window, window: (n,) float64, mV, filtered samples of the last 4 and 8 s.
        measurable: its valid samples; a verdict where they are too few.
        hum_mv: amplitude of hum that no notch takes out, raw, mV.
        lines, measured, waves, steepness: what was measured; None or not set where it cannot be.
        candidates: for the R-peaks that its tick decides; None without one.
        peaks: R-peaks that were decided at its tick, indices in filtered samples.
    """

    first: int
    end: int
    on_grid: bool
    gaps: list[NewGap]
    raw: Samples
    filtered: Samples
    hum_window: Samples
    wander_window: Samples
    waves_window: Samples
    window: Samples
    measurable: Measurable | Quality = Quality.GAP
    lines: list[Line] | None = None
    hum_mv: float = 0.0
    measured: Measured = field(init=False)
    waves: Waves = field(init=False)
    steepness: Steepness | None = None
    candidates: Candidates | None = None
    peaks: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Samples of one bed that follow each other, and the ticks among them.

    Attributes:
        filled: (n,) float64, mV, finite: the input of the filters.
        stretches: the same, by kind.
        seconds: those whose tick is here, in order.
        gaps: those that begin after the last tick.
        end: the end of the signal, if it follows.
    """

    filled: Samples
    stretches: list[Stretch]
    seconds: list[Second]
    gaps: list[NewGap]
    end: SignalEnd | None

    __repr__ = short_repr
