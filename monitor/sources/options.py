"""Options of a source, and the rules for rate, unit and range that hold for all sources."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError

__all__ = [
    "FS_MAX_HZ",
    "FS_MIN_HZ",
    "FS_READ_MAX_HZ",
    "MAX_MV",
    "SourceOptions",
    "blank_beyond",
    "check_fs",
    "parse_number",
    "sample_span",
]

FS_MIN_HZ = 100.0  # below this a QRS complex of 80 ms has too few samples to find its peak
FS_MAX_HZ = 1000.0  # of the detector; a faster source is decimated
FS_READ_MAX_HZ = 100_000.0  # no ECG device samples faster: a mistake
# A larger number is garbled; smaller ones beyond 1000 mV come from another unit (24-bit counts of an ADC, nV), which
# the detector recognises. It takes no such sample for a measurement.
MAX_MV = 1e8


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Options of a source; each source uses those that concern it.

    Many attributes: one for each option of the command line that concerns any source.

    Attributes:
        fs_hz: sampling rate, Hz, where the source cannot know it (csv, -, serial) or may choose it (sim).
        channel: lead by name or number (records); None = MLII where it exists, else the first.
        second: second lead, by name or number, of a live source, at the same times; None = one lead. `open_source`
            sets it where `channel` or `column` names two.
        start_s: first moment to read, s from the source's sample 0; the first chunk then starts at that sample.
        duration_s: length to read, s; None = to the end.
        port: serial port, e.g. `/dev/ttyUSB0`.
        format: format of a serial device, one of `serial.formats.FORMATS`, or `auto`.
        baud: serial speed, bit/s; None = the usual speed of the format.
        adc_bits, vref, gain: resolution (bits), reference (V) and amplification before the ADC of a serial device that
            sends counts.
        rate_tolerance: share by which a live device's rate may differ from `fs_hz` before a notice.
        report: called with one line when opening takes several seconds.
        seed: seed of the simulator, unless its scenario names one.
        clock: monotonic time, s; for arrival times and the length of a loss.
        column: column of csv, - and serial by name or number; None = the only one, or the first that is no time.
        unit: unit of the source's numbers, one of `units.UNITS` or `adc`; it overrides what the source says.
            None = as the source says, else mV.
        mv_per_unit: mV in one count, for unit `adc`.
        note: called with each thing that was recognised while opening, as (name, text): `format`, `channels`, `rate`;
            also before a refusal. `ecg-monitor inspect` prints them.
        held_s: longest piece that a replay holds in memory, s of signal; None = the fastest size.
    """

    fs_hz: float | None = None
    channel: str | int | None = None
    second: str | int | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    port: str | None = None
    format: str = "auto"
    baud: int | None = None
    adc_bits: int | None = None
    vref: float | None = None
    gain: float | None = None
    rate_tolerance: float = 0.02
    report: Callable[[str], None] = lambda _: None
    seed: int = 1
    clock: Callable[[], float] = time.monotonic
    column: int | str | None = None
    unit: str | None = None
    mv_per_unit: float | None = None
    held_s: float | None = None
    note: Callable[[str, str], None] = lambda _name, _text: None

    @property
    def column_or_channel(self) -> str | int | None:
        """The wanted column of rows or packets: `column`, else `channel`."""
        return self.channel if self.column is None else self.column

    @property
    def wanted(self) -> tuple[str | int | None, ...]:
        """The wanted columns of rows or packets: one, or two of two leads."""
        first = self.column_or_channel
        return (first,) if self.second is None else (first, self.second)


def check_fs(fs_hz: float, source: str) -> float:
    """Return `fs_hz` if a source may have that rate; `open_source` decimates one above FS_MAX_HZ.

    Raises:
        SourceError: not between FS_MIN_HZ and FS_READ_MAX_HZ.
    """
    if not (math.isfinite(fs_hz) and FS_MIN_HZ <= fs_hz <= FS_READ_MAX_HZ):
        why = "; a QRS complex has too few samples below that" if 0 < fs_hz < FS_MIN_HZ else ""
        raise SourceError(
            f"{source}: sampling rate {fs_hz:g} Hz; between {FS_MIN_HZ:g} and {FS_READ_MAX_HZ:g} Hz is supported{why}"
        )
    return float(fs_hz)


def parse_number(text: str) -> float:
    """Parse a number of a device or file; stricter than `float` (no 1_000, no digits of other scripts).

    Raises:
        ValueError: no number, or not a finite one.
    """
    if "_" in text or not text.isascii():
        raise ValueError(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def blank_beyond(mv: NDArray[np.float64]) -> int:
    """Set samples that are infinite or beyond MAX_MV to NaN, in place; return their number."""
    beyond = np.abs(mv) > MAX_MV  # False for NaN
    mv[beyond] = np.nan
    return int(beyond.sum())


def sample_span(options: SourceOptions, fs_hz: float, total: int | None, source: str) -> tuple[int, int | None]:
    """Return the first sample to read and the sample to stop before (None = never).

    Args:
        options: `start_s` and `duration_s`.
        fs_hz: sampling rate, Hz.
        total: length of the source, samples; None = endless or unknown.

    Raises:
        SourceError: negative or not finite, no duration, or a start at or after the end.
    """
    start_s, duration_s = options.start_s, options.duration_s
    if not math.isfinite(start_s) or start_s < 0:
        raise SourceError(f"{source}: start {start_s:g} s; give 0 or more")
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise SourceError(f"{source}: duration {duration_s:g} s; give more than 0")
    first = round(start_s * fs_hz)
    if total is not None and first >= total:
        raise SourceError(f"{source}: start {start_s:g} s is behind its end at {total / fs_hz:g} s")
    stop = None if duration_s is None else first + max(1, round(duration_s * fs_hz))
    if total is not None:
        stop = total if stop is None else min(stop, total)
    return first, stop
