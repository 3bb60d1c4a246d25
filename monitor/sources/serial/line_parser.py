"""Parser of devices that write lines of text: bytes in, samples out. Pure.

Fields are in `line_fields`, the choice among them in `line_layout`. `!` means leads off, as in the sketch of SparkFun's
AD8232 guide (learn.sparkfun.com/tutorials/ad8232-heart-rate-monitor-hookup-guide).
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.errors import SourceError
from monitor.sources.adc_counts import Adc
from monitor.sources.channels import check_units
from monitor.sources.options import MAX_MV
from monitor.sources.serial.decoded import Decoded
from monitor.sources.serial.line_fields import (
    LINE_END,
    Row,
    is_alike,
    is_leads_off,
    parse_pieces,
    parse_rows,
    words_of,
)
from monitor.sources.serial.line_layout import LineLayout, find_layout
from monitor.sources.serial.lost_digits import LostDigits
from monitor.sources.units import UNITS

__all__ = ["LEADS_OFF", "MAX_LINE", "LineParser"]

LEADS_OFF = b"!"
MAX_LINE = 1024  # bytes; a longer line is no row of numbers (wrong baud rate: noise without line ends)
# PulseSensor Playground, PROCESSING_VISUALIZER: S and the sample, B and beats a minute, Q and the interval.
_PULSE = re.compile(r"[SBQ]\d{1,4}\Z")
_EARLY_LINES = 20  # only these can show a pulse sensor; a garbled line later must not end the source
_WORDS = re.compile(r"(?!.*\b(nan|inf)\b)[\x20-\x7e]*[A-Za-z]{3}[\x20-\x7e]*\Z", re.IGNORECASE)
_NOISE_LINES = 2  # unreadable lines in a row that count as samples; further ones are noise with random line ends
_JUDGED_ROWS: Final = 100  # rows after which columns without clear names are judged by their values
_MISFITS: Final = 20  # rows in a row of another form: the layout came from a banner
_NEGATIVES: Final = 3  # negative counts in a row show signed ones; a single minus may be garbled in
_NAN = float("nan")
_GARBLED = float("inf")  # beyond every range

Sample = float | list[float]  # of one lead, or of two


@dataclass(slots=True)
class _Lead:
    """State of one lead.

    Attributes:
        digits: replaces garbled counts.
        negatives: negative counts in a row.
        decided: samples, mV, whose other lead is not decided yet.
    """

    digits: LostDigits = field(default_factory=LostDigits)
    negatives: int = 0
    decided: deque[float] = field(default_factory=deque)


class LineParser:
    """Takes bytes in any pieces; every whole line is a sample, or as many as its array holds.

    The first line is dropped: its beginning may be missing, so that 0.12 reads as 12. A line of words (the banner of a
    restarted sketch) that is not like the rows is counted, but no sample; neither is the third unreadable line in a
    row, nor those after it, nor an empty line, nor one that holds other named columns only.

    A line in which one of two leads is unreadable is counted, and has NaN for that lead.

    Many attributes: four are those of every decoder.

    Args:
        mv: mV in one unit of the device's numbers.
        unit: that unit, or `adc`; None = as the lines state it, else mV.
        adc: scale of counts; a number beyond its range is unreadable. None = `mv`.
        signed: scale from _NEGATIVES negative counts in a row on, or where the layout has them; None = `adc`.
        column: number in a row, by name or from 0; None = the ECG is chosen.
        second: column of the second lead; None = one lead.
        layout: the chosen column, if it is known.

    Attributes:
        bad: lines so far that were unreadable, not finite or beyond MAX_MV; each but words and noise became NaN.
        example: one of them.
        problem: reason why these lines can never be read; else empty.
        layout: the column that is read; None before the first rows.
        mv, unit, adc: as given, or as the lines show it.
        rails_mv: range of the ADC, mV; None if unknown.
    """

    counter_values = 256  # lines have no counter

    def __init__(
        self,
        mv: float = 1.0,
        *,
        unit: str | None = None,
        adc: Adc | None = None,
        signed: Adc | None = None,
        column: str | int | None = None,
        second: str | int | None = None,
        layout: LineLayout | None = None,
    ) -> None:
        self.bad = 0
        self.example = ""
        self.problem = ""
        self.layout: LineLayout | None = None
        self.rails_mv = None if adc is None or adc.low <= -(1 << 31) else adc.rails_mv
        self.mv, self.unit = (mv if adc is None else adc.mv_per_count), unit or "mV"
        self._stated = unit is None and adc is None
        self.adc, self._signed, self._column, self._second = adc, signed, column, second
        self._leads = [_Lead()] if second is None else [_Lead(), _Lead()]
        self._rest = b""
        self._synchronised = False
        self._lines = self._pulses = self._bad_run = self._misfits = 0
        self._rows: list[Row] = []  # rows before the layout is known
        self._header: list[str] = []
        self._good = b""  # the last row that was read
        if layout is not None:
            self._take_layout(layout)

    def feed(self, data: bytes) -> Decoded:
        """Return the samples, mV, of the lines that `data` completes; NaN = leads off, or unreadable and counted."""
        *lines, rest = LINE_END.split(self._rest + data)
        if len(rest) > MAX_LINE:  # too long for a row: keep only enough to know that
            rest = rest[: MAX_LINE + 1]
        self._rest = rest
        if lines and not self._synchronised:
            self._synchronised = True
            del lines[0]
        samples = [mv for line in lines if line.strip() for mv in self._samples(line.strip())]
        shape = (-1,) if len(self._leads) == 1 else (-1, 2)
        return Decoded(np.array(samples, dtype=np.float64).reshape(shape))

    def restart(self) -> None:
        """Drop the incomplete line after a break of the stream and synchronise again."""
        self._rest = b""
        self._synchronised = False
        self._drop()

    def _drop(self) -> None:
        """Forget what waits for a decision."""
        for lead in self._leads:
            lead.digits.drop()
            lead.decided.clear()

    def _samples(self, line: bytes) -> list[Sample]:
        """Return the mV of a line; empty = no sample."""
        self._lines += 1
        try:
            if len(line) > MAX_LINE:
                raise ValueError(line)
            text = line.decode()
            if text.startswith("!"):
                return self._leads_off()
            rows = self._rows_of(text, line)
        except ValueError:  # UnicodeDecodeError is one
            return self._unreadable(line)
        layout = self.layout
        if layout is None:
            self._rows += rows
            layout = self._choose()
            if layout is None:
                return []
            rows, self._rows = self._rows, []
        return [mv for row in rows for mv in self._read(layout, row, line)]

    def _rows_of(self, text: str, line: bytes) -> list[Row]:
        """Parse a line; of two leads one may be readable where the other one is garbled.

        Raises:
            ValueError: no row of fields.
        """
        try:
            return parse_rows(text)
        except ValueError:
            if self.layout is None or self.layout.second is None or is_leads_off(text):
                raise
            if _WORDS.match(text) and not is_alike(line, self._good):
                raise
            return [parse_pieces(text)]

    def _read(self, layout: LineLayout, row: Row, line: bytes) -> list[Sample]:
        """Return the mV of a row."""
        samples: list[Sample] = []
        try:
            if layout.second is not None:
                samples += self._both(layout, row, line)
            elif (found := layout.field(row)) is not None:
                for value in found.values:
                    self._note_sign(self._leads[0], value)
                    samples += self._scaled(self._leads[0], value)
        except ValueError:
            self._misfits += 1
            if self._misfits >= _MISFITS and self._lines <= 2 * _JUDGED_ROWS:
                self.layout, self._misfits = None, 0
            return self._unreadable(line)
        self._bad_run = self._misfits = 0
        self._good = line
        return samples

    def _both(self, layout: LineLayout, row: Row, line: bytes) -> list[Sample]:
        """Return the mV of both leads of a row, with NaN for the lead that is unreadable or not in it.

        Raises:
            ValueError: neither is readable.
        """
        columns: list[tuple[float, ...]] = []
        for each in layout.leads:
            try:
                found = each.field(row)
            except ValueError:
                columns.append((_GARBLED,))
            else:
                columns.append(() if found is None else found.values)
        pairs = list(itertools.zip_longest(*columns, fillvalue=_NAN))
        samples: list[Sample] = []
        is_bad = False
        for pair in pairs:
            for lead, value in zip(self._leads, pair, strict=True):
                self._note_sign(lead, value)
            tried = [self._tried(lead, value) for lead, value in zip(self._leads, pair, strict=True)]
            if len(pairs) == 1 and not any(each is not None for each in tried):
                raise ValueError(line)
            is_bad = is_bad or None in tried
            samples += self._paired(
                self._counts(lead, _NAN) if each is None else each
                for lead, each in zip(self._leads, tried, strict=True)
            )
        if is_bad:
            self._note_bad(line)
        return samples

    def _tried(self, lead: _Lead, value: float) -> list[float] | None:
        try:
            return self._scaled(lead, value)
        except ValueError:
            return None

    def _paired(self, found: Iterable[list[float]]) -> list[Sample]:
        """Return the samples that are decided in all leads by these new ones of each."""
        if len(self._leads) == 1:
            return [mv for each in found for mv in each]
        for lead, each in zip(self._leads, found, strict=True):
            lead.decided.extend(each)
        ready = min(len(lead.decided) for lead in self._leads)
        return [[lead.decided.popleft() for lead in self._leads] for _ in range(ready)]

    def _missing(self) -> list[Sample]:
        """A sample without a value, of each lead."""
        return self._paired(self._counts(lead, _NAN) for lead in self._leads)

    def _scaled(self, lead: _Lead, value: float) -> list[float]:
        """Return the mV of a number, and of the one held before it; ValueError beyond the range."""
        if self.adc is None:
            mv = value * self.mv
            if abs(mv) > MAX_MV:
                raise ValueError(value)
            return [mv]
        if value < self.adc.low or value > self.adc.high:
            raise ValueError(value)
        return self._counts(lead, value)

    def _note_sign(self, lead: _Lead, value: float) -> None:
        lead.negatives = lead.negatives + 1 if value < 0 else 0
        if lead.negatives >= _NEGATIVES:
            self._take_signed()

    def _counts(self, lead: _Lead, value: float) -> list[float]:
        """Return the mV of the counts that are decided by this one."""
        if self.adc is None:
            return [value]
        scale = self.adc
        if scale.low < 0 or not self.bad:  # a pacing pulse may look like a lost digit: only where lines are garbled
            return [(value - scale.zero) * scale.mv_per_count]
        found = lead.digits.found
        counts = lead.digits.push(value)
        self.bad += lead.digits.found - found
        return [(count - scale.zero) * scale.mv_per_count for count in counts]

    def _take_signed(self) -> None:
        if self._signed is not None:
            self.adc, self._signed = self._signed, None
            self.mv, self.rails_mv = self.adc.mv_per_count, self.adc.rails_mv
            self._drop()  # a lead may hold a count, the other none

    def _choose(self) -> LineLayout | None:
        """Choose the column as soon as names make it clear, else after _JUDGED_ROWS by the values."""
        alone = len(self._rows) == 1 and len(self._rows[0]) == 1 and not self._rows[0][0].name
        named = all(field.name for field in self._rows[-1])
        if not (alone or named or self._column is not None or len(self._rows) >= _JUDGED_ROWS):
            return None
        try:
            self._take_layout(find_layout(self._rows, self._column, self._header, self._second))
        except SourceError as error:
            if len(self._rows) >= _JUDGED_ROWS or self._column is not None:
                self.problem = str(error).removeprefix(": ")
                self._rows.clear()
        return self.layout

    def _take_layout(self, layout: LineLayout) -> None:
        self.layout = layout
        if any(each.signed for each in layout.leads):
            self._take_signed()
        if not self._stated:
            return
        if layout.unit in UNITS:
            self.unit, self.mv = layout.unit, UNITS[layout.unit]
        leads = [each.label or f"column {each.position}" for each in layout.leads]
        try:
            check_units(leads, [each.unit if each.unit in UNITS else "mV" for each in layout.leads], "")
        except SourceError as error:
            self.problem = str(error).removeprefix(": ")

    def _leads_off(self) -> list[Sample]:
        self._bad_run = 0
        return self._missing()

    def _note_bad(self, line: bytes) -> None:
        self.bad += 1
        self.example = f"'{line[:20].decode('ascii', 'backslashreplace')}'"

    def _unreadable(self, line: bytes) -> list[Sample]:
        """Count a line without a readable sample; return NaN, or nothing where it is no sample."""
        text = line[:MAX_LINE].decode("latin-1")
        if is_leads_off(text):
            return self._leads_off()
        self._note_bad(line)
        self._pulses += _PULSE.match(text) is not None
        if self._pulses > 2 and self._lines <= _EARLY_LINES:
            self.problem = (
                f"lines such as {self.example} are a pulse sensor's: light through a finger (PPG) shows no QRS complex;"
                " connect an ECG amplifier, e.g. an AD8232"
            )
        if _WORDS.match(text) and not is_alike(line, self._good):
            self._header = words_of(text) or self._header
            return []
        self._bad_run += 1
        return self._missing() if self._bad_run <= _NOISE_LINES else []
