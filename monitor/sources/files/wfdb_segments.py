"""WFDB records of one or of several segments; each segment is a record of its own and read when it is needed.

wfdb does not read the segments together: it does not compare their sampling rates, fails on a null segment of a fixed
layout, and reads the header of every segment again for each piece.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError, first_line
from monitor.sources.files.wfdb_record import Record, Signal, open_single, read_header, start_time_of
from monitor.sources.units import UNITS, canonical_unit

__all__ = ["open_record"]

Floats = NDArray[np.float64]

# header(5) of the WFDB manual, multi-segment records.
_RECORD_LINE = re.compile(
    r"^\S+/(?P<segments>\d+)[ \t]+(?P<signals>\d+)[ \t]+(?P<fs>\d+(\.\d+)?)(/\S+)?([ \t]+(?P<length>\d+)"
    r"([ \t]+(?P<time>\d{1,2}(:\d{1,2}){0,2}(\.\d+)?)([ \t]+(?P<date>\d{1,2}/\d{1,2}/\d{4}))?)?)?[ \t]*\Z"
)
_SEGMENT_LINE = re.compile(r"^(?P<name>~|[\w.-]+)[ \t]+(?P<length>\d+)[ \t]*\Z")
_NULL = "~"
_SEGMENTED = re.compile(r"\A([ \t]*(#[^\n]*)?\n)*[^\s#/]+/\d")


@dataclass(frozen=True, slots=True)
class _Segment:
    """Samples `start` to `stop` of the record; a null segment holds no signal."""

    name: str
    start: int
    stop: int


def open_record(path: Path, name: str) -> Record:
    """Open a record of one or of several segments; `path`.hea and all segments lie in one folder.

    Raises:
        SourceError: a header is broken, a file is missing or too short, there is no sample, or a segment does not fit:
            another rate, another length.
    """
    text = read_header(path, name)
    return _open_segments(path, text, name) if _SEGMENTED.search(text) else open_single(path, text, name)


def _open_segments(path: Path, text: str, name: str) -> Record:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    head = _RECORD_LINE.match(lines[0]) if lines else None
    matches = [_SEGMENT_LINE.match(line) for line in lines[1:]]
    fields = [match for match in matches if match is not None]
    if head is None or not fields or len(fields) < len(matches) or len(fields) != int(head["segments"]):
        raise SourceError(f"{name}: header {path}.hea of a record of several segments is broken; get it again")
    try:
        start_time = start_time_of(head["time"], head["date"])
    except ValueError:
        raise SourceError(f"{name}: {path}.hea names no time that exists: {head['time']} {head['date']}") from None
    fs_hz = float(head["fs"])
    layout = fields.pop(0)["name"] if int(fields[0]["length"]) == 0 and fields[0]["name"] != _NULL else None
    segments, at = [], 0
    for field in fields:
        segments.append(_Segment(field["name"], at, at + int(field["length"])))
        at = segments[-1].stop
    if head["length"] is not None and int(head["length"]) != at:
        raise SourceError(f"{name}: its segments hold {at} samples, its header promises {head['length']}")
    first: Record | None = None
    for segment in segments:
        if segment.name != _NULL:
            record = _open_segment(path, segment, fs_hz, name)
            first = first or record
    if first is None:
        raise SourceError(f"{name}: the record holds no sample")
    signals = _layout_signals(path, layout, name) if layout is not None else first.signals
    signals = tuple(Signal(signal.name, signal.unit, 1.0, 0, 0, 0) for signal in signals)  # each has its own ADC
    opened: dict[str, Record] = {}  # at most one: the segment read last

    def read(channel: int, start: int, stop: int) -> Floats:
        out = np.full(stop - start, np.nan)
        for segment in segments:
            low, high = max(start, segment.start), min(stop, segment.stop)
            if low >= high or segment.name == _NULL:
                continue
            if segment.name not in opened:
                opened.clear()
                opened[segment.name] = _open_segment(path, segment, fs_hz, name)
            record = opened[segment.name]
            number = _number(record, signals[channel], channel if layout is None else None)
            if number is not None:
                values = record.read(number, low - segment.start, high - segment.start)
                out[low - start : high - start] = values * _factor(record.signals[number], signals[channel], name)
        return out

    return Record(fs_hz, at, signals, start_time, read)


def _open_segment(path: Path, segment: _Segment, fs_hz: float, name: str) -> Record:
    what = f"segment {segment.name}"
    segment_path = path.with_name(segment.name)
    try:
        header = read_header(segment_path, name)
        if _SEGMENTED.search(header):
            raise SourceError(f"{name}: {segment_path}.hea is itself a record of several segments")
        record = open_single(segment_path, header, name)
    except SourceError as error:
        raise SourceError(f"{name}: {what}: {str(error).removeprefix(f'{name}: ')}") from None
    if record.fs_hz != fs_hz:
        raise SourceError(
            f"{name}: {what} has {record.fs_hz:g} Hz, the record {fs_hz:g} Hz; resample it, or watch"
            f" wfdb:{segment_path} alone"
        )
    if record.length != segment.stop - segment.start:
        raise SourceError(
            f"{name}: {what} holds {record.length} samples, the record says {segment.stop - segment.start}"
        )
    return record


def _layout_signals(path: Path, layout: str, name: str) -> tuple[Signal, ...]:
    """Read names and units from the layout segment, which has no signal file."""
    import wfdb

    try:
        header = wfdb.rdheader(str(path.with_name(layout)))
        return tuple(
            Signal(str(lead), str(unit), 1.0, 0, 0, 0) for lead, unit in zip(header.sig_name, header.units, strict=True)
        )
    except Exception as error:  # wfdb raises errors of many classes
        raise SourceError(f"{name}: segment {layout} cannot be read ({first_line(error)})") from None


def _number(record: Record, wanted: Signal, same: int | None) -> int | None:
    """Number of the wanted signal in a segment: by its name, else, in a fixed layout, number `same`."""
    names = [signal.name for signal in record.signals]
    if wanted.name in names:
        return names.index(wanted.name)
    return same if same is not None and same < len(names) else None


def _factor(signal: Signal, wanted: Signal, name: str) -> float:
    """Factor from a segment's unit to the record's."""
    if signal.unit == wanted.unit:
        return 1.0
    known = [UNITS.get(canonical_unit(unit) or "") for unit in (signal.unit, wanted.unit)]
    if known[0] is None or known[1] is None:
        raise SourceError(f"{name}: {signal.name} is in {wanted.unit} and, in a segment, in {signal.unit}")
    return known[0] / known[1]
