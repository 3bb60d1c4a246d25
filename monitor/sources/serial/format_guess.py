"""Recognition of a serial device's format from its first bytes. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from monitor.errors import SourceError
from monitor.sources.adc_counts import looks_like_counts
from monitor.sources.serial.cyton import Cyton, is_interleaved
from monitor.sources.serial.line_fields import Row, is_leads_off, lines_of, parse_rows, words_of
from monitor.sources.serial.line_layout import LineLayout, find_layout
from monitor.sources.serial.line_parser import LineParser
from monitor.sources.serial.openview import OPENVIEW, OpenView, foreign_openview
from monitor.sources.serial.packets import Chords, Olimex, PacketParser

__all__ = ["GUESS_S", "Guess", "guess_format"]

GUESS_S: Final = 2.0
_SHARE: Final = 0.6  # share of bytes (or lines) that must be valid: the first may be a banner or half a packet
_LINES_MIN: Final = 5
_SHOWN: Final = 16  # bytes in an error
# Formats that are known by their first bytes and not read: bytes of one packet; name and remedy.
_NAMED: Final = (
    (
        rb"\xaa\xaa[\x04\x20]",
        "NeuroSky ThinkGear packets (AA AA), which are not read; give its raw values as lines, e.g. by a sketch",
    ),
    (
        rb"\x80[\x00-\xff][\x00-\x06][\x00-\x08]",
        "BGAPI events of a BLED112 dongle (OpenBCI Ganglion); use"
        " --source 'brainflow:GANGLION_BOARD?serial_port=PORT' with the extra brainflow",
    ),
    (rb"[\xe0-\xef][\x00-\x7f][\x00-\x7f]", "Firmata messages, which are not read; use a sketch that writes lines"),
)


class Guess(NamedTuple):
    """Result of the recognition.

    Attributes:
        format: one of FORMATS; empty = not recognised.
        channels: channels of a packet; 0 = unknown.
        problem: reason why the bytes are no known format, or can never be an ECG; part of a sentence, else empty.
        counts: reason and remedy where numbers seem to be ADC counts and state no unit; part of a sentence, else empty.
        layout: the column of lines, or both; None for packets.
        numbers: first numbers of them.
    """

    format: str
    channels: int = 0
    problem: str = ""
    counts: str = ""
    layout: LineLayout | None = None
    numbers: tuple[float, ...] = ()


def guess_format(data: bytes, column: str | int | None = None, second: str | int | None = None) -> Guess:
    """Recognise the format.

    `raw16` is never recognised: nothing in it marks the beginning of a number.

    Args:
        data: bytes received in the first GUESS_S, s.
        column: name or number of the wanted column, for lines with several.
        second: that of the second lead; None = one lead.
    """
    best = max(
        (
            *(
                (_share(OpenView(payload), data), Guess(name, len(payload.fields)))
                for name, payload in OPENVIEW.items()
            ),
            (_share(Olimex(), data), Guess("olimex", 6)),
            (_share(Cyton(), data), Guess("cyton", 8)),
            *((_share(Chords(n), data), Guess("chords", n)) for n in range(1, 17)),
        ),
        key=lambda scored: scored[0],
    )
    if best[0] >= _SHARE:
        if best[1].format == "cyton":
            parsed = Cyton().feed(data)
            if parsed.counters is not None and is_interleaved(parsed.samples, parsed.counters):
                return Guess("cyton-daisy", 16)
        return best[1]
    return _lines(data, column, second) or Guess("", problem=_unknown(data))


def _lines(data: bytes, column: str | int | None, second: str | int | None) -> Guess | None:
    """The guess for lines; None where the bytes are none."""
    lines = lines_of(data)
    parser = LineParser(column=column, second=second)
    parser.feed(b"\n" + b"\n".join(lines[:_SHOWN]) + b"\n")
    if "pulse sensor" in parser.problem:
        return Guess("lines", problem=parser.problem)
    rows: list[Row] = []
    header: list[str] = []
    bad = off = 0
    for line in lines:
        text = line.decode("utf-8", "replace")
        try:
            if text.startswith("!"):
                raise ValueError(text)
            rows += parse_rows(text)
        except ValueError:
            if is_leads_off(text):
                off += 1
            elif words := words_of(text):
                header = words
            else:
                bad += not re.search(r"[A-Za-z]{3}", text)
    if len(rows) + off < _LINES_MIN or bad > (1 - _SHARE) * (len(rows) + off):
        return None
    if not rows:  # an electrode is off
        return Guess("lines")
    try:
        layout = find_layout(rows, column, header, second)
    except SourceError as error:
        return Guess("lines", problem=str(error).removeprefix(": "))
    numbers = [_numbers(each, rows) for each in layout.leads]
    unscaled = [each for lead, each in zip(layout.leads, numbers, strict=True) if lead.unit in (None, "adc")]
    counts = next(filter(None, (looks_like_counts(np.array(each)) for each in unscaled)), None)
    return Guess("lines", counts=counts or "", layout=layout, numbers=tuple(itertools.chain(*numbers)))


def _numbers(layout: LineLayout, rows: Sequence[Row]) -> list[float]:
    """The numbers of a column."""
    numbers: list[float] = []
    for row in rows:
        try:
            field = layout.field(row)
        except ValueError:
            continue
        numbers += [] if field is None else field.values
    return numbers


def _unknown(data: bytes) -> str:
    """Why the bytes are no known format: their beginning and what was tried."""
    if named := foreign_openview(data) or next((text for form, text in _NAMED if _mostly(form, data)), ""):
        return f"it sends {named}"
    printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data)
    if data and printable > 0.9 * len(data):
        return f"it writes text without numbers, e.g. '{data[:40].decode('ascii', 'backslashreplace')}'"
    return (
        f"its bytes, e.g. {data[:_SHOWN].hex(' ')}, are no known format (tried lines, {', '.join(OPENVIEW)}, olimex,"
        " cyton, chords)"
    )


def _mostly(form: bytes, data: bytes) -> bool:
    """Whether packets that begin with `form` follow each other closely."""
    return (
        len(data) > 40
        and len(re.findall(form, data, re.DOTALL)) * 40 > len(data)
        and bool(re.match(form, data, re.DOTALL))
    )


def _share(parser: PacketParser, data: bytes) -> float:
    """Share of the bytes that lie in packets."""
    parsed = parser.feed(data)
    return 1.0 - (parsed.skipped + parser.pending) / len(data) if len(parsed.samples) > 2 else 0.0
