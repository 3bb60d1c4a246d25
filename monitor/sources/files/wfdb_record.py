"""WFDB records of one segment, read in pieces.

Formats 212 and 16 in one plain file, as in most ECG databases, are read here: `import wfdb` takes 0.4 s (it imports
pandas), twenty times as long as half an hour of signal. wfdb reads all other formats. Tests compare both, NaN by NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError, first_line

__all__ = ["Record", "Signal", "open_single", "read_header", "start_time_of"]

Floats = NDArray[np.float64]

# header(5) of the WFDB manual; wfdb reads a header that does not match.
_RECORD_LINE = re.compile(
    r"^\S+[ \t]+(?P<signals>\d+)[ \t]+(?P<fs>\d+(\.\d+)?)(/\S+)?([ \t]+(?P<length>\d+)"
    r"([ \t]+(?P<time>\d{1,2}:\d{1,2}:\d{1,2}(\.\d+)?)([ \t]+(?P<date>\d{1,2}/\d{1,2}/\d{4}))?)?)?[ \t]*\Z"
)
_SIGNAL_LINE = re.compile(
    r"^(?P<file>[^\s~]+)[ \t]+(?P<format>212|16)[ \t]+(?P<gain>\d+(\.\d+)?)(\((?P<baseline>-?\d+)\))?(/(?P<unit>\S+))?"
    r"[ \t]+(?P<bits>\d+)[ \t]+(?P<zero>-?\d+)[ \t]+-?\d+[ \t]+-?\d+[ \t]+\d+[ \t]+(?P<name>\S.*?)[ \t]*\Z"
)
_INVALID = {"212": -2048, "16": -32768}  # no valid sample: NaN


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a record: physical value = (digital - baseline) / gain, in `unit`.

    Attributes:
        name, unit: name of the lead and unit of the physical value.
        gain: counts in one unit.
        baseline: count of physical 0.
        bits, zero: resolution and middle of the ADC; 0 bits = unknown.
    """

    name: str
    unit: str
    gain: float
    baseline: int
    bits: int
    zero: int

    @property
    def rails(self) -> tuple[float, float] | None:
        """Range of the ADC, (low, high) in `unit`; None where the header does not give it."""
        if not 4 <= self.bits <= 32 or self.gain == 0 or not math.isfinite(self.gain):
            return None
        half = 1 << (self.bits - 1)
        ends = [(edge - self.baseline) / self.gain for edge in (self.zero - half, self.zero + half - 1)]
        low, high = min(ends), max(ends)
        # nstdb names -10.24 to -0.005 mV, but its samples lie far outside: a range without 0 mV is wrong.
        return (low, high) if low < 0 < high else None


@dataclass(frozen=True, slots=True)
class Record:
    """A record that can be read.

    Attributes:
        fs_hz: sampling rate, Hz.
        length: samples of each signal.
        signals: in the order of the header.
        start_time: ISO 8601 time of sample 0; headers name no time zone, UTC is assumed. None if unknown.
        read: (signal number, first sample, stop sample) -> (n,) float64 in the signal's unit, NaN = invalid.
    """

    fs_hz: float
    length: int
    signals: tuple[Signal, ...]
    start_time: str | None
    read: Callable[[int, int, int], Floats]


