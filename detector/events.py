"""Events of a detector besides beats: gaps, quality verdicts, rhythm verdicts and ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detector.beats import Beat
from detector.quality import Quality
from detector.scale import Scale

__all__ = ["Event", "Gap", "GapEffect", "LeadChange", "QualitySpan", "RhythmSpan", "Tick"]

GapEffect = Literal["bridged", "unscored", "hole", "restart"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples without a value: `n_samples` of them, from `first_sample` on.

    What the gap does depends on the whole run of missing and invalid samples that it is part of.

    Attributes:
        effect: up to 12.5 ms, `bridged`: a straight line that counts as signal; up to 60 ms, `unscored`: R-peaks and
            RR intervals continue over the line, but no beat that it touches is scored; under 1.5 s, `hole`: no R-peak
            within it, no RR interval or score across it; `restart`: the signal restarts after it.
        invalid: the samples came, but without a valid value: they are not lost. Published for holes only, because
            quality covers the rest.
    """

    first_sample: int
    n_samples: int
    effect: GapEffect = "restart"
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class QualitySpan:
    """Quality of the samples from `first_sample` up to `end_sample` (exclusive).

    Attributes:
        scale: the likely unit, once seconds that are not in mV agree on it.
    """

    first_sample: int
    end_sample: int
    quality: Quality
    scale: Scale | None = None


@dataclass(frozen=True, slots=True)
class RhythmSpan:
    """Rhythm of the waveform from `first_sample` up to `end_sample`: a window of 4 s that moves with each tick.

    Attributes:
        fibrillatory: the whole window can be judged, has the waves of fibrillating or fluttering ventricles or of a
            fast tachycardia, and no heart beats under them (`detector.regularity`).
        measure: the deciding number (`detector.fibrillation`), fibrillation from -0.1 on; NaN for less than 4 s.
        cycle_s: in a fibrillatory window, time after which its newest waves repeat themselves, s, under 0.6; None if
            they do not, as in fibrillation.
    """

    first_sample: int
    end_sample: int
    fibrillatory: bool
    measure: float
    cycle_s: float | None = None

    @property
    def chaotic(self) -> bool:
        """Fibrillatory, and no wave like the one before: nothing to learn from."""
        return self.fibrillatory and self.cycle_s is None


@dataclass(frozen=True, slots=True)
class Tick:
    """All events up to `sample` have been returned.

    Attributes:
        sample: samples before this index have been processed.
        decided_until: R-peaks before this index are final.
        r_samples: R-peaks decided by this tick (their beats follow when they are complete).
        pacer_samples: pacing pulses before `sample` that no earlier tick has given; the first sample of each.
    """

    sample: int
    decided_until: int
    r_samples: tuple[int, ...]
    pacer_samples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LeadChange:
    """From `sample` on another lead of two is used (`detector.leads`).

    Attributes:
        lead: the one that is used now, 0 or 1.
        quality: of the lead that is left. Good: either the first lead is as good again, or the beats of the other lead
            are not seen in it.
    """

    sample: int
    lead: int
    quality: Quality


Event = Gap | QualitySpan | RhythmSpan | Beat | Tick | LeadChange
