"""Reader of a table: bytes in, samples with their indices out. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.options import MAX_MV, SourceOptions
from monitor.sources.tables.cells import is_comment
from monitor.sources.tables.layout import LeadColumn, TableLayout, recognise
from monitor.sources.tables.preamble import read_preamble
from monitor.sources.tables.shape import has_number
from monitor.sources.tables.text import QuotedLines, TextLines, is_binary, utf16_order
from monitor.sources.timing.stamp_clock import Sample, StampClock
from monitor.sources.timing.stamp_rate import thin

__all__ = ["HEAD_BYTES", "LEADS_OFF", "TableReader"]

HEAD_BYTES = 262_144  # of a file, from which the layout is recognised
LEADS_OFF = "!"
_HEAD_LINES = 5000  # of a stream
_ROWS_PLAIN, _ROWS_WHOLE, _ROWS_TABLE, _ROWS_TIMED = 2, 25, 64, 1024  # rows of a stream that are needed
_TABLE_S = 0.6  # of a stream of several columns, so that its time is known
_FAR_S = 0.05  # a time that differs more from both of its neighbours, and they less from each other, is garbled

Floats = NDArray[np.float64]


class TableReader:
    """Takes bytes in any pieces; gives runs of samples, the same for every cut.

    A row without a number in the ECG's column is one sample without a value (NaN), counted in `bad`; so is `!` (leads
    off), which is not counted. Comments and repeated headers are no samples. The samples of two leads are (n, 2); a row
    with a number in one of their columns has NaN for the other lead, and counts.

    Many attributes: the layout, the place in the text, what was bad, and the clock.

    Args:
        options: see `recognise`.
        name: of the source, for the errors.
        live: recognise the layout from as few rows as possible; else from HEAD_BYTES.

    Attributes:
        layout: None until it is known.
        any_number: a number was read.
        bad, example: rows without a number since `take_bad`, and the first of them.
        resets: times that ran back, or jumped by more than a day.
        held: samples that the clock holds back.

    Raises:
        SourceError: `push` and `finish`: see `recognise`.
    """

    def __init__(self, options: SourceOptions, name: str, live: bool) -> None:
        self.layout: TableLayout | None = None
        self.any_number = False
        self._options, self._name, self._live = options, name, live
        self._text, self._quoted = TextLines(), QuotedLines()
        self._head: list[str] = []
        self._head_bytes = 0
        self._rows_seen = 0
        self._needed: int | None = None
        self._line = 0  # lines before the next one
        self._bad = 0
        self._example = ""
        self._clock: StampClock | None = None
        self._longest_s = math.inf
        self._packets = False
        self._next = 0  # index of the next sample, without a clock
        self._last_s: float | None = None  # the last time, for a clock over midnight
        # The last sample and its time: the next time may show it garbled.
        self._waiting: list[tuple[Sample, float]] = []
        self._before_s: float | None = None  # the time before it
        self._thin_s: float | None = None

    def push(self, data: bytes) -> list[tuple[int, Floats]]:
        """Take bytes; return runs of samples, mV, with the index of the first, in order."""
        if self.layout is not None or self._live:
            return self._lines(self._quoted.push(self._text.push(data)))
        room = HEAD_BYTES - self._head_bytes
        head, rest = data[:room], data[room:]
        self._head_bytes += len(head)
        if self._head_bytes == len(head) and is_binary(head) and utf16_order(head) is None:
            raise SourceError(f"{self._name}: this is a binary file, no text; WFDB records are read with wfdb:PATH")
        runs = self._lines(self._quoted.push(self._text.push(head)))
        if rest:
            runs += self._recognise()
            runs += self._lines(self._quoted.push(self._text.push(rest)))
        return runs

    def finish(self) -> list[tuple[int, Floats]]:
        """The text has ended: return the runs that are left."""
        lines = self._quoted.push(self._text.finish())
        runs = self._lines([*lines, *self._quoted.finish()])
        if self.layout is None:
            runs += self._recognise()
        if self._clock is not None:
            runs += self._place(self._settled([], []))
            runs += self._clock.flush()
        return runs

    def limit_gaps(self, longest_s: float) -> None:
        """Limit the sum of all gaps, s; times that jump beyond it are resets."""
        self._longest_s = longest_s
        if self._clock is not None:
            self._clock.longest_s = longest_s

    def take_bad(self) -> tuple[int, str]:
        """Rows without a number since the last call, and the first of them."""
        bad, self._bad = (self._bad, self._example), 0
        self._example = ""
        return bad

    @property
    def line(self) -> int:
        """Lines taken so far."""
        return self._line

    @property
    def is_endless(self) -> bool:
        """Whether the line that has not ended is too long for a row already."""
        return self._text.is_endless

    @property
    def resets(self) -> int:
        """Times so far that ran back, or jumped by more than a day."""
        return 0 if self._clock is None else self._clock.resets

    def _lines(self, lines: list[str]) -> list[tuple[int, Floats]]:
        if self.layout is not None:
            return self._read(lines) if lines else []
        if not self._live:
            self._head += lines
            return []
        for i, line in enumerate(lines):
            self._head.append(line)
            if has_number(line):
                self._rows_seen += 1
                if self._is_enough():
                    return self._recognise() + self._read(lines[i + 1 :])
            elif self._rows_seen == 0 and len(self._head) > _HEAD_LINES:
                raise SourceError(f"{self._name}: the first {_HEAD_LINES} lines hold no number")
        return []

    def _is_enough(self) -> bool:
        """Whether the rows of a stream suffice; asked after each row with a number."""
        if self._rows_seen < _ROWS_PLAIN:
            return False
        if self._needed is None:
            rows = [line for line in self._head if has_number(line)][-2:]
            fs_hz = self._options.fs_hz or read_preamble(self._head).fs_hz
            plain = all(_is_plain(line) for line in rows)
            whole = plain and all(float(line).is_integer() for line in rows)
            self._needed = _ROWS_WHOLE if whole else _ROWS_PLAIN if plain else _ROWS_TABLE
            if any(not line.strip() for line in self._head[-2:]):
                self._needed = max(self._needed, _ROWS_WHOLE)
            if fs_hz is None:
                self._needed = _ROWS_TIMED
            elif not plain:
                self._needed = max(self._needed, round(_TABLE_S * fs_hz))
        return self._rows_seen >= self._needed

    def _recognise(self) -> list[tuple[int, Floats]]:
        """Recognise the layout from the first lines, and read them."""
        head, self._head = self._head, []
        self.layout = layout = recognise(head, self._options, self._name)
        if layout.time is not None:
            rate = layout.time.rate
            self._clock = StampClock(rate.clock_hz, rate.late_s, rate.hold_s)
            self._clock.longest_s = self._longest_s
            self._packets = rate.packets
        self._line = sum(1 + line.count("\n") for line in head[: layout.shape.first])
        return self._leads_off(head[: layout.shape.first]) + self._read(head[layout.shape.first :])

    def _leads_off(self, lines: Sequence[str]) -> list[tuple[int, Floats]]:
        """Samples without a value before the first row of a stream: `!` instead of a number."""
        count = sum(line.strip().startswith(LEADS_OFF) for line in lines)
        shape = (count,) if self.layout is None or len(self.layout.leads) == 1 else (count, 2)
        return self._place((np.full(shape, np.nan), np.full(count, np.nan))) if count else []

    def _read(self, lines: Sequence[str]) -> list[tuple[int, Floats]]:
        """Read rows."""
        layout = self.layout
        if layout is None or not lines:
            return []
        numbers = [self._line + 1]
        for line in lines:
            numbers.append(numbers[-1] + 1 + line.count("\n"))
        self._line = numbers.pop() - 1
        kept = [
            (number, line)
            for number, line in zip(numbers, lines, strict=True)
            if (line.strip() or layout.blank_is_sample)
            and not is_comment(line)
            and not (layout.shape.header and line == layout.shape.header)
        ]
        if not kept:
            return []
        rows = [layout.shape.cells(line) for _, line in kept]
        mv = self._values(layout, rows)
        missing = np.isnan(mv) if mv.ndim == 1 else np.isnan(mv).any(axis=1)
        for i in np.flatnonzero(missing).tolist():
            number, line = kept[i]
            if line.strip().startswith(LEADS_OFF):
                self.any_number = True
                continue
            self._bad += 1
            self._example = self._example or f"line {number} '{line[:20]}'"
        self.any_number = self.any_number or bool(np.isfinite(mv).any())
        if layout.time is None:
            return self._place((mv, np.full(len(mv), np.nan)))
        stamps = layout.time.unwrap(layout.time.stamps(rows), self._last_s)
        finite = stamps[np.isfinite(stamps)]
        if finite.size:
            self._last_s = float(finite[-1])
        return self._place(self._settled(mv.tolist(), stamps.tolist()))

    def _values(self, layout: TableLayout, rows: Sequence[Sequence[str]]) -> Floats:
        """The ECG's column, (n,) mV, or both, (n, 2); NaN where one holds no usable number, or that of a summary."""
        columns = [self._column(layout, lead, rows) for lead in layout.leads]
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)

    @staticmethod
    def _column(layout: TableLayout, lead: LeadColumn, rows: Sequence[Sequence[str]]) -> Floats:
        values = np.full(len(rows), np.nan)
        for i, row in enumerate(rows):
            if layout.is_summary(row):
                continue
            try:
                values[i] = layout.number(row[lead.column])
            except (ValueError, IndexError):
                continue
        values = (values - lead.zero) * lead.mv
        values[~(np.abs(values) <= MAX_MV)] = np.nan
        return values

    def _settled(self, mv: list[Sample], stamps: list[float]) -> tuple[Floats, Floats]:
        """Samples and times; a garbled time becomes NaN. The last row waits for the next one that shows it."""
        rows = [*self._waiting, *zip(mv, stamps, strict=True)]
        ended = not mv
        given = rows if ended else rows[:-1]
        self._waiting = [] if ended else rows[-1:]
        out: list[float] = []
        for (_, stamp), (_, after) in itertools.zip_longest(given, rows[1:], fillvalue=(math.nan, math.nan)):
            if len(out) == len(given):
                break
            if self._is_garbled(stamp, after):
                stamp = math.nan
            elif math.isfinite(stamp):
                self._before_s = stamp
            out.append(stamp)
        return np.array([sample for sample, _ in given]), np.array(out)

    def _is_garbled(self, stamp: float, after: float) -> bool:
        before = self._before_s
        if before is None or not (math.isfinite(stamp) and math.isfinite(after)):
            return False
        near = abs(after - before) + _FAR_S
        return abs(stamp - before) > near and abs(stamp - after) > near

    def _place(self, rows: tuple[Floats, Floats]) -> list[tuple[int, Floats]]:
        mv, stamps = rows
        if self._clock is None:
            first, self._next = self._next, self._next + len(mv)
            return [(first, mv)] if mv.size else []
        if not mv.size:
            return []
        kept = thin(stamps, self._thin_s)
        finite = stamps[np.isfinite(stamps)]
        if self._thin_s is None and finite.size and self._packets:  # the text may begin within a packet
            kept[np.flatnonzero(np.isfinite(kept))[0]] = np.nan
        if finite.size:
            self._thin_s = float(finite[-1])
        return self._clock.push(mv, kept)


def _is_plain(line: str) -> bool:
    try:
        float(line)
    except ValueError:
        return False
    return True
