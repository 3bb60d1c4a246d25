"""Headers of WFDB records, by header(5) of the WFDB manual (https://wfdb.io/spec/header-files.html).

Not by `wfdb.rdheader` (4.3): it drops what is not ASCII, so uV written with a micro sign become volts; it takes a slash
in a record's name for segments; it refuses a dot or blank in a file's name and a header without units, length or ADC
zero. Deviations from the manual, each for headers that exist: CRLF, UTF-16, names with blanks, a description after
fewer numbers than the manual asks for.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitor.errors import SourceError

__all__ = ["DEFAULT_HZ", "NULL", "Header", "Segment", "Signal", "parse_header", "read_header"]

NULL = "~"  # name of a segment, or of a signal's file, without samples
DEFAULT_HZ, _DEFAULT_GAIN, _DEFAULT_UNIT = 250.0, 200.0, "mV"
_GAIN_RANGE = (1e-9, 1e12)  # counts in one unit; beyond it a header is garbled
_MAX_PER_FRAME = 100_000
_MAX_BYTES, _MAX_LINE = 4_194_304, 2000  # of a header and of its lines: a larger file is no header
_SHOWN = 60  # characters of a line in an error

_NUMBER = r"[-+]?(?:[0-9]{1,15}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?"
_COUNT, _INTEGER = r"[0-9]{1,15}", r"[-+]?[0-9]{1,15}"
_RECORD_LINE = re.compile(
    rf"(?P<record>\S+([ \t]+[^\s0-9]\S*)*?)[ \t]+(?P<signals>{_COUNT})"
    rf"([ \t]+(?P<fs>{_NUMBER})(/\S*)?([ \t]+(?P<length>{_COUNT})([ \t]+(?P<time>\S+)([ \t]+(?P<date>\S+).*)?)?)?)?"
)
_SIGNAL_LINE = re.compile(
    rf"(?P<file>\S.*?)[ \t]+(?P<format>{_COUNT})"
    rf"((x(?P<per_frame>{_COUNT}))|(:(?P<skew>{_COUNT}))|(\+(?P<offset>{_COUNT})))*"
    rf"([ \t]+(?P<gain>{_NUMBER})?(\((?P<baseline>{_INTEGER})(\.[0-9]*)?\))?(/(?P<unit>\S+))?"
    rf"([ \t]+(?P<bits>{_COUNT})([ \t]+(?P<zero>{_INTEGER})([ \t]+(?P<initial>{_INTEGER})"
    rf"([ \t]+{_INTEGER}([ \t]+{_INTEGER})?)?)?)?)?(?![^ \t]))?"
    r"([ \t]+(?P<name>\S.*))?"
)
_SEGMENT_LINE = re.compile(rf"(?P<name>\S+)[ \t]+(?P<length>{_COUNT})")
_SEGMENTS = re.compile(rf".*/(?P<segments>{_COUNT})")


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a record: physical value = (digital - baseline) / gain, in `unit`.

    Attributes:
        name, unit: name of the lead and unit of the physical value.
        gain: counts in one unit.
        baseline: count of physical 0.
        bits, zero: resolution and middle of the ADC; 0 bits = unknown.
        file, data_format: name of the signal file as written, and its format; `~` = no samples.
        per_frame: samples of this signal in one frame.
        skew: frames by which the file holds this signal later than the others.
        offset: bytes before sample 0 in the file; samples in a FLAC file.
        initial: count of sample 0, for format 8.
    """

    name: str
    unit: str
    gain: float = 1.0
    baseline: int = 0
    bits: int = 0
    zero: int = 0
    file: str = NULL
    data_format: str = "0"
    per_frame: int = 1
    skew: int = 0
    offset: int = 0
    initial: int = 0

    @property
    def has_samples(self) -> bool:
        """False for a signal that only a layout names."""
        return self.file != NULL and self.data_format != "0"

    @property
    def rails(self) -> tuple[float, float] | None:
        """Range of the ADC, (low, high) in `unit`; None where the header does not give it."""
        if not 4 <= self.bits <= 32:
            return None
        half = 1 << (self.bits - 1)
        ends = [(edge - self.baseline) / self.gain for edge in (self.zero - half, self.zero + half - 1)]
        low, high = min(ends), max(ends)
        # nstdb names -10.24 to -0.005 mV, but its samples lie far outside: a range without 0 mV is wrong.
        return (low, high) if low < 0 < high else None


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a record; `~` = a null segment, without signal. `length` in frames."""

    name: str
    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a header states.

    Attributes:
        frame_hz: frames in one second; None = not stated (`DEFAULT_HZ` holds).
        frames: length, frames; None = not stated.
        start_time: ISO 8601 time of frame 0; headers name no time zone, UTC is assumed. None = none, or impossible.
        signals: of a record of one segment, in order.
        segments: of a record of several; empty for one of one segment. A length of 0 marks the layout.
    """

    frame_hz: float | None
    frames: int | None
    start_time: str | None
    signals: tuple[Signal, ...]
    segments: tuple[Segment, ...]


