"""Layout of a device's lines: which column is the ECG, and its unit, from the first rows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from monitor.errors import SourceError
from monitor.sources.channels import Channel, channel_list, choose_leads, is_ecg, is_other_quantity
from monitor.sources.column_values import ENOUGH, is_held, is_steady
from monitor.sources.serial.line_fields import Field, Row
from monitor.sources.units import canonical_unit, unit_in_label, without_unit

__all__ = ["LineLayout", "find_layout"]

_SEEN: Final = 0.1  # share of the rows that a name must be in; a garbled name is in fewer
_NEGATIVE: Final = 0.05  # share of negative numbers of signed ones; a minus may be garbled in
_SAME_FORM: Final = 0.95  # share of numbers with the usual decimals: some rows may be garbled
_FIRST: Final = 3  # values in a list of columns


class LineLayout(NamedTuple):
    """The column to read.

    Attributes:
        name: name in every row; empty = the column has a position instead.
        position: number in a row of `width` unnamed fields, from 0.
        width: fields of a row; used where `name` is empty.
        names: all names that occur; a row with others of them only is no sample.
        label: name for the user, without the unit; empty = none.
        unit: canonical unit that a row or the name states; None = none.
        columns: all columns in one line, for the user.
        signed: some of the numbers are negative.
        decimals: decimals of nearly all numbers; another number is garbled. None = they vary, or are not known.
        second: the column of the second lead; None where one lead is read.
    """

    name: str
    position: int
    width: int
    names: frozenset[str]
    label: str
    unit: str | None
    columns: str
    signed: bool = False
    decimals: int | None = None
    second: LineLayout | None = None

    @property
    def leads(self) -> tuple[LineLayout, ...]:
        """The columns to read, one or two."""
        return (self,) if self.second is None else (self, self.second)

    def field(self, row: Row) -> Field | None:
        """The wanted field of a row with a number of the usual form; None where the row holds other named columns only.

        Raises:
            ValueError: the row has another form.
        """
        if not self.name:
            if len(row) != self.width:
                raise ValueError(f"{len(row)} fields")
            return self._checked(row[self.position])
        named = {field.name: field for field in row}
        if self.name in named and "" not in named:
            return self._checked(named[self.name])
        if all(name in self.names or is_other_quantity(name) for name in named):
            return None  # e.g. a heart rate once a beat
        raise ValueError(f"no {self.name}")

    def _checked(self, field: Field) -> Field:
        if self.decimals is not None and field.decimals not in (None, self.decimals):
            raise ValueError(f"{field.decimals} decimals")
        return field


def find_layout(
    rows: Sequence[Row],
    wanted: str | int | None = None,
    header: Sequence[str] = (),
    second: str | int | None = None,
) -> LineLayout:
    """Choose the ECG among the columns of rows.

    Args:
        rows: at least one.
        wanted: column by name or number; None = choose by names and units, without names by the values.
        header: names from a header line, used for rows of as many unnamed columns.
        second: column of the second lead; None = one lead.

    Raises:
        SourceError: the choice is not clear, there is no such column, or two columns are never in one row; the text
            begins with ": ".
    """
    by_name = sum(all(field.name for field in row) for row in rows) > len(rows) / 2
    if by_name:
        seen = Counter(field.name for row in rows for field in row)
        labels = [name for name, n in seen.items() if n >= _SEEN * max(seen.values())]
        columns = [[field for row in rows for field in row if field.name == name] for name in labels]
        width = len(labels)
    else:
        width = Counter(len(row) for row in rows).most_common(1)[0][0]
        fitting = [row for row in rows if len(row) == width]
        names = [_usual([row[i].name for row in fitting]) for i in range(width)]
        labels = list(header) if len(header) == width else names
        columns = [[row[i] for row in fitting] for i in range(width)]
    channels = _channels(labels, columns)
    chosen = choose_leads(channels, (wanted,) if second is None else (wanted, second), "", "--column")
    layouts = [
        LineLayout(
            name=labels[i] if by_name else "",
            position=i,
            width=width,
            names=frozenset(labels) if by_name else frozenset(),
            label=without_unit(labels[i]),
            unit=canonical_unit(channels[i].unit or "") or unit_in_label(labels[i]),
            columns=channel_list(channels),
            signed=bool(np.mean([value < 0 for field in columns[i] for value in field.values]) > _NEGATIVE),
            decimals=_decimals(columns[i]),
        )
        for i in chosen
    ]
    if len(layouts) == 1:
        return layouts[0]
    if by_name:
        _check_together(rows, *(layout.name for layout in layouts))
    return layouts[0]._replace(second=layouts[1])


def _check_together(rows: Sequence[Row], first: str, second: str) -> None:
    """Refuse two leads that come in lines of their own: which samples belong together is not known."""
    held = [{field.name for field in row} & {first, second} for row in rows]
    if sum(len(names) == 2 for names in held) < sum(len(names) == 1 for names in held):
        raise SourceError(f": {first} and {second} come in separate lines; write both in one line, or read one of them")


def _decimals(column: Sequence[Field]) -> int | None:
    written = [field.decimals for field in column if field.decimals is not None]
    if len(written) < ENOUGH:
        return None
    usual, n = Counter(written).most_common(1)[0]
    return usual if n >= _SAME_FORM * len(written) else None


def _channels(labels: Sequence[str], columns: Sequence[Sequence[Field]]) -> list[Channel]:
    values = [[value for field in column for value in field.values] for column in columns]
    steady = [is_steady(numbers) for numbers in values]
    held = [is_held(numbers) for numbers in values]
    all_held = all(held[i] or steady[i] for i in range(len(values)))  # the electrodes may be off at the start
    channels = []
    for i, label in enumerate(labels):
        usable = not steady[i] and (not held[i] or all_held or is_ecg(label))
        first = " ".join(f"{value:g}" for value in values[i][:_FIRST])
        channels.append(
            Channel(label, _usual([field.unit for field in columns[i]]) or None, usable=usable, first=first)
        )
    return channels


def _usual(texts: Sequence[str | None]) -> str:
    """The most frequent of some texts; a garbled row may lack it."""
    return Counter(text or "" for text in texts).most_common(1)[0][0]
