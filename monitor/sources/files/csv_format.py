"""Layout of the numbers in a text file, recognised from its beginning."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.options import FS_MAX_HZ, FS_MIN_HZ, SourceOptions, parse_number
from monitor.sources.units import canonical_unit, mv_per, unit_in_label

__all__ = ["HEAD_BYTES", "CsvFormat", "sniff"]

HEAD_BYTES = 65_536
_SNIFF_LINES = 400
_TIME_NAME = re.compile(
    r"^(elapsed[ _]?time|time ?stamp|time|zeit|temps|tiempo|seconds?|secs?|millis(econds?)?|t|s|ms)(?![a-z0-9])",
    re.IGNORECASE,
)
_MS_NAME = re.compile(r"(^|[^a-z])(ms|millis\w*|msecs?)([^a-z]|\Z)", re.IGNORECASE)
_UNIT_IN_NAME = re.compile(r"[(\[/_ ](mv|uv|µv|v)[)\]]?\Z", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"^[+-]?\d+,\d+([eE][+-]?\d+)?\Z")
_IRREGULAR_SHARE = 0.1  # share of steps off by half a sample or more above which it is no sampled signal
_COUNTING_ROWS = 10
_FS_TOLERANCE = 0.01
_FS_SNAP = 0.001  # times rounded to ms give 359.98 Hz for 360 Hz


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """Layout of a text file.

    Attributes:
        encoding: encoding of the text.
        newline: characters that end a line.
        delimiter: text between columns; None = white space; empty = one column.
        decimal_comma: numbers are written 0,123.
        header_lines: lines before the first row of numbers.
        column: column of the ECG, from 0.
        lead: name of that column; `ECG` without a header.
        time_column: column of the time; None without one.
        time_s: seconds in one unit of the time column.
        fs_hz: sampling rate, Hz.
        unit: unit of the ECG column, or `adc`.
        mv: mV in one unit of the ECG column.
    """

    encoding: str
    newline: str
    delimiter: str | None
    decimal_comma: bool
    header_lines: int
    column: int
    lead: str
    time_column: int | None
    time_s: float
    fs_hz: float
    unit: str
    mv: float

    def fields(self, line: str) -> list[str]:
        """Split a line into columns."""
        return _split(line, self.delimiter)

    def number(self, text: str) -> float:
        """Parse a column; ValueError if it is no number."""
        text = text.strip(" \t\r\"'")
        return parse_number(text.replace(",", ".") if self.decimal_comma else text)


def _split(line: str, delimiter: str | None) -> list[str]:
    return [line] if delimiter == "" else line.split(delimiter)


def _is_number(text: str) -> bool:
    try:
        parse_number(text.strip(" \t\"'").replace(",", ".", 1))
    except ValueError:
        return False
    return True


def _decode(head: bytes, name: str) -> tuple[str, str]:
    """Decode the file's beginning: text and encoding."""
    if not head:
        raise SourceError(f"{name}: the file is empty")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SourceError(f"{name}: the text is UTF-16; save it as UTF-8")
    controls = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    if b"\x00" in head or controls > max(16, 0.05 * len(head)):
        raise SourceError(f"{name}: this is a binary file, no text; WFDB records are read with wfdb:PATH")
    for encoding in ("utf-8-sig", "latin-1"):
        try:
            # The head may end within a character, so only whole lines are decoded.
            return head[: head.rfind(b"\n") + 1 or len(head)].decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes everything")


def sniff(head: bytes, options: SourceOptions, name: str) -> CsvFormat:
    """Recognise the layout.

    Args:
        head: the first HEAD_BYTES of the file, or all of it.
        options: `column` (else `channel`), `fs_hz`, `unit`, `mv_per_unit`.

    Raises:
        SourceError: empty, binary, ambiguous, no such column, no sampling rate: one line with the remedy.
    """
    text, encoding = _decode(head, name)
    newline = "\n" if "\n" in text or "\r" not in text else "\r"
    lines = text.split(newline)
    skipped = 0
    while skipped < len(lines) and (not lines[skipped].strip() or lines[skipped].lstrip().startswith("#")):
        skipped += 1
    lines = [line.strip("\r") for line in lines[skipped : skipped + _SNIFF_LINES]]
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise SourceError(f"{name}: the file holds no number")

    has_header = not any(_is_number(field) for field in re.split(r"[;,\t ]+", lines[0].strip()))
    has_units = (
        has_header
        and len(lines) > 1
        and any(_unit(field) for field in re.split(r"[;,\t ]+", lines[1]))
        and not any(_is_number(field) for field in re.split(r"[;,\t ]+", lines[1].strip()))
    )
    rows = lines[has_header + has_units :]
    delimiter = _delimiter(rows or lines, lines[0] if has_header else None)
    named = [field.strip(" \t\"'") for field in _split(lines[0].strip(), delimiter)] if has_header else []
    split = [_split(row.strip(), delimiter) for row in rows[:50]]
    width = max([len(named), *map(len, split)])
    decimal_comma = delimiter != "," and any(
        _DECIMAL_COMMA.match(field.strip(" \t\"'")) for row in rows for field in _split(row, delimiter)
    )
    if delimiter == "," and width == 2 and not has_header and options.column_or_channel is None:
        pairs = [row.split(",") for row in rows]
        if all(len(p) == 2 and re.fullmatch(r"[+-]?\d+", p[0].strip()) and p[1].strip().isdecimal() for p in pairs):
            raise SourceError(
                f"{name}: {rows[0].strip()!r} may be one number with a decimal comma or two columns;"
                " write decimal points, or name the column (--column 0)"
            )

    time_column = next((i for i, field in enumerate(named) if _TIME_NAME.match(field)), None)
    if time_column is None and named:  # its name may be in another language
        columns = [[fields[i] for fields in split if i < len(fields)] for i in range(width)]
        time_column = next((i for i, cells in enumerate(columns) if _advances(cells, decimal_comma)), None)
    if time_column is not None and width == 1:
        time_column = None
    column = _column(named, width, time_column, options, name)
    lead = named[column] if named else "ECG"
    header_unit = _unit(lead)
    if header_unit is None and has_units:
        units = _split(lines[1].strip(), delimiter)
        header_unit = _unit(units[column]) if column < len(units) else None
    unit = options.unit or header_unit or "mV"
    layout = CsvFormat(
        encoding=encoding,
        newline=newline,
        delimiter=delimiter,
        decimal_comma=decimal_comma,
        header_lines=skipped + has_header + has_units,
        column=column,
        lead=_UNIT_IN_NAME.sub("", lead).strip() or lead,
        time_column=None,
        time_s=1.0,
        fs_hz=options.fs_hz or 0.0,
        unit=unit,
        mv=mv_per(unit, options.mv_per_unit, name),
    )
    return _with_time(layout, rows, named, time_column if time_column != column else None, options, name)


