"""What a device writes on a line, taken apart: bytes in, samples out; no port, no thread, no time."""

from __future__ import annotations

from monitor.sources.options import MAX_MV, parse_number

__all__ = ["LEADS_OFF", "MAX_LINE", "LineParser"]

LEADS_OFF = b"!"  # what sketches for the AD8232 write when its LO+ or LO- pin is high
MAX_LINE = 64  # bytes; a longer line is no number (wrong baud rate: noise without line ends)


class LineParser:
    """Takes bytes in pieces, however cut; every whole line is one sample.

    The first line is dropped, since the beginning of it may be missing: 0.12 read as 12.

    Args:
        mv: mV in one unit of the device's numbers.

    Attributes:
        bad: lines so far that were no number, not finite or beyond MAX_MV; each became NaN.
        example: one of them.
    """

    def __init__(self, mv: float = 1.0) -> None:
        self._mv = mv
        self._rest = b""
        self._synchronised = False
        self.bad = 0
        self.example = ""

    def push(self, data: bytes) -> list[float]:
        """Samples, mV, of the lines that `data` completes; NaN = leads off, or unreadable and counted."""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > MAX_LINE:  # never a number any more; remember just that
            rest = rest[: MAX_LINE + 1]
        self._rest = rest
        if lines and not self._synchronised:
            self._synchronised = True
            del lines[0]
        return [self._sample(line) for line in lines]

    def restart(self) -> None:
        """The line was cut: forget the piece of it that came, and synchronise anew."""
        self._rest = b""
        self._synchronised = False

    def _sample(self, line: bytes) -> float:
        line = line.strip()
        if line == LEADS_OFF:
            return float("nan")
        try:
            if len(line) > MAX_LINE:
                raise ValueError(line)
            mv = parse_number(line.decode("ascii")) * self._mv
            if abs(mv) <= MAX_MV:
                return mv
        except ValueError:  # UnicodeDecodeError is one
            pass
        self.bad += 1
        self.example = f"'{line[:20].decode('ascii', 'backslashreplace')}'"
        return float("nan")