def read_header(path: Path, name: str) -> str:
    """Return the text of `path`.hea.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        return path.with_name(path.name + ".hea").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{name}: header {path}.hea cannot be read ({error.strerror})") from None


def open_single(path: Path, text: str, name: str) -> Record:
    """Open a record of one segment at `path`, without suffix, with the header `text`.

    Raises:
        SourceError: the header is broken, the signal file is missing or too short, there is no sample.
    """
    record = _open_plain(path, text, name) or _open_any(path, name)
    if not record.signals:
        raise SourceError(f"{name}: the record holds no signal")
    if record.length <= 0:
        raise SourceError(f"{name}: the record holds no sample")
    return record


def _open_plain(path: Path, text: str, name: str) -> Record | None:
    """Open a record of one file in format 212 or 16; None for every other."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    head = _RECORD_LINE.match(lines[0]) if lines else None
    if head is None or len(lines) != 1 + int(head["signals"]) or len(lines) == 1:
        return None
    matches = [_SIGNAL_LINE.match(line) for line in lines[1:]]
    fields = [match for match in matches if match is not None]
    if len(fields) < len(matches) or len({(match["file"], match["format"]) for match in fields}) != 1:
        return None
    signals = tuple(
        Signal(
            name=match["name"],
            unit=match["unit"] or "mV",
            gain=float(match["gain"]) or 200.0,  # 0 = uncalibrated: WFDB's default gain
            baseline=int(match["baseline"] or match["zero"]),
            bits=int(match["bits"]),
            zero=int(match["zero"]),
        )
        for match in fields
    )
    length, n_signals, data_format = int(head["length"] or 0), len(signals), fields[0]["format"]
    file = path.with_name(fields[0]["file"])
    try:
        size = file.stat().st_size
    except OSError as error:
        raise SourceError(f"{name}: signal file {file} cannot be read ({error.strerror})") from None
    if length == 0:  # not in the header: all whole samples of the file
        length = (size // 2 if data_format == "16" else 2 * size // 3) // n_signals
    if size < (needed := _bytes_before(length * n_signals, data_format)):
        raise SourceError(f"{name}: {file} holds {size} bytes, its header promises {needed}; fetch the record again")

    def read(channel: int, start: int, stop: int) -> Floats:
        digital = _digital(file, data_format, start * n_signals, stop * n_signals)[channel::n_signals]
        signal = signals[channel]
        physical: Floats = (digital.astype(np.float64) - signal.baseline) / signal.gain
        physical[digital == _INVALID[data_format]] = np.nan
        return physical

    try:
        start_time = start_time_of(head["time"], head["date"])
    except ValueError:
        return None  # no such day: wfdb reports it
    return Record(float(head["fs"]), length, signals, start_time, read)


def start_time_of(time: str | None, date: str | None) -> str | None:
    """Return the ISO 8601 time of `HH:MM:SS.ss` and `DD/MM/YYYY`, taken as UTC; None without a date.

    Raises:
        ValueError: no such time or day.
    """
    if not date or not time:
        return None
    day, month, year = map(int, date.split("/"))
    *minutes, second = time.split(":")
    hour, minute = map(int, ["0", "0", *minutes][-2:])
    whole, _, part = second.partition(".")
    start = datetime(year, month, day, hour, minute, int(whole), int(f"{part:0<6.6}"), tzinfo=UTC)
    return start.isoformat()


def _bytes_before(sample: int, data_format: str) -> int:
    return 2 * sample if data_format == "16" else (3 * sample + 1) // 2


def _digital(file: Path, data_format: str, start: int, stop: int) -> NDArray[np.int32]:
    """Read samples `start` to `stop` of the file, all signals interleaved."""
    if data_format == "16":
        return np.fromfile(file, dtype="<i2", count=stop - start, offset=2 * start).astype(np.int32)
    # Format 212: two samples of 12 bits in three bytes; reading begins at a whole pair.
    pair = start // 2
    first = 3 * pair
    octets = np.fromfile(file, dtype=np.uint8, count=_bytes_before(stop, data_format) - first, offset=first)
    octets = np.concatenate([octets, np.zeros(-octets.size % 3, dtype=np.uint8)]).reshape(-1, 3).astype(np.int32)
    samples = np.empty(2 * len(octets), dtype=np.int32)
    samples[0::2] = octets[:, 0] | (octets[:, 1] & 0x0F) << 8
    samples[1::2] = octets[:, 2] | (octets[:, 1] & 0xF0) << 4
    samples[samples > 2047] -= 4096
    return samples[start - 2 * pair : stop - 2 * pair]


def _open_any(path: Path, name: str) -> Record:
    """Open a record of any format that wfdb reads."""
    import wfdb

    try:
        header = wfdb.rdheader(str(path))
        length, fs_hz = int(header.sig_len or 0), float(header.fs)
        if length <= 0:
            return Record(fs_hz, 0, (Signal("", "", 1.0, 0, 0, 0),), None, lambda *_: np.empty(0))
        # One sample shows whether its format can be read.
        probe = wfdb.rdrecord(str(path), sampfrom=0, sampto=1)
        signals = tuple(_signal_of(header, probe, i) for i in range(len(probe.sig_name)))
    except Exception as error:  # wfdb raises errors of many classes
        raise SourceError(f"{name}: record {path} cannot be read ({first_line(error)})") from None
    try:
        wfdb.rdrecord(str(path), sampfrom=length - 1, sampto=length)
    except Exception as error:
        raise SourceError(
            f"{name}: a signal file of {path} is shorter than its header promises ({first_line(error)}); fetch the"
            " record again"
        ) from None

    def read(channel: int, start: int, stop: int) -> Floats:
        try:
            record = wfdb.rdrecord(str(path), sampfrom=start, sampto=stop, channels=[channel])
        except Exception as error:
            raise SourceError(f"{name}: samples {start} to {stop} cannot be read ({first_line(error)})") from None
        return np.asarray(record.p_signal[:, 0], dtype=np.float64)

    start_time = None
    if header.base_date is not None and header.base_time is not None:
        start_time = datetime.combine(header.base_date, header.base_time, tzinfo=UTC).isoformat()
    return Record(fs_hz, length, signals, start_time, read)


def _signal_of(header: Any, probe: Any, i: int) -> Signal:
    adc = (float(header.adc_gain[i]), int(header.baseline[i]), int(header.adc_res[i]), int(header.adc_zero[i]))
    return Signal(str(probe.sig_name[i]), str(probe.units[i]), *adc)
