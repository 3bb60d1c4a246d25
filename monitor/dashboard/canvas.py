"""A grid of coloured characters, printable with rich.

All panels write into one grid of the screen's size. Nothing wraps or overflows. A frame costs about 1 ms; nested rich
layouts cost ten times that.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from monitor.terminal import printable

__all__ = ["Canvas", "Frame", "Ink"]


class Ink(IntEnum):
    """Colours, by meaning. Each goes with a word or a sign: colour alone carries no information."""

    PLAIN = 0
    DIM = 1
    BOLD = 2
    TRACE = 3
    ANOMALOUS = 4
    HIGH = 5
    MEDIUM = 6
    LOW = 7
    HIGH_TEXT = 8
    MEDIUM_TEXT = 9
    LOW_TEXT = 10
    GOOD = 11
    THRESHOLD = 12
    BED = 13
    NOTICE = 14


# Only the terminal's 16 colours, and the default foreground for text, so that light and dark themes work; yellow or
# white text would be invisible on a light one.
_STYLES: dict[Ink, Style | None] = {
    Ink.PLAIN: None,
    Ink.DIM: Style(dim=True),
    Ink.BOLD: Style(bold=True),
    Ink.TRACE: Style(color="green"),
    Ink.ANOMALOUS: Style(color="red", bold=True),
    Ink.HIGH: Style(color="white", bgcolor="red", bold=True),
    Ink.MEDIUM: Style(color="black", bgcolor="yellow"),
    Ink.LOW: Style(color="black", bgcolor="cyan"),
    Ink.HIGH_TEXT: Style(color="red", bold=True),
    Ink.MEDIUM_TEXT: Style(bold=True),
    Ink.LOW_TEXT: Style(color="cyan"),
    Ink.GOOD: Style(color="green"),
    Ink.THRESHOLD: Style(color="magenta"),
    Ink.BED: Style(bold=True, reverse=True),
    Ink.NOTICE: Style(italic=True),
}
_BY_NUMBER = [_STYLES[ink] for ink in sorted(Ink)]
_PAINTS = np.array([style is not None and bool(style.bgcolor or style.reverse) for style in _BY_NUMBER])


class Frame:
    """One finished screen, a rich renderable of fixed size."""

    def __init__(self, lines: list[list[Segment]], width: int) -> None:
        self._lines = lines
        self.width = width
        self.height = len(lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, line in enumerate(self._lines):
            if number:
                yield Segment.line()
            yield from line


class Canvas:
    """The grid, `width` x `height` cells."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._chars = np.full((height, width), " ", dtype="<U1")
        self._inks = np.zeros((height, width), dtype=np.uint8)

    def text(self, row: int, col: int, text: str, ink: Ink = Ink.PLAIN, room: int | None = None) -> int:
        """Write one line; text that does not fit is cut with an ellipsis.

        Args:
            row, col: of the first cell.
            text: made `printable`; double-width characters take two cells.
            ink: its colour.
            room: number of cells available; default: up to the right edge.

        Returns:
            The column after the text.
        """
        room = self.width - col if room is None else min(room, self.width - col)
        if not 0 <= row < self.height or col < 0 or room <= 0:
            return col
        text = printable(text)
        cells = list(text if len(text) <= room else text[: room - 1] + "…") if text.isascii() else _cells(text, room)
        if not cells:
            return col
        stop = col + len(cells)
        if self._chars[row, col] == "":  # the right half of a wide character: clear its left half too
            self._chars[row, col - 1] = " "
        if stop < self.width and self._chars[row, stop] == "":
            self._chars[row, stop] = " "
        self._chars[row, col:stop] = cells
        self._inks[row, col:stop] = ink
        return stop

    def block(self, row: int, col: int, chars: NDArray[np.str_], inks: Ink | NDArray[np.uint8] = Ink.PLAIN) -> None:
        """Write a (rows, cols) array of single-width characters; it must lie within the canvas."""
        rows, cols = chars.shape
        self._chars[row : row + rows, col : col + cols] = chars
        self._inks[row : row + rows, col : col + cols] = inks

    def fill(self, row: int, col: int, rows: int, cols: int, char: str = " ", ink: Ink = Ink.PLAIN) -> None:
        """Fill a rectangle with one single-width character."""
        self._chars[row : row + rows, col : col + cols] = char
        self._inks[row : row + rows, col : col + cols] = ink

    def rule(self, row: int, col: int, cols: int, title: str = "", right: str = "") -> None:
        """A thin line with a title at the left and a note at the right if there is room."""
        self.fill(row, col, 1, cols, "─", Ink.DIM)
        used = 0
        if title:
            used = self.text(row, col + 1, f" {title} ", Ink.BOLD, cols - 2) - col
        if right and used + cell_len(right) + 5 <= cols:
            self.text(row, col + cols - cell_len(right) - 3, f" {right} ", Ink.PLAIN)

    def frame(self) -> Frame:
        """The finished screen."""
        inks = self._merged_inks()
        lines = []
        for chars, row_inks in zip(self._chars, inks, strict=True):
            # The right half of a wide character is an empty cell, NUL in numpy's UTF-32.
            text = chars.tobytes().decode("utf-32-le")
            cuts = [0, *(np.flatnonzero(np.diff(row_inks)) + 1).tolist(), self.width]
            line = [
                Segment(text[start:stop].replace("\0", ""), _BY_NUMBER[row_inks[start]])
                for start, stop in pairwise(cuts)
            ]
            lines.append(line)
        return Frame(lines, self.width)

    def _merged_inks(self) -> NDArray[np.uint8]:
        """Inks in which a space without background takes the ink before it: this halves the number of segments."""
        blank = (self._chars == " ") & ~_PAINTS[self._inks]
        column = np.where(blank, 0, np.arange(self.width))
        before = np.take_along_axis(self._inks, np.maximum.accumulate(column, axis=1), axis=1)
        merged: NDArray[np.uint8] = np.where(blank, np.where(_PAINTS[before], Ink.PLAIN, before), self._inks)
        return merged


def _cells(text: str, room: int) -> list[str]:
    """Cells of a text: a wide character takes a second, empty cell; combining marks are left out."""
    cells: list[str] = []
    for char in text:
        wide = cell_len(char)
        if wide == 0:
            continue
        cells.append(char)
        if wide == 2:
            cells.append("")
        if len(cells) > room:
            cells = cells[: room - 1]
            if cells and cell_len(cells[-1]) == 2:
                cells[-1] = " "
            return [*cells, "…"]
    return cells
