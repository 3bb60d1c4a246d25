"""What the journal gives back."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Action", "Ended", "Run", "Session", "Since", "Strip"]

# `running`: or its end is not known yet; `unknown`: written by a version that did not say.
Ended = Literal["running", "in order", "error", "died", "unknown"]


class Since(NamedTuple):
    """What `since` found.

    Attributes:
        bodies: JSON bodies as published, oldest first.
        complete: False where something asked for is no longer, or never was, in the journal.
        more: the answer was cut short; ask again from `epoch`, `seq`.
        epoch, seq: the position reached: of the last body, or the newest there is where `more` is False.
    """

    bodies: tuple[bytes, ...]
    complete: bool
    more: bool
    epoch: str
    seq: int


class Strip(NamedTuple):
    """A stretch of signal.

    Attributes:
        first_sample: index of the first column, source samples.
        fs_hz: sampling rate, Hz.
        samples: (channels, n) float32, mV; NaN = no valid sample.
    """

    first_sample: int
    fs_hz: float
    samples: NDArray[np.float32]


class Action(NamedTuple):
    """What an operator did.

    Attributes:
        who, what: e.g. `nurse 3`, `acknowledge`.
        bed, alarm_id: what it was done to; empty = all, none.
        sample: the bed's sample clock then.
        detail: anything else, e.g. `60 s`.
        wall_s: when, Unix time, s; filled in by the journal.
        epoch: of the run; filled in by the journal.
    """

    who: str
    what: str
    bed: str = ""
    alarm_id: str = ""
    sample: int = 0
    detail: str = ""
    wall_s: float = 0.0
    epoch: str = ""


class Session(NamedTuple):
    """What one run watched on one bed.

    Attributes:
        bed, source, lead: names, e.g. `p1`, `mitdb:208`, `MLII`.
        fs_hz: sampling rate, Hz.
        model, sha256: of the model that scored.
        epoch: of the run; filled in by the journal.
    """

    bed: str
    source: str
    lead: str
    fs_hz: float
    model: str
    sha256: str
    epoch: str = ""


class Run(NamedTuple):
    """One run of the monitor.

    Attributes:
        epoch: its id.
        version: of the program; empty where it is not known.
        started_s: Unix time, s.
        ended: how it ended.
        ended_s: Unix time, s; of a run that died, when it last wrote; None while it runs.
    """

    epoch: str
    version: str
    started_s: float
    ended: Ended
    ended_s: float | None
