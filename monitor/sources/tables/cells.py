"""Cells of a row: splitting by RFC 4180, numbers with a decimal point or comma. Pure."""

from __future__ import annotations

import csv
import re

from monitor.sources.options import parse_number

__all__ = ["COMMENTS", "DELIMITERS", "is_comment", "is_number", "number", "split"]

COMMENTS = ("#", "%", "//")
DELIMITERS: tuple[str | None, ...] = (";", "\t", "|", ",", None)  # None = blanks; in order of preference
_AROUND = " \t\r\n\f\x1a\u00a0\u202f\ufeff\"'"
_SPACE = re.compile(r"\s+")


def is_comment(line: str) -> bool:
    """Whether a line is a comment, by its first character."""
    return line.lstrip().startswith(COMMENTS)


def split(line: str, delimiter: str | None, quote: str = '"') -> list[str]:
    """Split a row; an open quote ends with the line.

    Args:
        line: without its end.
        delimiter: None = blanks; empty = one column.
        quote: character around cells.

    >>> split('"0,004", "a ""b"" c",3', ","), split(" 1  2 ", None), split("'0:00.003',1", ",", "'")
    (['0,004', 'a "b" c', '3'], ['1', '2'], ['0:00.003', '1'])
    """
    if delimiter == "":
        return [line]
    if quote in line:
        between = delimiter
        if between is None:
            line, between = _SPACE.sub(" ", line.strip()), " "
        try:
            for cells in csv.reader([line], delimiter=between, quotechar=quote, skipinitialspace=True):
                return cells
        except csv.Error:
            pass
    return line.split(delimiter)


def number(text: str, decimal_comma: bool = False) -> float:
    """Parse a cell.

    Raises:
        ValueError: no number, or not a finite one.

    >>> number("0.5"), number(' "-0,5" ', True), number("1.234,5", True), number("\u22121")
    (0.5, -0.5, 1234.5, -1.0)
    """
    text = text.strip(_AROUND).replace("\u2212", "-")
    if decimal_comma and "," in text:
        text = text.replace(".", "").replace(",", ".") if text.find(".") < text.find(",") else text.replace(",", "")
    return parse_number(text)


def is_number(text: str) -> bool:
    """Whether a cell is a number, with a decimal point or comma."""
    try:
        number(text, True)
    except ValueError:
        return False
    return True
