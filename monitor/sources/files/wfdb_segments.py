"""WFDB records of one or of several segments; each segment is a record of its own and read when it is needed.

wfdb does not read the segments together: it does not compare their sampling rates, fails on a null segment of a fixed
layout, and reads the header of every segment again for each piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.errors import SourceError
from monitor.sources.files.wfdb_header import NULL, Header, Signal, read_header
from monitor.sources.files.wfdb_record import Floats, Record, SingleRecord
from monitor.sources.units import UNITS, canonical_unit

__all__ = ["open_record"]


@dataclass(frozen=True, slots=True)
class _Span:
    """Frames `start` to `stop` of the record: one segment."""

    name: str
    start: int
    stop: int


def open_record(path: Path, name: str) -> Record:
    """Open a record of one or of several segments; `path`.hea and all segments lie in one folder.

    Raises:
        SourceError: a header is broken, or a segment is missing.
    """
    header = read_header(path, name)
    return SegmentedRecord(path, header, name) if header.segments else SingleRecord(path, header, name)


class SegmentedRecord:
    """A record of several segments; see Record.

    Args:
        path: of the record, without suffix.
        header: read from `path`.hea.
        name: of the source, for errors.

    Raises:
        SourceError: see open_record; also a segment that does not fit: another rate, another length.
    """

    def __init__(self, path: Path, header: Header, name: str) -> None:
        self.frame_hz, self.start_time = header.frame_hz, header.start_time
        self._path, self._name = path, name
        self.shortages: list[str] = []
        segments = list(header.segments)
        layout = segments.pop(0).name if segments[0].length == 0 and segments[0].name != NULL else None
        self._spans, at = [], 0
        for segment in segments:
            self._spans.append(_Span(segment.name, at, at + segment.length))
            at += segment.length
        if header.frames is not None and header.frames != at:
            raise SourceError(f"{name}: its segments hold {at} frames, its header promises {header.frames}; correct it")
        self._frames = at
        first = next((span for span in self._spans if span.name != NULL), None)
        if first is None:
            raise SourceError(f"{name}: the record holds no sample: all its segments are null segments")
        self._fixed = layout is None
        self._current: tuple[_Span, int, SingleRecord, int | None] | None = None  # the segment read last
        described = self._single(first.name if layout is None else layout).signals
        # Each segment has its own ADC.
        self.signals = tuple(Signal(s.name, s.unit, per_frame=s.per_frame, file=first.name) for s in described)

    def open(self, channel: int) -> int:
        """See Record."""
        for span in self._spans:
            if span.name != NULL:
                record, _ = self._open(span, channel)
                self.shortages += record.shortages
        return self._frames

    def read(self, channel: int, start: int, stop: int) -> Floats:
        """See Record."""
        wanted = self.signals[channel]
        each = wanted.per_frame
        out = np.full(stop - start, np.nan)
        for span in self._spans:
            low, high = max(start, span.start * each), min(stop, span.stop * each)
            if low >= high or span.name == NULL:
                continue
            record, number = self._open(span, channel)
            if number is not None:
                values = record.read(number, low - span.start * each, high - span.start * each)
                out[low - start : high - start] = values * self._factor(record.signals[number], wanted)
        return out

    def _single(self, segment: str) -> SingleRecord:
        path = self._path.parent / segment
        header = read_header(path, f"{self._name}: segment {segment}")
        if header.segments:
            raise SourceError(f"{self._name}: segment {segment}: {path}.hea is itself a record of several segments")
        return SingleRecord(path, header, f"{self._name}: segment {segment}")

    def _open(self, span: _Span, channel: int) -> tuple[SingleRecord, int | None]:
        """The record of a segment, and the number of the wanted signal in it; None = it is not there."""
        if self._current is not None and self._current[:2] == (span, channel):
            return self._current[2:]
        record, wanted = self._single(span.name), self.signals[channel]
        what = f"{self._name}: segment {span.name}"
        if record.frame_hz != self.frame_hz:
            raise SourceError(
                f"{what} has {record.frame_hz or 0:g} Hz, the record {self.frame_hz or 0:g} Hz; resample it, or watch"
                f" wfdb:{self._path.parent / span.name} alone"
            )
        length, stated = span.stop - span.start, record.stated_frames
        if stated is not None and stated != length:
            raise SourceError(
                f"{what} holds {stated} frames, the record says {length}; correct the header of the record"
            )
        number = self._number(record, wanted, channel)
        if number is not None:
            if record.signals[number].per_frame != wanted.per_frame:
                raise SourceError(
                    f"{what} has {record.signals[number].per_frame} samples of {wanted.name} a frame, the record"
                    f" {wanted.per_frame}; watch wfdb:{self._path.parent / span.name} alone"
                )
            there = record.open(number)
            if there < length and stated is None:
                record.shortages.append(f"{what} holds {there} frames, the record says {length}; read to its end")
        self._current = span, channel, record, number
        return record, number

    def _number(self, record: SingleRecord, wanted: Signal, channel: int) -> int | None:
        """Number of the wanted signal in a segment: by its name, else, in a fixed layout, the same number."""
        names = [signal.name for signal in record.signals]
        if wanted.name in names:
            number = names.index(wanted.name)
        elif self._fixed and channel < len(names):
            number = channel
        else:
            return None
        return number if record.signals[number].has_samples else None

    def _factor(self, signal: Signal, wanted: Signal) -> float:
        """Factor from a segment's unit to the record's."""
        if signal.unit == wanted.unit:
            return 1.0
        known = [UNITS.get(canonical_unit(unit) or "") for unit in (signal.unit, wanted.unit)]
        if known[0] is None or known[1] is None:
            raise SourceError(f"{self._name}: {signal.name} is in {wanted.unit} and, in a segment, in {signal.unit}")
        return known[0] / known[1]
