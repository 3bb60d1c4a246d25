"""Layout of a table: the column of the ECG, its unit, the time column and the rate, recognised from the first lines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.adc_counts import given_adc, looks_like_counts, unfit
from monitor.sources.channels import channel_list, check_units, choose, lead_names, refuse_same
from monitor.sources.options import SourceOptions
from monitor.sources.tables.cells import is_comment, number
from monitor.sources.tables.columns import Column, read_columns
from monitor.sources.tables.preamble import Stated, rate_in, read_preamble, units_in_words
from monitor.sources.tables.shape import Shape, recognise_shape
from monitor.sources.tables.time_column import TimeColumn, find_time
from monitor.sources.units import canonical_unit, mv_per, without_unit

__all__ = ["LeadColumn", "TableLayout", "recognise"]

Floats = NDArray[np.float64]

_SUMMARY = re.compile(r"(?!(?:nan|nat|na|null|none|inf)\b)[^\W\d_][^\d]+", re.IGNORECASE)
_SPACED_ROWS = 4  # rows that show it


class LeadColumn(NamedTuple):
    """The column of a lead.

    Attributes:
        column: from 0.
        lead: its name; `ECG` without one.
        mv, zero: mV = (number - zero) * mv.
        rails_mv: range of the given ADC, mV; None if unknown.
    """

    column: int
    lead: str
    mv: float
    zero: float
    rails_mv: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Layout of a table.

    Attributes:
        shape: delimiter, header, first row.
        leads: the columns to read, one or two.
        unit: their unit, or `adc`.
        time: the time column; None without one, or where it is not used.
        fs_hz: sampling rate, Hz.
        notice: what the user has to know of the layout; empty = nothing.
        blank_is_sample: an empty line is a missing sample.
        ordinals: columns with the place of the row: times, dates, an index.
    """

    shape: Shape
    leads: tuple[LeadColumn, ...]
    unit: str
    time: TimeColumn | None
    fs_hz: float
    notice: str
    blank_is_sample: bool
    ordinals: tuple[int, ...] = ()

    def number(self, cell: str) -> float:
        """Parse a cell; ValueError if it is no number."""
        return number(cell, self.shape.decimal_comma)

    def is_summary(self, row: Sequence[str]) -> bool:
        """Whether a row has a word where the others have their time or index: a footer, `Total,7500`."""
        for i in self.ordinals:
            cell = row[i].strip(" \"'") if i < len(row) else ""
            if cell[:1].isalpha() and _SUMMARY.fullmatch(cell):  # the first test is cheap: this runs for each row
                return True
        return False


def recognise(lines: Sequence[str], options: SourceOptions, name: str) -> TableLayout:
    """Recognise the layout, and note what was recognised.

    Args:
        lines: the first lines of the text.
        options: `column` (else `channel`), `second`, `fs_hz`, `unit`, `mv_per_unit`, `adc_bits`, `vref`, `gain`,
            `note`.
        name: of the source, for the errors.

    Raises:
        SourceError: no row, no clear choice of a column, no scale or no rate: one line with the remedy.
    """
    shape = recognise_shape(lines, options.column_or_channel is not None, name)
    stated = read_preamble(lines[: shape.first])
    shape = _with_stated_labels(shape, stated)
    body = [line for line in lines[shape.first :] if line.strip() and not is_comment(line)]
    rows = [shape.cells(line) for line in body]
    columns = read_columns(rows, shape.width, shape.labels, shape.units, shape.decimal_comma)
    _note_shape(shape, columns, options)
    chosen = _chosen(columns, options, name)
    leads = lead_names([_lead(columns[i], stated) for i in chosen], chosen)
    options.note("lead", " and ".join(leads))
    if stated.unit is None and options.unit is None and any(columns[i].mv_unit is None for i in chosen):
        stated.unit = _unit_in_words(lines[: shape.first], shape, name)
    try:
        scales = [_scale(columns[i], stated, options, name) for i in chosen]
    except SourceError as unscaled:
        try:  # name both, else the remedy for the scale alone would be refused for the rate
            _rate(shape, rows, columns, chosen, stated, options, name)
        except SourceError as unknown:
            raise SourceError(f"{unscaled}; {str(unknown).removeprefix(f'{name}: ')}") from None
        raise
    check_units(leads, [unit for unit, *_ in scales], name)
    unit = scales[0][0]
    options.note("unit", unit)
    time, fs_hz, notice = _rate(shape, rows, columns, chosen, stated, options, name)
    return TableLayout(
        shape,
        tuple(LeadColumn(i, lead, *scale[1:]) for i, lead, scale in zip(chosen, leads, scales, strict=True)),
        unit,
        time,
        fs_hz,
        notice,
        blank_is_sample=shape.width == 1 and time is None and not _is_spaced(lines[shape.first :]),
        ordinals=tuple(i for i, each in enumerate(columns) if i not in chosen and each.is_ordinal),
    )


def _is_spaced(lines: Sequence[str]) -> bool:
    """Whether empty lines stand between the rows, so that they are no missing samples."""
    filled = [i for i, line in enumerate(lines) if line.strip()]
    apart = sum(after - before > 1 for before, after in itertools.pairwise(filled))
    return len(filled) >= _SPACED_ROWS and apart >= 0.9 * (len(filled) - 1)


def _with_stated_labels(shape: Shape, stated: Stated) -> Shape:
    """Names and units of columns that stand in the preamble as lists, the time column without one."""
    labels, units = tuple(stated.labels), tuple(stated.units)
    if labels and not shape.labels and len(labels) in (shape.width, shape.width - 1):
        shape = replace(shape, labels=("time",) * (shape.width - len(labels)) + labels)
    if units and not shape.units and len(units) in (shape.width, shape.width - 1):
        shape = replace(shape, units=("",) * (shape.width - len(units)) + units)
    return shape


