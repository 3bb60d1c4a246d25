"""What a source is: the only way samples come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Chunk", "EndOfStream", "Notice", "Source"]


class EndOfStream(Exception):  # noqa: N818 - an end is no error
    """The source is finite and has given its last sample."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know about the way in, e.g. lines that were no numbers.

    Attributes:
        kind: `bad_input`; `overrun` (samples dropped since nobody read them); `source_lost`, `source_back`;
            `sampling_rate` (not as told), `sampling_rate_right` (it is again); `format` (what a device was taken for).
        text: one line.
        count: how many, where it is a count.
    """

    kind: str
    text: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of signal.

    Attributes:
        first_sample: absolute index of samples[0] on the source's own clock; a jump = samples were lost.
        samples: (n,) float64, mV; NaN = no valid sample (leads off, unreadable value). n may be 0.
        arrival_s: `clock()` at which the last sample arrived, s; None in replay.
        notices: what happened on the way in.
        time_s: `clock()` at which samples[0] was taken, by the source's drift-corrected clock; None in replay.
    """

    first_sample: int
    samples: NDArray[np.float64]
    arrival_s: float | None = None
    notices: tuple[Notice, ...] = field(default=())
    time_s: float | None = None


class Source(Protocol):
    """A source of one lead of ECG.

    Attributes:
        name: as a person wrote it, e.g. `mitdb:208`.
        lead: name of the lead, e.g. `MLII`.
        fs_hz: sampling rate, Hz.
        live: True: samples come in their own time (serial); False: the pipeline paces them (files, simulator).
        rails_mv: what the ADC can give at most, (low, high) mV; None if not known.
        start_time: ISO 8601 time of sample 0 where the source knows it, else None.
        total_samples: length where known, else None.

    A source whose `read` cannot block, whatever the world does, may say so with `never_blocks = True`; all others are
    read by a thread, so that none can hold up the other beds.
    """

    name: str
    lead: str
    fs_hz: float
    live: bool
    rails_mv: tuple[float, float] | None
    start_time: str | None
    total_samples: int | None

    def read(self, max_samples: int) -> Chunk | None:
        """Give what there is, at most `max_samples`, without waiting.

        Returns:
            The next Chunk; None while a live source has nothing new.

        Raises:
            EndOfStream: there is no more.
            SourceError: the source broke and cannot recover by itself.
        """
        ...

    def close(self) -> None:
        """Let go of files, ports and threads; may be called twice."""
        ...
