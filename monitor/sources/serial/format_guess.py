"""Recognition of a serial device's format from its first bytes. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from monitor.sources.serial.line_parser import LEADS_OFF, LineParser
from monitor.sources.serial.packets import ADS1292R, MAX30003, Chords, Cyton, OpenView, PacketParser

__all__ = ["GUESS_S", "Guess", "guess_format"]

GUESS_S: Final = 2.0
_SHARE: Final = 0.6  # share of bytes (or lines) that must be valid: the first may be a banner or half a packet
_LINES_MIN: Final = 5
_INTEGER = re.compile(rb"(?:\w*:\s*)?\+?\d{2,8}\Z")


class Guess(NamedTuple):
    """Result of the recognition.

    Attributes:
        format: one of FORMATS; empty = not recognised.
        channels: channels of a packet; 0 = unknown.
        problem: reason why the bytes are no known format, or can never be an ECG; part of a sentence, else empty.
        counts: example of a number that seems to be an ADC count, not mV; else empty.
    """

    format: str
    channels: int = 0
    problem: str = ""
    counts: str = ""


def guess_format(data: bytes, column: str | int | None = None) -> Guess:
    """Recognise the format.

    `raw16` is never recognised: nothing in it marks the beginning of a number.

    Args:
        data: bytes received in the first GUESS_S, s.
        column: name or number of the wanted column, for lines with several.
    """
    best = max(
        (
            (_share(OpenView(ADS1292R), data), Guess("openview", 2)),
            (_share(OpenView(MAX30003), data), Guess("openview-max30003", 1)),
            (_share(Cyton(), data), Guess("cyton", 8)),
            *((_share(Chords(n), data), Guess("chords", n)) for n in range(1, 17)),
        ),
        key=lambda scored: scored[0],
    )
    if best[0] >= _SHARE:
        return best[1]
    lines = [line.strip() for line in data.split(b"\n")[1:-1]]
    parser = LineParser(column=column)
    samples = parser.feed(b"\n" + b"\n".join(lines) + b"\n").mv.size  # a line of words is bad, but no sample
    if parser.problem:
        return Guess("lines", problem=parser.problem)
    words = len(lines) - samples
    if samples >= _LINES_MIN and parser.bad - words <= (1 - _SHARE) * samples:
        numbers = [line for line in lines if line != LEADS_OFF]
        whole = [line for line in numbers if _INTEGER.match(line)]
        if len(whole) > 0.9 * len(numbers) and len(set(whole)) > 3:
            return Guess("lines", counts=whole[-1].decode("ascii"))
        return Guess("lines")
    printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data)
    if data and printable > 0.9 * len(data):
        return Guess("", 0, f"it writes text without numbers, e.g. '{data[:40].decode('ascii', 'backslashreplace')}'")
    return Guess("", 0, f"its bytes, e.g. {data[:8].hex(' ')}, are no known format; is the baud rate right?")


def _share(parser: PacketParser, data: bytes) -> float:
    """Share of the bytes that lie in packets."""
    parsed = parser.feed(data)
    return 1.0 - (parsed.skipped + parser.pending) / len(data) if len(parsed.samples) > 2 else 0.0