def _unit_in_words(above: Sequence[str], shape: Shape, name: str) -> str | None:
    """The unit in the lines above the first row that are no header, e.g. `# all values in uV`.

    Raises:
        SourceError: several units.
    """
    labels = [label for label in shape.labels if label]
    units = units_in_words([line for line in above if not labels or not all(label in line for label in labels)])
    if len(units) > 1:
        named = " and ".join(sorted(units))
        raise SourceError(f"{name}: the lines above its numbers name {named}; give the ECG's unit, e.g. --unit uV")
    # mV is the default; named in a sentence, it does not show that whole numbers such as 512 are no counts.
    return next(iter(units - {"mV"}), None)


def _note_shape(shape: Shape, columns: Sequence[Column], options: SourceOptions) -> None:
    between = {None: "blanks", "": "one column", "\t": "tabs"}.get(shape.delimiter, f"{shape.delimiter!r}")
    comma = ", decimal comma" if shape.decimal_comma else ""
    options.note("format", f"text table, {between}{comma}, first row in line {shape.first + 1}")
    options.note("columns", channel_list([column.channel for column in columns]))


def _chosen(columns: Sequence[Column], options: SourceOptions, name: str) -> tuple[int, ...]:
    """The columns to read, one or two."""
    first = _choose(columns, options.column_or_channel, name)
    if options.second is None:
        return (first,)
    channels = [column.channel for column in columns]
    chosen = first, choose(channels, options.second, name, "--column")
    refuse_same(channels, chosen, options.wanted, name)
    return chosen


def _choose(columns: Sequence[Column], wanted: str | int | None, name: str) -> int:
    channels = [column.channel for column in columns]
    if wanted is None and not any(channel.usable for channel in channels):
        # A flat line or a sawtooth beside a time: nothing else can be the ECG.
        numbers = [i for i, column in enumerate(columns) if column.is_number and not column.is_time]
        if len(numbers) == 1 or len(columns) == 1:
            return numbers[0] if numbers else 0
    usable = [i for i, channel in enumerate(channels) if channel.usable]
    if wanted is None and len(usable) == 1 and not columns[usable[0]].label:
        return usable[0]
    return choose(channels, wanted, name, "--column")


def _lead(column: Column, stated: Stated) -> str:
    label = column.label.strip()
    if label and canonical_unit(label) is None:
        return without_unit(label)
    return without_unit(stated.lead) if stated.lead else "ECG"


def _scale(
    column: Column, stated: Stated, options: SourceOptions, name: str
) -> tuple[str, float, float, tuple[float, float] | None]:
    """Unit, mV in one, zero and range of the ECG column."""
    adc = given_adc(options, name)
    if adc is not None:
        if options.unit == "adc" and options.mv_per_unit:
            raise SourceError(f"{name}: give --mv-per-unit, or --adc-bits --vref --gain, not both")
        if problem := unfit(adc, column.values, options.adc_bits):
            raise SourceError(f"{name}: {problem}")
        return "adc", adc.mv_per_count, float(adc.zero), adc.rails_mv
    unit = options.unit or column.mv_unit or stated.unit
    if unit is None and options.mv_per_unit:
        unit = "adc"
    counts = unit == "adc" or (unit is None and looks_like_counts(column.values) is not None)
    if counts and stated.mv_per_count and not options.mv_per_unit:
        options.note("scale", f"{stated.mv_per_count:g} mV a count, stated")
        return "adc", stated.mv_per_count, 0.0, None
    if unit == "adc" and not options.mv_per_unit:
        problem = looks_like_counts(column.values)
        if options.unit is None and problem:
            raise SourceError(f"{name}: {problem}")
        unit = options.unit
    if unit is None and (problem := looks_like_counts(column.values)):
        raise SourceError(f"{name}: {problem}")
    unit = unit or "mV"
    return unit, mv_per(unit, options.mv_per_unit, name), 0.0, None


def _rate(
    shape: Shape,
    rows: Sequence[Sequence[str]],
    columns: Sequence[Column],
    chosen: Sequence[int],
    stated: Stated,
    options: SourceOptions,
    name: str,
) -> tuple[TimeColumn | None, float, str]:
    """The time column, the sampling rate and what the user has to know of them."""
    spoken = stated.fs_hz or next((rate for label in shape.labels if (rate := rate_in(label))), None)
    given = options.fs_hz or spoken
    time = find_time(rows, columns, chosen, shape.decimal_comma, given)
    if time is None:
        options.note("time", "none")
    else:
        options.note("time", time.description)
    if given is None:
        if time is None:
            raise SourceError(f"{name}: the text has no time column for its sampling rate; give it, e.g. --fs 250")
        if time.problem:
            raise SourceError(f"{name}: {time.problem}")
        options.note("rate", f"{time.rate.fs_hz:g} Hz, by the time column")
        return time, time.rate.fs_hz, ""
    whose = f"--fs {given:g} Hz" if options.fs_hz else f"stated rate {given:g} Hz"
    options.note("rate", f"{given:g} Hz, {'--fs' if options.fs_hz else 'stated'}")
    if time is None or time.problem:
        return None, given, ""
    if abs(time.rate.fs_hz / given - 1.0) > 0.1:
        text = f"{whose}, but its column {time.label!r} says {time.rate.fs_hz:g} Hz; the column is not used"
        return None, given, text
    return time, given, ""
