"""Shape of a table: delimiter, quotes, decimal comma, header, unit row, first row. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.errors import SourceError
from monitor.sources.channels import is_ecg, is_other_quantity
from monitor.sources.tables.cells import DELIMITERS, is_comment, is_number, split
from monitor.sources.tables.preamble import is_statement
from monitor.sources.tables.text import MAX_LINE, OVERLONG
from monitor.sources.tables.times import is_time_name, parse_stamp, time_unit
from monitor.sources.units import canonical_unit

__all__ = ["Shape", "has_number", "is_value", "recognise_shape"]

_SAMPLE = 200  # rows from which the delimiter is found
_ROW_START = re.compile(r"[\s\"'\[+\-\u2212.,;|]*\d")
_PIECES = re.compile(r"[;,|\t :=]+")
_NAMED_CELL = re.compile(r"(?:^|(?<=[,;|\t ]))(?P<name>[^\W\d][\w .()\[\]/-]*?)\s*[:=]\s*(?P<value>[+-]?\.?\d)")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?|[+-]?\d{1,3}(?:\.\d{3})+,\d+")
_PAIR = re.compile(r"(?P<whole>[+-]?\d+),(?P<part>\d+)(?:[eE][+-]?\d+)?")
_KIND_WORDS = {
    "",
    "raw",
    "cal",
    "uncal",
    "calibrated",
    "uncalibrated",
    "none",
    "-",
    "*",
    "no units",
    "n/a",
    "float",
    "int",
}
_HERTZ = re.compile(r"\d ?k?hz", re.IGNORECASE)
_BRACKETED_NAME = re.compile(r"[^()\[\]]+[(\[][^()\[\]]*[)\]]")
_SPACED_NAME = re.compile(r"\S+(?:\s+(?:[(\[][^()\[\]]*[)\]]|\d+(?!\S)))*")  # with its number and unit
_WHOLE = re.compile(r"[+-]?\d+")
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_]")
_FORMAT = re.compile(r"[hH:mMsSyYdD./\- ]{4,}(?:\.m+)?")  # hh:mm:ss.mmm in a unit row
_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "-"))  # cells without a value
_HEADER_LINES = 4  # lines above the first row that may be header, kinds and units


@dataclass(frozen=True, slots=True)
class Shape:
    """Shape of a table.

    Attributes:
        delimiter: None = blanks; empty = one column.
        quote: character around cells.
        decimal_comma: numbers are written 0,5.
        first: number of the first row among the lines, from 0.
        labels, units: of the header and the unit row; empty without.
        header: the header as a line; it may come again.
        width: number of columns.
        joined: two cells are one number with a decimal comma.
        named: each number has its name before it, `ECG:0.12`.
    """

    delimiter: str | None
    quote: str
    decimal_comma: bool
    first: int
    labels: tuple[str, ...]
    units: tuple[str, ...]
    header: str
    width: int
    joined: bool = False
    named: bool = False

    def cells(self, line: str) -> list[str]:
        """Split a row."""
        row = split(_without_names(line) if self.named else line, self.delimiter, self.quote)
        return _joined(row) if self.joined else row


def is_value(cell: str) -> bool:
    """Whether a cell is a number, a clock or a date."""
    if is_number(cell):
        return True
    try:
        parse_stamp(cell)
    except ValueError:
        return False
    return True


def has_number(line: str) -> bool:
    """Whether any part of a line is a number; otherwise it is a header, a banner or garbage."""
    return not is_comment(line) and any(map(is_number, _PIECES.split(line)))


def recognise_shape(lines: Sequence[str], may_be_pair: bool, name: str) -> Shape:
    """Recognise the shape.

    Args:
        lines: the first lines of the text.
        may_be_pair: `1,5` in every row is two columns, because the user names one.
        name: of the source, for the error.

    Raises:
        SourceError: no row, or one that may be one or two numbers.
    """
    sample = _sample(lines)
    if not sample and OVERLONG in lines:
        raise SourceError(f"{name}: a line is longer than {MAX_LINE} bytes; write one row a sample")
    if not sample:
        raise SourceError(f"{name}: the text holds no number")
    quote = "'" if any(line.lstrip().startswith("'") for line in sample) and not any('"' in s for s in sample) else '"'
    named = _names_in_cells(sample)
    if named:
        sample = [_without_names(line) for line in sample]
        lines = [_without_names(line) for line in lines]
    delimiter = _delimiter(sample, quote)
    if delimiter == "," and not may_be_pair and all(_PAIR.fullmatch(line.strip()) for line in sample):
        delimiter = _pair(lines, sample, name)
    rows = [split(line, delimiter, quote) for line in sample]
    width = Counter(map(len, rows)).most_common(1)[0][0]
    while width > 1 and not any(row[width - 1].strip() for row in rows if len(row) == width):
        width -= 1  # a delimiter ends each row
        rows = [row[:width] for row in rows]
    decimal_comma = any(_DECIMAL_COMMA.fullmatch(cell.strip(" \"'")) for row in rows for cell in row)
    joined = delimiter == "," and not decimal_comma and _is_paired(lines, rows, width)
    if joined:  # time and ECG as 0,004,-0,125
        rows, width, decimal_comma = [_joined(row) for row in rows], width // 2, True
    valued = _valued([row for row in rows if len(row) == width], width)
    first = _first_row(lines, delimiter, quote, width, valued, joined)
    if not valued or first is None:
        raise SourceError(f"{name}: the text holds no number")
    labels, units, header = _header(lines[:first], delimiter, quote, width)
    labels = named if len(named) == width and not labels else labels
    return Shape(delimiter, quote, decimal_comma, first, labels, units, header, width, joined, bool(named))


def _sample(lines: Sequence[str]) -> list[str]:
    """Lines that seem to be rows, from the end: a preamble stands before them."""
    rows = [line for line in lines if _ROW_START.match(line) and not is_statement(line)]
    if len(rows) < 2:
        rows = [line for line in lines if has_number(line) and not is_statement(line)] or rows
    return rows[-_SAMPLE:]


def _delimiter(sample: Sequence[str], quote: str) -> str | None:
    best: str | None = ""
    most = 0.0
    for delimiter in DELIMITERS:
        rows = [split(line, delimiter, quote) for line in sample]
        width = Counter(map(len, rows)).most_common(1)[0][0]
        if width < 2:
            continue
        alike = [row for row in rows if len(row) == width]
        filled = [cell for row in alike for cell in row if cell.strip()]
        values = sum(map(is_value, filled)) / max(1, len(filled))
        score = values * len(alike) / len(rows)
        if score > most + 1e-6:
            best, most = delimiter, score
    return best if most >= 0.2 else ""


def _pair(lines: Sequence[str], sample: Sequence[str], name: str) -> str:
    """Whether rows such as 1,5 are one number or two."""
    first = next(i for i, line in enumerate(lines) if _PAIR.fullmatch(line.strip()))
    above = next((line.strip() for line in reversed(lines[:first]) if line.strip() and not is_comment(line)), "")
    if above and not is_statement(above) and _WORD.search(above):
        return "," if "," in above else ""
    pairs = [found for line in sample if (found := _PAIR.fullmatch(line.strip()))]
    if any(pair["whole"] in ("-0", "+0") or (len(pair["part"]) > 1 and pair["part"][0] == "0") for pair in pairs):
        return ""
    raise SourceError(
        f"{name}: {sample[0].strip()!r} may be one number with a decimal comma or two columns;"
        " write decimal points, or name the column (--column 0)"
    )


def _names_in_cells(sample: Sequence[str]) -> tuple[str, ...]:
    """Names of columns where each row repeats them, `ECG:0.12,RESP:3` (the plotter of the Arduino IDE); else empty."""
    found = [tuple(pair["name"] for pair in _NAMED_CELL.finditer(line)) for line in sample]
    names, count = Counter(found).most_common(1)[0]
    return names if names and count >= 0.6 * len(sample) else ()


def _without_names(line: str) -> str:
    return _NAMED_CELL.sub(lambda pair: pair["value"], line)


def _joined(row: Sequence[str]) -> list[str]:
    """Cells of which two are one number."""
    return [",".join(row[i : i + 2]) for i in range(0, len(row), 2)]


def _valued(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Columns with values in more than half of the rows; without one, those with the most values."""
    counts = [sum(is_value(row[i]) for row in rows) for i in range(width)]
    most = max(counts, default=0)
    return [i for i, count in enumerate(counts) if 2 * count > len(rows) or (0 < count == most)]


