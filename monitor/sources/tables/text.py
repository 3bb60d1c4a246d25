"""Lines of a text in any encoding and with any line ends, from bytes in any pieces. Pure.

UTF-16 is recognised by its byte order mark or by the zero bytes of its first two characters. Every other line is
UTF-8, else Windows-1252. Zero bytes (the padding of card writers) are dropped.
"""

from __future__ import annotations

import codecs

__all__ = ["MAX_LINE", "OVERLONG", "QuotedLines", "TextLines", "is_binary", "utf16_order"]

MAX_LINE = 65_536  # bytes; a longer line is no row of numbers
OVERLONG = "(overlong line)"  # stands for such a line
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\0\t\n\r\f\x1a")
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_QUOTED_LINES = 4  # longest cell of several lines
_START = 4  # bytes that show the encoding


class QuotedLines:
    """Joins lines whose quotes show that a cell holds line ends (RFC 4180).

    A quote that is never closed costs nothing: after _QUOTED_LINES the lines are given as they are.

    >>> lines = QuotedLines()
    >>> lines.push(['1,"a']), lines.push(['b",2', "3"]), lines.push(['4"', "5", "6", "7"])
    ([], ['1,"a\\nb",2', '3'], ['4"', '5', '6', '7'])
    """

    def __init__(self) -> None:
        self._open: list[str] = []

    def push(self, lines: list[str]) -> list[str]:
        """Return the lines that are whole now."""
        if not self._open and not any('"' in line for line in lines):
            return lines
        out: list[str] = []
        for line in lines:
            odd = line.count('"') % 2 == 1
            if not self._open and not odd:
                out.append(line)
                continue
            self._open.append(line)
            if odd and len(self._open) > 1:
                out.append("\n".join(self._open))
                self._open = []
            elif len(self._open) >= _QUOTED_LINES:
                out += self.finish()
        return out

    def finish(self) -> list[str]:
        """Return the lines that wait."""
        lines, self._open = self._open, []
        return lines


def is_binary(head: bytes) -> bool:
    """Whether the beginning of a file is no text: more than 5 % of it are control characters."""
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return controls > max(16, 0.05 * len(head))


def utf16_order(start: bytes) -> str | None:
    """The codec of UTF-16 text that begins with `start`; None for another encoding."""
    start = start[:_START]
    if start[:2] in _UTF16:
        return _UTF16[start[:2]]
    zeros = "".join("0" if byte == 0 else "x" for byte in start)
    return {"x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros)


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


class TextLines:
    r"""Takes bytes in any pieces and gives whole lines; a line ends with \n, \r\n or \r.

    A line over MAX_LINE is given as OVERLONG, so the memory is bounded.

    Attributes:
        encoding: of the text: `utf-16-le`, `utf-16-be` or `utf-8` (or any superset of ASCII); empty until known.

    >>> lines = TextLines()
    >>> lines.push(b"0.1\r"), lines.push(b"\n0.2\r0."), lines.push(b"3\n"), lines.finish()
    ([], ['0.1', '0.2'], ['0.3'], [])
    """

    def __init__(self) -> None:
        self.encoding = ""
        self._start = b""
        self._rest = b""
        self._utf16: codecs.IncrementalDecoder | None = None

    def push(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes, without their ends."""
        if not self.encoding:
            self._start += data
            if len(self._start) < _START:
                return []
            return self._begin()
        return self._lines(data)

    def finish(self) -> list[str]:
        """Return the last line, where the text does not end with a line end."""
        lines = [] if self.encoding else self._begin()
        if self._utf16 is not None:
            lines += self._split(self._utf16.decode(b"", True).encode())
        rest, self._rest = self._rest, b""
        return [*lines, *(self._whole([rest.rstrip(b"\r")]) if rest else [])]

    def _begin(self) -> list[str]:
        start, self._start = self._start, b""
        wide = utf16_order(start[:_START])
        self.encoding = wide or "utf-8"
        if wide is not None:
            self._utf16 = codecs.getincrementaldecoder(wide)("replace")
            return self._lines(start[2:] if start[:2] in _UTF16 else start)
        return self._lines(start.removeprefix(codecs.BOM_UTF8))

    def _lines(self, data: bytes) -> list[str]:
        if self._utf16 is not None:
            data = self._utf16.decode(data).encode("utf-8", "replace")
        return self._split(data)

    def _split(self, data: bytes) -> list[str]:
        text = self._rest + data.replace(b"\0", b"")
        end = b""
        if text.endswith(b"\r"):  # \n may follow
            text, end = text[:-1], b"\r"
        *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[: MAX_LINE + 1] + end
        return self._whole(lines)

    @property
    def is_endless(self) -> bool:
        """Whether the line that has not ended is too long already."""
        return len(self._rest) > MAX_LINE

    @staticmethod
    def _whole(lines: list[bytes]) -> list[str]:
        if max(map(len, lines), default=0) <= MAX_LINE:
            try:
                return b"\n".join(lines).decode("utf-8").split("\n") if lines else []
            except UnicodeDecodeError:
                pass
        return [_decode(line) if len(line) <= MAX_LINE else OVERLONG for line in lines]
