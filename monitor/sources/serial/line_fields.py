"""Fields of a line of text from a device: names, numbers, units. Pure.

Read are rows as the sketches of microcontrollers write them: `512`, `0.12;0.34`, `ECG:0.1 RESP:2`, `ECG=512`,
`>512;`, `$ECG,12345,512*5A`, `ecg 0.12 mV`, Teleplot (`>ecg:1627551892437:512`, github.com/nesnes/teleplot), the log of
the ESP-IDF (`I (1234) ECG: 512`), rows after a time of day, and JSON objects and arrays, also as Python prints them.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final, NamedTuple

from monitor.sources.channels import is_ecg
from monitor.sources.options import parse_number
from monitor.sources.units import ADC, canonical_unit

__all__ = [
    "LINE_END",
    "Field",
    "Row",
    "is_alike",
    "is_leads_off",
    "lines_of",
    "parse_pieces",
    "parse_rows",
    "words_of",
]

LINE_END: Final = re.compile(rb"[\r\n]")  # LF, CR, CRLF and LF CR: an empty line is nothing
_DIGIT: Final = re.compile(rb"[0-9]")
_NAN: Final = float("nan")
_MOST_FIELDS: Final = 64
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
# What may stand before the fields: the log prefix of the ESP-IDF, a time of day, signs.
_BEFORE: Final = re.compile(
    r"[IWED] \(\d+\) |\[?\d{1,2}:\d{1,2}:\d{1,2}(?:[.,]\d+)?\]?\s*(?:->)?[\s,;]*|[>$#*<(\[\s\"']+"
)
_AFTER: Final = re.compile(r"(?:\*[0-9A-Fa-f]{2}|[)\]>\"'*#\s,;|]+)\Z")
_UNITS: Final = r"(?:milli|micro|nano|[munµμ])?v(?:olts?)?|adc|lsb|counts?|raw"
_OTHER_UNITS: Final = r"%|bpm|hz|ms|us|s|g|mmhg|°?c|rpm|brpm|ohms?|kg|lux"
_FIELD: Final = re.compile(
    r"""\s*(?:(?P<name>[^\W\d][^,;:=|\t"{}!]*?|"[^"]*")(?:\s*(?P<is>[:=])\s*(?:\d{6,}:)?|[,;\s]+))?
    (?P<value>!|[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)
    (?:(?:§|\s*)(?P<unit>"""
    + _UNITS
    + r")|(?P<other>"
    + _OTHER_UNITS
    + r"))?(?:\s*[,;|\t]\s*|\s+|\Z)",
    re.IGNORECASE | re.VERBOSE,
)
_BETWEEN: Final = re.compile(r"\s*[,;|\t]\s*|\s+")  # fields of a garbled line
_NAMED: Final = re.compile(r"(?P<name>[^\W\d][^:=]*)[:=]")
_OFF_WORDS: Final = re.compile(
    r"(?:leads?|electrodes?|pads?|contacts?|elektroden?)\b[\w\s:+,-]{0,24}?\b"
    r"(?:off|disconnected|detached|removed|loose|lost|missing|ab|lose|(?:not|un)[ -]?(?:connected|attached))\b"
    r"|\bleads?off\b|\b(?:no|check|attach|connect)\b.{0,12}\b(?:leads?|electrodes?|pads?|contact)\b"
    r"|^(?:lo[+-]?|lod|not connected|disconnected)\Z",
    re.IGNORECASE,
)
_OFF_NAME: Final = re.compile(r"(?:leads?|electrodes?|contact)[ _-]?off|lod?[ _-]?[+-]|lod|leadoff\w*", re.IGNORECASE)
_SEVERAL: Final = ("samples", "values")  # keys whose array holds samples one after the other


class Field(NamedTuple):
    """One column of a row.

    Attributes:
        name: empty = none.
        values: its numbers, one after the other in time, usually one; NaN = leads off.
        unit: as the row spells it after the number; None = not.
        decimals: decimals as written; None = not known (JSON, an exponent, leads off).
    """

    name: str
    values: tuple[float, ...]
    unit: str | None = None
    decimals: int | None = None


Row = list[Field]


def is_leads_off(line: str) -> bool:
    """Whether a line without numbers says that an electrode is off: `!`, `! some text`, `!,!`, `leads off`.

    >>> [is_leads_off(line) for line in ("!", "! LO+", "Leads off", "no electrode contact", "ECG starts", "LO+")]
    [True, True, True, True, False, True]
    """
    line = line.strip(" \t\"'*#.")
    return line.startswith("!") or (len(line) < 80 and bool(_OFF_WORDS.search(line)))


def words_of(line: str) -> list[str]:
    """The words of a header line, e.g. `time,ECG,RESP`; empty if it has numbers or is a sentence."""
    words = [word.strip(" \"'") for word in re.split(r"[,;\t]", line.strip(" \t#>"))]
    good = len(words) > 1 and all(word and not word[0].isdigit() and word[0] not in "+-." for word in words)
    return words if good else []


def lines_of(data: bytes) -> list[bytes]:
    """The whole lines of `data`, none of them empty; the first and the last may be incomplete and are left out."""
    return [line for line in (part.strip() for part in LINE_END.split(data)[1:-1]) if line]


def is_alike(line: bytes, good: bytes) -> bool:
    """Whether a line is a garbled row: half of a good one or more stands at its ends, other digits apart."""
    line, good = (_DIGIT.sub(b"0", each) for each in (line, good))
    most = min(len(line), len(good))
    begin = next((i for i in range(most) if line[i] != good[i]), most)
    end = next((i for i in range(most - begin) if line[-1 - i] != good[-1 - i]), most - begin)
    return most > 0 and 2 * (begin + end) >= len(good) and len(line) <= 2 * len(good)


def parse_rows(line: str) -> list[Row]:
    """Parse one line into rows; more than one only where it holds an array of objects.

    A row in which a flag such as `LO+:1` is set has NaN in every column.

    Raises:
        ValueError: it is no row of fields, or a number is not finite.
    """
    line = _ANSI.sub("", line).strip()
    start = min((at for at in (line.find("{"), line.find("[{"), line.find("[[")) if at >= 0), default=-1)
    if line[:1] == "[" and line[-1:] == "]":
        start = 0
    if start >= 0 and line.rstrip(";,")[-1:] in ("}", "]"):
        rows = _json_rows(line[start:].rstrip(";,"))
    else:
        rows = [_text_row(line)]
    if not rows or any(not row or len(row) > _MOST_FIELDS for row in rows):
        raise ValueError(line)
    return [_without_flags(row) for row in rows]


def parse_pieces(line: str) -> Row:
    """Parse a line of which some fields cannot be read; each of them has infinity as its value, beyond every range.

    >>> [(field.name, field.values) for field in parse_pieces("0.1;II:5x;x")]
    [('', (0.1,)), ('II', (inf,)), ('', (inf,))]
    """
    row: Row = []
    for piece in _BETWEEN.split(line.strip())[: _MOST_FIELDS + 1]:
        try:
            (field,) = _text_row(piece)
        except ValueError:
            named = _NAMED.match(piece)
            field = Field("" if named is None else named["name"].strip(' "'), (math.inf,))
        row.append(field)
    return _without_flags(row)


def _text_row(line: str) -> Row:
    while found := _BEFORE.match(line):
        line = line[found.end() :]
    is_teleplot = "§" in line or "|np" in line
    line = line.split("|")[0] if is_teleplot else line
    while found := _AFTER.search(line):
        line = line[: found.start()]
    row: Row = []
    loose: list[bool] = []  # the name was not joined by : or =
    at = 0
    while at < len(line):
        match = _FIELD.match(line, at)
        if match is None:
            raise ValueError(line)
        text = match["value"]
        value = _NAN if text == "!" else parse_number(text)
        decimals = None if text == "!" or "e" in text.lower() else len(text.partition(".")[2])
        row.append(Field((match["name"] or "").strip(' "'), (value,), match["unit"] or match["other"], decimals))
        loose.append(bool(match["name"]) and not match["is"])
        at = match.end()
    if len(row) > 1 and loose[0] and not any(field.name for field in row[1:]):
        row = [field._replace(name=f"{row[0].name} {number}") for number, field in enumerate(row)]  # $ECG,12345,512
    return row


def _json_rows(text: str) -> list[Row]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(text) from None
    except ValueError:  # as Python prints a dict
        for python, written in (("'", '"'), ("None", "null"), ("True", "true"), ("False", "false")):
            text = text.replace(python, written)
        try:
            value = json.loads(text)
        except RecursionError:
            raise ValueError(text) from None
    if isinstance(value, list) and value and all(isinstance(item, dict | list) for item in value):
        return [_flat(item) for item in value]
    if isinstance(value, dict):
        for item in value.values():
            if isinstance(item, list) and item and all(isinstance(each, dict) for each in item):
                return [_flat(each) for each in item]
    return [_flat(value)]


def _flat(value: object) -> Row:
    """The numbers of a JSON value with their paths as names; texts with a number count, other texts do not."""
    row: Row = []
    unit: str | None = None

    def add(name: str, item: object, depth: int) -> None:
        nonlocal unit
        if depth > 6 or len(row) > _MOST_FIELDS:
            raise ValueError(name)
        if isinstance(item, dict):
            for key, inner in item.items():
                add(f"{name}.{key}" if name else str(key), inner, depth + 1)
        elif isinstance(item, list):
            plain = all(isinstance(each, int | float | None) for each in item)
            last = name.rpartition(".")[2]
            if item and plain and name and (is_ecg(last) or last.lower() in _SEVERAL):
                row.append(Field(name, tuple(_number(each) for each in item)))
            else:
                for number, each in enumerate(item):
                    add(f"{name} {number}".strip() if name else "", each, depth + 1)
        elif isinstance(item, str):
            if name.rpartition(".")[2].lower() in ("unit", "units"):
                unit = item
            elif item.strip() == "!":
                row.append(Field(name, (_NAN,)))
            else:
                try:
                    (field,) = _text_row(item)
                except ValueError:
                    return
                row.append(field._replace(name=name))
        else:
            row.append(Field(name, (_number(item),)))

    add("", value, 0)
    known = canonical_unit(unit or "")
    return [field._replace(unit=field.unit or known) for field in row] if known and known != ADC else row


def _number(item: object) -> float:
    """A JSON number, or NaN for null."""
    if item is None:
        return _NAN
    return parse_number(repr(float(item))) if isinstance(item, int | float) else _NAN


def _without_flags(row: Row) -> Row:
    """NaN in every column if a leads-off flag is set."""
    if any(_OFF_NAME.fullmatch(field.name.rpartition(".")[2]) and field.values[0] not in (0.0,) for field in row):
        return [field._replace(values=tuple(_NAN for _ in field.values), decimals=None) for field in row]
    return row
