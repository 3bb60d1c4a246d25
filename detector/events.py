"""What a detector tells, besides beats: gaps, verdicts on quality, and how far it has looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detector.beats import Beat
from detector.quality import Quality

__all__ = ["Event", "Gap", "GapEffect", "QualitySpan", "RhythmSpan", "Tick"]

GapEffect = Literal["bridged", "hole", "restart"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that never came: `n_samples` of them, from `first_sample` on.

    Attributes:
        effect: `bridged`: so few that a straight line stands in for them, and beats go on; `hole`: no R-peak, RR
            interval or score comes of what touches it; `restart`: the signal starts anew behind it.
    """

    first_sample: int
    n_samples: int
    effect: GapEffect = "restart"


@dataclass(frozen=True, slots=True)
class QualitySpan:
    """Verdict on the samples from `first_sample` up to `end_sample` (not included)."""

    first_sample: int
    end_sample: int
    quality: Quality


@dataclass(frozen=True, slots=True)
class RhythmSpan:
    """Verdict on the waveform from `first_sample` up to `end_sample`: a window of seconds that moves on with each tick.

    Attributes:
        fibrillatory: whether all of the window looks like ventricular fibrillation, and can be judged at all.
        measure: the number it was decided by (`detector.fibrillation`), fibrillation from -0.1 on; NaN where less
            than 4 s of signal are there.
    """

    first_sample: int
    end_sample: int
    fibrillatory: bool
    measure: float


@dataclass(frozen=True, slots=True)
class Tick:
    """All that can be known up to `sample` has been given.

    Attributes:
        sample: samples before this index have been looked at.
        decided_until: R-peaks before this index are final.
        r_samples: R-peaks decided by this tick (their beats follow when they are complete).
    """

    sample: int
    decided_until: int
    r_samples: tuple[int, ...]


Event = Gap | QualitySpan | RhythmSpan | Beat | Tick