def _is_paired(lines: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the numbers are written 0,5 between commas: whole numbers, twice as many as names in the header."""
    if width % 2 or not all(_WHOLE.fullmatch(row[i]) for row in rows if len(row) == width for i in range(0, width, 2)):
        return False
    if not all(_DIGITS.fullmatch(row[i]) for row in rows if len(row) == width for i in range(1, width, 2)):
        return False
    names = [line for line in lines[:_SAMPLE] if not is_comment(line) and not has_number(line) and line.strip()]
    return bool(names) and len(split(names[-1], ",")) == width // 2


def _first_row(
    lines: Sequence[str], delimiter: str | None, quote: str, width: int, valued: Sequence[int], joined: bool
) -> int | None:
    """The first line with values where the rows have them, if a row follows it; the only row, if there is one."""
    found: list[int] = []
    blanks: list[int] = []
    waiting = 0
    for number, line in enumerate(lines):
        if not line.strip() or is_comment(line):
            continue
        row = split(line, delimiter, quote)
        row = _joined(row) if joined else row
        good = sum(i < len(row) and is_value(row[i]) for i in valued)
        blank = sum(i < len(row) and row[i].strip(" \"'").lower() in _MISSING for i in valued)
        if abs(len(row) - width) <= 2 and good and good + blank >= max(1, len(valued) - len(valued) // 3):
            if is_statement(line) and width <= 2 and not found:
                continue
            found.append(number)
            blanks.append(blank)
            if len(found) == 2:
                return found[blanks[0] > blanks[1]]  # a row of counts may stand above
        elif found and blank < len(valued):
            waiting += 1
            if waiting > 3 and len(lines) > number + 20:  # a lone number in a preamble
                found, blanks, waiting = [], [], 0
    return found[0] if found else None


def _header(
    above: Sequence[str], delimiter: str | None, quote: str, width: int
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Labels, units and the header's line, from the lines above the first row."""
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    plain = [line for line in above if line.strip() and not is_comment(line)]
    for line in reversed(plain[-_HEADER_LINES:]):
        row = _labels(line, delimiter, quote, width)
        if row is None or is_statement(line):
            break
        if not units and _is_unit_row(row):
            units = row
        elif not all(cell.lower() in _KIND_WORDS for cell in row) and any(_WORD.search(cell) for cell in row):
            return row, units, line
    if units:
        own = tuple(cell if canonical_unit(cell) or time_unit("", cell) else "" for cell in units)
        return units, own, ""  # a header such as s,mV
    for line in reversed([line for line in above if is_comment(line)][-_HEADER_LINES:]):
        text = line.strip().lstrip("#%/ \t")
        for between in dict.fromkeys((delimiter, ",", ";", "\t", None)):
            row = _labels(text, between, quote, width) if width > 1 or not is_statement(text) else None
            if row is not None and width > 1 and not is_statement(text) and all(map(_is_label, row)):
                if _is_unit_row(row) and not units:
                    units = row
                    break
                return row, units, ""
    return labels, units, ""


def _labels(line: str, delimiter: str | None, quote: str, width: int) -> tuple[str, ...] | None:
    """The cells of a header; None where their number is not that of the columns."""
    row = split(line.strip("\r\n"), delimiter, quote)
    if delimiter is None and len(row) != width:
        apart = re.split(r"\t|\s{2,}|[;,]\s*", line.strip())
        row = apart if len(apart) == width else _names_of_words(line) if len(row) > width else row
    if quote == '"' and all(cell.strip()[:1] == "'" for cell in row if cell.strip()):
        row = split(line, delimiter, "'")
    row = [cell.strip(" \t\r\"'\ufeff") for cell in row]
    while len(row) > width and not row[-1]:
        row.pop()
    if len(row) == width - 1 and width > 2:
        row = ["", *row] if not row[0] or delimiter != "" else row
    if width == 1 and len(row) > 1:
        return None
    return tuple(row) if len(row) == width else None


def _names_of_words(line: str) -> list[str]:
    """Names of columns of several words between blanks, where each ends with its unit in brackets or has one word.

    >>> _names_of_words("Time (s) ECG lead II [uV]"), _names_of_words("time (s) Channel 1")
    (['Time (s)', 'ECG lead II [uV]'], ['time (s)', 'Channel 1'])
    """
    bracketed = _BRACKETED_NAME.findall(line)
    if bracketed and not _BRACKETED_NAME.sub("", line).strip():
        return [name.strip() for name in bracketed]
    return _SPACED_NAME.findall(line)


def _is_label(cell: str) -> bool:
    """Whether a cell of a comment may be the name of a column: words, not a sentence."""
    return not cell or (_WORD.search(cell) is not None and len(cell.split()) <= 3 and not _HERTZ.search(cell))


def _is_unit_row(row: Sequence[str]) -> bool:
    """Whether every cell is a unit, a format of time, or empty, and one is a unit."""
    units = [cell for cell in row if canonical_unit(cell) or time_unit("", cell) or _FORMAT.fullmatch(cell)]
    others = [cell for cell in row if cell not in units and cell.lower() not in _KIND_WORDS]
    short = all(len(c) <= 8 and not (is_ecg(c) or is_other_quantity(c) or is_time_name(c)) for c in others)
    real = [cell for cell in units if cell.lower() not in ("raw",)]
    return bool(real) and (not others or (short and len(real) >= len(others)))