def _advances(cells: list[str], decimal_comma: bool) -> bool:
    """Whether a column advances by the same step in every row: a time or a sample number, no ECG."""
    if len(cells) < _COUNTING_ROWS:
        return False
    try:
        numbers = [parse_number(cell.strip(" \t\"'").replace(",", "." if decimal_comma else ",")) for cell in cells]
    except ValueError:
        return False
    steps = np.diff(np.array(numbers))
    return bool(steps.min() > 0 and np.ptp(steps) <= 0.5 * np.median(steps))


def _unit(text: str) -> str | None:
    """Return the unit in a header, as canonical_unit spells it; None without one."""
    text = text.strip(" \t\"'")
    return unit_in_label(text) or (canonical_unit(text) if text.lower() != "v" else None)


def _delimiter(rows: list[str], header: str | None) -> str | None:
    for delimiter in (";", "\t"):
        if any(delimiter in row for row in rows):
            return delimiter
    if any("," in row for row in rows):
        # Under a header of one column, 0,123 is one number.
        return "" if header is not None and "," not in header else ","
    return None if any(len(row.split()) > 1 for row in rows) else ""


def _column(named: list[str], width: int, time_column: int | None, options: SourceOptions, name: str) -> int:
    wanted = options.column_or_channel
    listing = ", ".join(f"{i} {field}" for i, field in enumerate(named)) if named else f"0 to {width - 1}"
    if wanted is not None:
        if wanted in named:
            return named.index(str(wanted))
        if str(wanted).isdecimal() and int(wanted) < width:
            return int(wanted)
        raise SourceError(f"{name}: no column {wanted!r}; columns: {listing}")
    if width == 1:
        return 0
    if not named:
        raise SourceError(f"{name}: {width} columns and no header; choose one with --column, {listing}")
    return next(i for i in range(width) if i != time_column)


def _with_time(
    layout: CsvFormat, rows: list[str], named: list[str], time_column: int | None, options: SourceOptions, name: str
) -> CsvFormat:
    """Complete `layout` with the sampling rate: as given, else from the time column; both must agree."""
    times: list[float] = []
    if time_column is not None:
        for row in rows:
            fields = layout.fields(row)
            try:
                times.append(layout.number(fields[time_column]))
            except (ValueError, IndexError):
                continue
    if time_column is None or len(times) < 3:
        if options.fs_hz is None:
            raise SourceError(f"{name}: the file has no time column for its sampling rate; give it, e.g. --fs 250")
        return layout
    rate, time_s = _rate(np.diff(np.array(times)), named[time_column], options.fs_hz, name)
    return replace(layout, time_column=time_column, time_s=time_s, fs_hz=rate)


def _rate(steps: NDArray[np.float64], column: str, fs_hz: float | None, name: str) -> tuple[float, float]:
    """Return the sampling rate, Hz, and the seconds in one unit of the time column.

    The unit is the one in the column's name, else that of s and ms which gives a supported rate. With `fs_hz` it is the
    unit that agrees with it, also a sample number. `steps` are the differences between the times of neighbouring rows.
    """
    steps = steps[steps > 0]
    step = float(np.median(steps)) if steps.size else 0.0
    if step <= 0:
        raise SourceError(f"{name}: its time column {column!r} does not advance; give --fs and --column")
    regular = steps[np.abs(steps - step) < 0.5 * step]
    if regular.size < (1 - _IRREGULAR_SHARE) * steps.size:
        raise SourceError(f"{name}: the steps of its time column {column!r} are irregular; resample it first")
    mean = float(regular.mean())
    units = [1e-3] if _MS_NAME.search(column) else [1.0, 1e-3]
    if fs_hz is not None:
        for time_s in [*units, 1 / fs_hz]:
            if abs(1 / (mean * time_s) - fs_hz) <= _FS_TOLERANCE * fs_hz:
                return fs_hz, time_s
    rates = [(rate, time_s) for time_s in units if FS_MIN_HZ <= (rate := _snap(1 / (mean * time_s))) <= FS_MAX_HZ]
    if fs_hz is not None and rates:
        raise SourceError(f"{name}: --fs {fs_hz:g} Hz, but its column {column!r} says {rates[0][0]:g} Hz")
    if rates and not (mean == 1 and len(units) > 1):
        return rates[0]
    raise SourceError(
        f"{name}: its time column {column!r} steps by {step:g}: s, ms or samples? name it time_s or time_ms,"
        " or give --fs"
    )


def _snap(rate: float) -> float:
    return float(round(rate)) if abs(rate - round(rate)) < _FS_SNAP * rate else rate
