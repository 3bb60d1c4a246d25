"""What the columns of a table hold, by their values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.sources.channels import Channel, is_ecg, is_other_quantity
from monitor.sources.tables.cells import number
from monitor.sources.tables.times import day_is_first, is_time_name, parse_stamp
from monitor.sources.units import canonical_unit, is_no_voltage, unit_in_label

__all__ = ["Column", "read_columns"]

_ROWS = 3000  # rows that are judged
_FEW_ROWS = 10  # under these only a column of equal steps is a time
_LARGEST = 1e20  # a larger number is garbled; times in ns are under it
_RISING = 0.75  # share of steps that do not fall, of a column named as a time: stamps may be out of order
_MOST = 0.8  # share of cells of a kind

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        label: its name; empty = none.
        unit: as the unit row says; empty = it does not.
        kind: `signal`, `constant`, `index` (steps of 1), `advancing` (a time, or a counter), `clock`, `date`,
            `date and clock`, `text` or `empty`.
        values: (n,) numbers or times in s, NaN = neither.
        first: first cells.
        day_first: of a date.
    """

    label: str
    unit: str
    kind: str
    values: Floats
    first: str
    day_first: bool = True

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return self.kind in ("signal", "constant", "index", "advancing")

    @property
    def is_ordinal(self) -> bool:
        """Whether it holds the place of each row: a time, a date or an index."""
        return self.kind in ("advancing", "index", "clock", "date", "date and clock")

    @property
    def is_time(self) -> bool:
        """Whether it may be the time: by its values and its name."""
        if self.kind in ("clock", "date and clock"):
            return True
        if self.kind not in ("advancing", "index"):
            return False
        if is_time_name(self.label):
            return True
        return self.kind == "advancing" and not is_other_quantity(self.label) and not is_ecg(self.label)

    @property
    def channel(self) -> Channel:
        """The column for the choice of the ECG."""
        stated = self.unit if self.unit.strip() else unit_in_label(self.label) or ""
        named = is_ecg(self.label)
        usable = self.kind == "signal" or (named and self.kind in ("constant", "advancing", "index"))
        if is_no_voltage(stated) and named:  # a unit row of other words, e.g. CAL
            stated = unit_in_label(self.label) or ""
        return Channel(self.label, stated or None, usable=usable, first=self.first)

    @property
    def mv_unit(self) -> str | None:
        """Unit of its numbers, as `canonical_unit` gives it; None where it states none."""
        return canonical_unit(self.unit) or unit_in_label(self.label)


def read_columns(
    rows: Sequence[Sequence[str]], width: int, labels: Sequence[str], units: Sequence[str], decimal_comma: bool
) -> list[Column]:
    """Judge the columns of the first rows.

    Args:
        rows: cells of rows; some may be garbled.
        width: number of columns.
        labels, units: of the columns, as far as they have them.
        decimal_comma: numbers are written 0,5.
    """
    # One table may begin with rows of zeros: also the last rows are judged.
    judged = rows if len(rows) <= _ROWS else [*rows[: _ROWS // 2], *rows[-_ROWS // 2 :]]
    return [
        _column(
            [row[i] for row in judged if i < len(row)],
            labels[i] if i < len(labels) else "",
            units[i] if i < len(units) else "",
            decimal_comma,
        )
        for i in range(width)
    ]


def _column(cells: Sequence[str], label: str, unit: str, decimal_comma: bool) -> Column:
    filled = [cell for cell in cells if cell.strip(" \t\"'")]
    first = " ".join(cell.strip() for cell in filled[:3])
    first = first if len(first) <= 40 else first[:37] + "..."
    values = np.array([_number(cell, decimal_comma) for cell in filled])
    if not filled:
        return Column(label, unit, "empty", values, first)
    if np.isfinite(values).mean() >= 0.5:
        return Column(label, unit, _numeric_kind(values[np.isfinite(values)], is_time_name(label)), values, first)
    day_first = day_is_first(filled)
    stamps: list[float] = []
    kinds: list[str] = []
    for cell in filled:
        try:
            stamp_s, kind = parse_stamp(cell, day_first)
        except ValueError:
            continue
        stamps.append(stamp_s)
        kinds.append(kind)
    if len(kinds) >= _MOST * len(filled):
        kind = max(set(kinds), key=kinds.count)
        return Column(label, unit, kind, np.array(stamps), first, day_first)
    return Column(label, unit, "text", values, first)


def _number(cell: str, decimal_comma: bool) -> float:
    try:
        return number(cell, decimal_comma)
    except ValueError:
        return float("nan")


def _numeric_kind(values: Floats, named_time: bool) -> str:
    values = values[np.abs(values) < _LARGEST]
    if values.size < 3:
        return "signal"
    steps = np.diff(values)
    if not steps.any():
        return "constant"
    middle = float(np.median(steps))
    equal = float(np.mean(np.abs(steps - middle) <= 0.5 * abs(middle))) if middle > 0 else 0.0
    whole = bool((values == np.round(values)).all())
    if whole and middle == 1 and float(np.mean(steps == 1)) >= _MOST:
        return "index"
    if whole and middle > 0 and equal >= _MOST and values[-1] < values[0] + values.size * middle * 0.5:
        return "index"  # a counter that starts again
    rising = float(np.mean(steps >= 0))
    line = float(np.corrcoef(np.arange(values.size), values)[0, 1]) if values.size >= 50 else 0.0
    if named_time and values.size >= _FEW_ROWS and rising >= _RISING:
        return "advancing"  # also where the clock was set back
    if values[-1] <= values[0] or (rising < 0.98 and (rising < 0.85 or line < 0.995)):  # stamps of a host jitter
        return "signal"
    if values.size < _FEW_ROWS:
        return "advancing" if equal == 1.0 else "signal"
    # A slow wave rises too, but not from the first row to the last and by nearly equal steps, or in packets.
    rises = steps[steps > 0]
    steady = float(np.mean(np.abs(rises - np.median(rises)) <= 0.5 * np.median(rises)))
    return "advancing" if equal >= _MOST or steady >= _MOST or values.size >= 500 else "signal"
