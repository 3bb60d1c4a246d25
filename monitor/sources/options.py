"""What a person may say about a source, and what every source holds true of its rate and unit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from monitor.errors import SourceError

__all__ = [
    "FS_MAX_HZ",
    "FS_MIN_HZ",
    "MAX_MV",
    "UNITS",
    "SourceOptions",
    "check_fs",
    "mv_per",
    "parse_number",
    "sample_span",
]

FS_MIN_HZ = 100.0  # below this a QRS complex of 80 ms has too few samples to find its peak
FS_MAX_HZ = 1000.0
MAX_MV = (
    1000.0  # no ECG beyond: electrodes polarise to 300 mV at most; a number out there is an overflow or a wrong unit
)
UNITS: dict[str, float] = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "V": 1e3}  # mV in one of it


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Options of a source; each source uses those that concern it.

    Attributes:
        fs_hz: sampling rate, Hz, where the source cannot know it (csv, -, serial) or may choose it (sim).
        channel: lead by name or number (records); None = MLII where there is one, else the first.
        start_s: where to begin, s from the source's sample 0; the first chunk then starts at that sample.
        duration_s: how much to give, s; None = to the end.
        port: serial port, e.g. `/dev/ttyUSB0`.
        format: how a serial device speaks, one of `serial_formats.FORMATS`, or `auto`.
        baud: serial speed, bits a second; None = what the format usually has.
        adc_bits, vref, gain: resolution (bits), reference (V) and amplification before the ADC of a serial device that
            sends counts.
        rate_tolerance: share by which a live device's rate may differ from `fs_hz` before it is told.
        tell: told one line where opening takes a while.
        seed: seed of the simulator, unless its scenario names one.
        clock: monotonic time, s; for arrival times and the length of a loss.
        column: column of csv, - and serial by name or number; None = the only one, or the first that is no time.
        unit: unit of the numbers of csv, edf, - and serial: one of UNITS, or `adc`; None = what the file says, else mV.
        mv_per_unit: mV in one count, for unit `adc`.
        held_s: most that a replay holds in memory at a time, s of signal; None = as much as is quickest.
    """

    fs_hz: float | None = None
    channel: str | int | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    port: str | None = None
    format: str = "auto"
    baud: int | None = None
    adc_bits: int | None = None
    vref: float | None = None
    gain: float | None = None
    rate_tolerance: float = 0.02
    tell: Callable[[str], None] = lambda _: None
    seed: int = 1
    clock: Callable[[], float] = time.monotonic
    column: int | str | None = None
    unit: str | None = None
    mv_per_unit: float | None = None
    held_s: float | None = None


def check_fs(fs_hz: float, source: str) -> float:
    """`fs_hz` where it is a rate we can work with.

    Raises:
        SourceError: not between FS_MIN_HZ and FS_MAX_HZ.
    """
    if not (math.isfinite(fs_hz) and FS_MIN_HZ <= fs_hz <= FS_MAX_HZ):
        raise SourceError(
            f"{source}: sampling rate {fs_hz:g} Hz; between {FS_MIN_HZ:g} and {FS_MAX_HZ:g} Hz is supported"
        )
    return float(fs_hz)


def parse_number(text: str) -> float:
    """The number a device or file wrote; `float` without its liberties (1_000, other scripts' digits).

    Raises:
        ValueError: no number, or not a finite one.
    """
    if "_" in text or not text.isascii():
        raise ValueError(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def mv_per(unit: str, mv_per_unit: float | None, source: str) -> float:
    """Scale of the numbers a source reads: mV in one of their unit.

    Raises:
        SourceError: unknown unit, or `adc` without a usable scale.
    """
    if unit == "adc":
        if mv_per_unit is None or not math.isfinite(mv_per_unit) or mv_per_unit == 0:
            raise SourceError(f"{source}: unit adc needs the mV of one count, e.g. --mv-per-unit 0.005")
        return float(mv_per_unit)
    if unit not in UNITS:
        raise SourceError(f"{source}: unknown unit {unit!r}; choose one of {', '.join(UNITS)}, adc")
    return UNITS[unit]


def sample_span(options: SourceOptions, fs_hz: float, total: int | None, source: str) -> tuple[int, int | None]:
    """First sample to give and the sample to stop before (None = never).

    Args:
        options: `start_s` and `duration_s`.
        fs_hz: sampling rate, Hz.
        total: length of the source, samples; None = endless or unknown.
        source: its name, for the error.

    Raises:
        SourceError: negative or not finite, no duration, or a start at or behind the end.
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
