"""Text for a terminal: names, file contents and error texts from outside must not control it.

Every line that the program prints goes through `print_line` or `notice`, and every text of the dashboard through
`printable`.
"""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Final, TextIO

__all__ = ["json_line", "notice", "print_line", "printable"]

# Characters without a glyph that Python calls printable: joiners, fillers and variation selectors
# (Unicode, Default_Ignorable_Code_Point).
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def printable(text: str) -> str:
    r"""The text with an escape in place of each character that is no visible one.

    Replaced are control characters (C0, DEL, C1), line breaks, bidirectional controls, zero-width and other invisible
    characters, unusual blanks, surrogates and unassigned code points.

    >>> print(printable("p1\x1b[2J\n\u202e"))
    p1\x1b[2J\n\u202e
    """
    if text.isprintable() and (text.isascii() or not _INVISIBLE.search(text)):
        return text
    return "".join(char if char.isprintable() and not _INVISIBLE.match(char) else ascii(char)[1:-1] for char in text)


def json_line(body: bytes | str) -> str:
    r"""A JSON document as one line with the same value, in which each character is a visible one.

    Within strings such characters become `\u` escapes; between them JSON has only blanks.

    Args:
        body: a valid JSON document; bytes that are no UTF-8 become U+FFFD.
    """
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    if printable(text) == text:
        return text
    return "".join(char if printable(char) == char else _json_escape(char) for char in text)


def _json_escape(char: str) -> str:
    if char in "\t\r\n":  # only between the values: JSON does not allow them within a string
        return " "
    return "".join(f"\\u{unit}" for unit in char.encode("utf-16-be", "surrogatepass").hex(" ", 2).split())


def print_line(text: str, file: TextIO | None = None) -> None:
    """Print one line on `file`, by default standard output; flushed.

    Raises:
        OSError: it cannot be written.
    """
    print(printable(text), file=sys.stdout if file is None else file, flush=True)


def notice(text: str, file: TextIO | None = None) -> None:
    """Print one line about the run on `file`, by default standard error; a line that cannot be written is lost."""
    with contextlib.suppress(OSError):  # there is no other place for it, and the run goes on
        print_line(f"ecg-monitor: {text}", sys.stderr if file is None else file)
