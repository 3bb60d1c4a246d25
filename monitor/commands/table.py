"""Tables for a terminal: no cell is broken; where the terminal is narrow, the least important columns are left out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from monitor.terminal import printable

__all__ = ["Column", "write_table"]

_GAP: Final = 2  # cells between two columns


class Column(NamedTuple):
    """A column.

    Attributes:
        name: its heading.
        rank: importance; 0 = the most important one, which is never left out.
        right: align to the right, for numbers.
        shortest: cells to which its text may be cut with an ellipsis; 0 = never cut.
    """

    name: str
    rank: int
    right: bool = False
    shortest: int = 0


def write_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    out: TextIO,
    *,
    styles: Sequence[str] = (),
    header: bool = True,
) -> None:
    """Write one line per row.

    On a terminal the lines are as wide as it (`COLUMNS` overrules that), elsewhere they have all columns. A column
    that does not fit is left out, the most important columns have the first choice. A line is only longer than the
    terminal where the cells of rank 0 alone are.

    Args:
        columns: in the order of the page.
        rows: one text per column; made `printable`.
        out: the stream.
        styles: of each row, as rich names them; used on a terminal.
        header: write the headings first.

    Raises:
        OSError: it cannot be written.
    """
    names = [column.name if header else "" for column in columns]
    cells = [names, *([printable(cell) for cell in row] for row in rows)] if header or rows else []
    if not cells:
        return
    console = Console(file=out, highlight=False)
    widths = _fitted(columns, [max(map(cell_len, column)) for column in zip(*cells, strict=True)], _width(console, out))
    for number, row in enumerate(cells if header else cells[1:]):
        line = (" " * _GAP).join(_cell(row[n], widths[n], columns[n].right) for n in sorted(widths)).rstrip()
        style = "bold" if header and number == 0 else styles[number - header] if styles else ""
        console.print(Text(line, style), soft_wrap=True)


def _width(console: Console, out: TextIO) -> int | None:
    """Cells of a line; None = no limit."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    return console.width if out.isatty() else None


def _fitted(columns: Sequence[Column], needed: Sequence[int], width: int | None) -> dict[int, int]:
    """Widths of the columns that are shown, by their number."""
    shown: dict[int, int] = {}
    left = -_GAP  # cells taken
    for n in sorted(range(len(columns)), key=lambda n: columns[n].rank):
        room = needed[n] if width is None else width - left - _GAP
        if needed[n] <= room or columns[n].rank == 0:
            shown[n] = needed[n]
        elif 0 < columns[n].shortest <= room:
            shown[n] = room
        else:
            continue
        left += _GAP + shown[n]
    return shown


def _cell(text: str, width: int, right: bool) -> str:
    spare = width - cell_len(text)
    if spare < 0:
        return set_cell_size(text, width - 1) + "…"
    return " " * spare + text if right else text + " " * spare
