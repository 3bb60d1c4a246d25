"""Rows of the journal, as the reader returns them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MessagePage", "MonitorRun", "OperatorAction", "RunEnd", "Session", "Strip"]

# `running`: no end was written yet; `unknown`: written by version 1, which recorded no end.
RunEnd = Literal["running", "in order", "error", "died", "unknown"]


class MessagePage(NamedTuple):
    """One answer of `JournalReader.since`.

    Attributes:
        bodies: JSON bodies as published, oldest first.
        complete: False where a requested message was deleted, or never written.
        more: the answer was cut short; continue from `epoch`, `seq`.
        epoch, seq: position of the last body, or the newest position where `more` is False.
    """

    bodies: tuple[bytes, ...]
    complete: bool
    more: bool
    epoch: str
    seq: int


class Strip(NamedTuple):
    """The signal around an alarm.

    Attributes:
        first_sample: index of the first column, source samples.
        fs_hz: sampling rate, Hz.
        samples: (channels, n) float32, mV; NaN = no valid sample.
    """

    first_sample: int
    fs_hz: float
    samples: NDArray[np.float32]


class OperatorAction(NamedTuple):
    """An action of an operator.

    Attributes:
        who, what: e.g. `nurse 3`, `acknowledge`.
        bed, alarm_id: target of the action; empty = all beds, no alarm.
        sample: sample clock of the bed at that time.
        detail: further text, e.g. `60 s`.
        wall_s: Unix time, s; set by the journal.
        epoch: of the run; set by the journal.
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
    """One bed of one run.

    Attributes:
        bed, source, lead: names, e.g. `p1`, `mitdb:208`, `MLII`.
        fs_hz: sampling rate, Hz.
        model, sha256: name and hash of the model that scored.
        epoch: of the run; set by the journal.
    """

    bed: str
    source: str
    lead: str
    fs_hz: float
    model: str
    sha256: str
    epoch: str = ""


class MonitorRun(NamedTuple):
    """One run of the monitor.

    Attributes:
        epoch: id of the run.
        version: of the program; empty where unknown.
        started_s: Unix time, s.
        ended: how the run ended.
        ended_s: Unix time, s; time of the last message for a run that died; None while it runs.
    """

    epoch: str
    version: str
    started_s: float
    ended: RunEnd
    ended_s: float | None
