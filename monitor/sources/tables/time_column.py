"""The time column of a table: which one, its unit, its rate. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.sources.options import FS_MAX_HZ, FS_MIN_HZ
from monitor.sources.tables.cells import number
from monitor.sources.tables.columns import Column
from monitor.sources.tables.times import DAY_S, TIME_UNITS, is_time_name, parse_stamp, time_unit
from monitor.sources.timing.stamp_rate import StampRate, measure_stamps, rough_rate

__all__ = ["TimeColumn", "find_time"]

Floats = NDArray[np.float64]

_UNKNOWN = StampRate(0.0, 0.0, False, 0.0, 0.0, 0.0)
_AGREES = 0.1  # by which a measured rate may differ from the given one
_WIDEST_HZ = (25.0, 4100.0)  # rates of which the unit of a time is plausible


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """How to read the times of rows.

    Attributes:
        label: its name, or its number.
        columns: number of the column, or of a date and of a clock.
        kind: `number`, `clock`, or `date and clock`.
        unit_s: s in one unit of a number.
        period_s: time after which it begins again (a clock without a date); 0 = never.
        day_first: of dates.
        decimal_comma: of numbers.
        rate: measured from the first rows.
        problem: why it gives no rate, with the remedy; empty = it gives one.
    """

    label: str
    columns: tuple[int, ...]
    kind: str
    unit_s: float
    period_s: float
    day_first: bool
    decimal_comma: bool
    rate: StampRate
    problem: str = ""

    @property
    def description(self) -> str:
        """One line for the user."""
        units = {scale: unit for unit, scale in TIME_UNITS.items()}
        kind = f"in {units.get(self.unit_s, 'samples')}" if self.kind == "number" else self.kind
        quality = "regular" if self.rate.exact else "late at times"
        return f"column {self.label!r}, {kind}, {quality}"

    def stamps(self, rows: Sequence[Sequence[str]]) -> Floats:
        """Times of rows, (n,) s; NaN where there is none."""
        out = np.full(len(rows), np.nan)
        if self.kind == "number":
            (column,) = self.columns
            for i, row in enumerate(rows):
                try:
                    out[i] = number(row[column], self.decimal_comma)
                except (ValueError, IndexError):
                    continue
            return out * self.unit_s
        for i, row in enumerate(rows):
            try:
                out[i] = sum(parse_stamp(row[column], self.day_first)[0] for column in self.columns)
            except (ValueError, IndexError):
                continue
        return out

    def unwrap(self, stamps: Floats, last: float | None) -> Floats:
        """Continue a clock over midnight (or the hour, of minutes and seconds).

        Args:
            stamps: as `stamps` gives them.
            last: the last finite time before them, as this function gave it.
        """
        finite = np.isfinite(stamps)
        if not self.period_s or not finite.any():
            return stamps
        out = stamps.copy()
        known = stamps[finite] if last is None else np.concatenate(([last], stamps[finite]))
        out[finite] = np.unwrap(known, period=self.period_s)[0 if last is None else 1 :]
        return out


def find_time(
    rows: Sequence[Sequence[str]],
    columns: Sequence[Column],
    leads: Sequence[int],
    decimal_comma: bool,
    fs_hz: float | None,
) -> TimeColumn | None:
    """Find the time column that gives the best rate; None where there is none.

    Args:
        rows: cells of the first rows.
        columns: what they hold.
        leads: the columns of the ECG.
        decimal_comma: numbers are written 0,5.
        fs_hz: rate that is known otherwise, Hz; then a column that agrees with it is the best, also sample numbers.
    """
    found: list[tuple[tuple[bool, ...], int, TimeColumn]] = []
    dates = [i for i, column in enumerate(columns) if column.kind == "date"]
    for i, column in enumerate(columns):
        if i in leads or not column.is_time or (column.kind == "index" and not is_time_name(column.label)):
            continue
        wanted = (dates[0], i) if column.kind == "clock" and dates else (i,)
        label = column.label or str(i)
        kind = "number" if column.kind in ("advancing", "index") else column.kind
        period_s = 0.0 if kind != "clock" or len(wanted) > 1 else _period(rows, i)
        day_first = columns[wanted[0]].day_first
        base = TimeColumn(label, wanted, kind, 1.0, period_s, day_first, decimal_comma, _UNKNOWN)
        made = _measured(base, rows, column, fs_hz)
        if made is not None:
            rate = made.rate
            known = fs_hz if fs_hz is not None else rate.fs_hz
            rank = (
                not made.problem,
                FS_MIN_HZ <= rate.fs_hz <= FS_MAX_HZ,
                abs(rate.fs_hz / known - 1.0) <= _AGREES,
                rate.exact,
                is_time_name(column.label) or kind != "number",
            )
            found.append((rank, -i, made))
    return max(found, key=lambda item: item[:2])[2] if found else None


def _period(rows: Sequence[Sequence[str]], column: int) -> float:
    """A clock of minutes and seconds may begin again after an hour, any other after a day."""
    colons = [row[column].split(".")[0].count(":") for row in rows[:50] if column < len(row)]
    return 3600.0 if colons and max(colons) == 1 else DAY_S


def _measured(
    base: TimeColumn, rows: Sequence[Sequence[str]], column: Column, fs_hz: float | None
) -> TimeColumn | None:
    """The column with its unit and its rate; None where it does not advance."""
    stamps = base.unwrap(base.stamps(rows), None)
    if base.kind != "number":
        rate = measure_stamps(stamps, fs_hz)
        return None if rate is None else replace(base, rate=rate)
    per_unit = rough_rate(stamps)  # samples in one unit of the column
    if not per_unit:
        return None
    stated = time_unit(column.label, column.unit)
    by_unit = {unit: per_unit / scale for unit, scale in TIME_UNITS.items()}
    if fs_hz is not None:
        near = [unit for unit, hz in by_unit.items() if abs(hz / fs_hz - 1.0) <= _AGREES]
        if near:
            return _scaled(base, stamps, TIME_UNITS[near[0]], fs_hz)
        if abs(per_unit - 1.0) <= _AGREES:  # sample numbers
            return _scaled(base, stamps, 1.0 / fs_hz, fs_hz)
    if stated is not None and (_WIDEST_HZ[0] <= by_unit[stated] <= _WIDEST_HZ[1] or stated == "min"):
        return _scaled(base, stamps, TIME_UNITS[stated])
    plausible = ("s", "ms", "us", "ns", "d")
    fits = [unit for unit in plausible if FS_MIN_HZ <= by_unit[unit] <= FS_MAX_HZ]
    fits = fits or [unit for unit in plausible if _WIDEST_HZ[0] <= by_unit[unit] <= _WIDEST_HZ[1]]
    step = 1 / per_unit
    if not fits or (stated is None and abs(step - 1.0) < 1e-3 and column.kind == "index"):
        problem = (
            f"its time column {base.label!r} steps by {step:g}: in s, ms, us, ns or samples? give the rate,"
            " e.g. --fs 250"
        )
        made = _scaled(base, stamps, TIME_UNITS[stated or "s"])
        return None if made is None else replace(made, problem=problem)
    return _scaled(base, stamps, TIME_UNITS[fits[0]])


def _scaled(base: TimeColumn, stamps: Floats, unit_s: float, fs_hz: float | None = None) -> TimeColumn | None:
    rate = measure_stamps(stamps * unit_s, fs_hz)
    return None if rate is None else replace(base, unit_s=unit_s, rate=rate)