def read_header(path: Path, name: str) -> Header:
    """Read `path`.hea.

    Args:
        path: of the record, without suffix.
        name: of the source, for errors.

    Raises:
        SourceError: the file cannot be read or is no header.
    """
    file = path.with_name(path.name + ".hea")
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{name}: header {file} cannot be read ({error.strerror})") from None
    try:
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it holds more than {_MAX_BYTES} bytes")
        return parse_header(_decoded(content))
    except ValueError as error:
        raise SourceError(f"{name}: header {file} is broken: {error}; correct it or get it again") from None


def parse_header(text: str) -> Header:
    """Parse the text of a header.

    Raises:
        ValueError: a line is no record, signal or segment line, or there are too few; one line that quotes it.

    >>> header = parse_header("r 1 62.5/1000 100\\nr.dat 16x4:2+512 200(5)/uV 12 0 0 0 0 II\\n")
    >>> (header.frame_hz, header.frames, header.signals[0].per_frame, header.signals[0].unit, header.signals[0].name)
    (62.5, 100, 4, 'uV', 'II')
    """
    lines = [line.strip(" \t\ufeff") for line in re.split(r"\r\n|\r|\n", text.replace("\0", ""))]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError("it holds no record line")
    if max(map(len, lines)) > _MAX_LINE:
        raise ValueError(f"it has a line of more than {_MAX_LINE} characters")
    head = _RECORD_LINE.fullmatch(lines[0])
    if head is None:
        raise ValueError(f"{_shown(lines[0])} is no record line (name, number of signals, rate, length)")
    fs = float(head["fs"]) if head["fs"] else None
    if fs is not None and not (math.isfinite(fs) and fs > 0):
        raise ValueError(f"the rate in {_shown(lines[0])} is not above 0 Hz")
    wanted = int(head["signals"])
    frames = int(head["length"] or 0) or None
    start_time = _start_time(head["time"], head["date"])
    named = _SEGMENTS.fullmatch(head["record"])
    if named and not _describe_signals(lines[1:], wanted):
        return Header(fs, frames, start_time, (), _segments(lines[1:], int(named["segments"])))
    return Header(fs, frames, start_time, _signals(lines[1:], wanted), ())


def _describe_signals(lines: list[str], wanted: int) -> bool:
    """Whether the lines of a record with a number after a slash are signal lines: a path, not a number of segments."""
    if wanted < 1 or len(lines) < wanted:
        return False
    matches = [_SIGNAL_LINE.fullmatch(line) for line in lines[:wanted]]
    # A line of two fields may be both: only a file's name has a suffix.
    return all(match and (not _SEGMENT_LINE.fullmatch(match[0]) or "." in match["file"]) for match in matches)


def _signals(lines: list[str], wanted: int) -> tuple[Signal, ...]:
    if wanted == 0:
        raise ValueError("the record holds no signal")
    if len(lines) < wanted:
        raise ValueError(f"it promises {wanted} signals and describes {len(lines)}")
    return tuple(_signal(line, number) for number, line in enumerate(lines[:wanted]))  # the manual ignores what follows


def _signal(line: str, number: int) -> Signal:
    match = _SIGNAL_LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"{_shown(line)} is no signal line (file, format, gain, ...)")
    gain = float(match["gain"] or 0) or _DEFAULT_GAIN  # 0 = not calibrated: the manual's default
    if not _GAIN_RANGE[0] <= abs(gain) <= _GAIN_RANGE[1]:
        raise ValueError(f"the gain in {_shown(line)} is out of range")
    per_frame = int(match["per_frame"] or 0) or 1
    if per_frame > _MAX_PER_FRAME:
        raise ValueError(f"{per_frame} samples a frame in {_shown(line)}")
    zero = int(match["zero"] or 0)
    return Signal(
        name=match["name"] or f"signal {number}",
        unit=match["unit"] or _DEFAULT_UNIT,
        gain=gain,
        baseline=zero if match["baseline"] is None else int(match["baseline"]),
        bits=int(match["bits"] or 0),
        zero=zero,
        file=match["file"],
        data_format=match["format"],
        per_frame=per_frame,
        skew=int(match["skew"] or 0),
        offset=int(match["offset"] or 0),
        initial=zero if match["initial"] is None else int(match["initial"]),
    )


def _segments(lines: list[str], wanted: int) -> tuple[Segment, ...]:
    if wanted == 0 or len(lines) < wanted:
        raise ValueError(f"it promises {wanted} segments and names {len(lines)}")
    segments = []
    for line in lines[:wanted]:
        match = _SEGMENT_LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{_shown(line)} is no segment line (name, length)")
        segments.append(Segment(match["name"], int(match["length"])))
    return tuple(segments)


def _start_time(time: str | None, date: str | None) -> str | None:
    """ISO 8601 time of `[[HH:]MM:]SS[.ss]` and `DD/MM/YYYY`, taken as UTC; None without a date or where it is none.

    De-identified records have dates as 00/00/0000: no reason not to watch them.
    """
    if not date or not time:
        return None
    try:
        day, month, year = map(int, date.split("/"))
        hour, minute, second = ["0", "0", *time.split(":")][-3:]
        whole, _, part = second.partition(".")
        start = datetime(year, month, day, int(hour), int(minute), int(whole), int(f"{part:0<6.6}"), tzinfo=UTC)
    except ValueError:
        return None
    return start.isoformat()


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _shown(line: str) -> str:
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "...")
