"""The source protocol: the only way that samples enter the monitor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Chunk", "EndOfStream", "Notice", "Source"]


class EndOfStream(Exception):  # noqa: N818 - an end is no error
    """The source is finite and its last sample has been read."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An event of the input, for the user; e.g. lines without a number.

    Attributes:
        kind: `bad_input`; `overrun` (samples dropped because they were not read in time); `source_lost`, `source_back`;
            `sampling_rate` (not as configured), `sampling_rate_right` (as configured again); `format` (the recognised
            format of a device); `battery` (charge of a device); `lead` (another lead of two is used).
        text: one line.
        count: number of cases, where they are counted.
    """

    kind: str
    text: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of signal.

    Attributes:
        first_sample: absolute index of samples[0] on the source's own clock; a jump means lost samples.
        samples: (n,) float64, mV; NaN = no valid sample (leads off, unreadable value). n may be 0. Values beyond
            1000 mV are not blanked: they show that the unit is another one.
        arrival_s: `clock()` at which the last sample arrived, s; None in replay.
        notices: events since the chunk before.
        time_s: `clock()` at which samples[0] was taken, by the source's drift-corrected clock, s; None in replay.
        second: (n,) float64, mV, the samples of the second lead at the same times; None where one lead is read, or
            where a live source has no sample.
    """

    first_sample: int
    samples: NDArray[np.float64]
    arrival_s: float | None = None
    notices: tuple[Notice, ...] = field(default=())
    time_s: float | None = None
    second: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        """One line; the samples by their number."""
        rest = f"arrival_s={self.arrival_s}, notices={self.notices}, time_s={self.time_s}"
        leads = "" if self.second is None else " of two leads"
        return f"Chunk(first_sample={self.first_sample}, samples={self.samples.size} samples{leads}, {rest})"

    def part(self, low: int, high: int | None = None) -> Chunk:
        """The samples from position `low` up to `high`, of each lead."""
        second = None if self.second is None else self.second[low:high]
        return replace(self, first_sample=self.first_sample + low, samples=self.samples[low:high], second=second)


class Source(Protocol):
    """A source of one ECG lead, or of two.

    Attributes:
        name: as the user wrote it, e.g. `mitdb:208`.
        lead: name of the lead, e.g. `MLII`.
        fs_hz: sampling rate, Hz.
        live: True: samples arrive in real time (serial); False: the pipeline sets the pace (files, simulator).
        rails_mv: range of the ADC, (low, high) mV; None if unknown.
        start_time: ISO 8601 time of sample 0; None if unknown.
        total_samples: length in samples; None if unknown.

    `unit`, where a source has it, names the unit of its numbers (`mV`, `uV`, `V`, `adc`), and `mv_per_unit` is the mV
    in one number of `--unit adc`; without them its numbers are mV.

    A source of two leads names them in `leads`, and gives the ADC range of the second one in `second_rails_mv`; its
    `lead` is both, e.g. `MLII,V1`.

    A source whose `read` never blocks sets `never_blocks = True`. All others are read by a thread, so that one of them
    cannot delay the other beds.
    """

    name: str
    lead: str
    fs_hz: float
    live: bool
    rails_mv: tuple[float, float] | None = None
    start_time: str | None = None
    total_samples: int | None = None

    def read(self, max_samples: int) -> Chunk | None:
        """Return the available samples, at most `max_samples`, without waiting.

        Returns:
            The next Chunk; None while a live source has nothing new.

        Raises:
            EndOfStream: there is no further sample.
            SourceError: the source broke and cannot recover by itself.
        """
        ...

    def close(self) -> None:
        """Release files, ports and threads; may be called twice."""
        ...
