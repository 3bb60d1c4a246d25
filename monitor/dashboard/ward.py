"""The ward: all beds as tiles, most urgent first, page by page, as a pure function of order, view and size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len

from monitor.dashboard.alarm_panel import FULL_INK, MARKS, TEXT_INK
from monitor.dashboard.bed_order import NO_DATA, BedOrder, BedRef, WardBed, short_address
from monitor.dashboard.canvas import Canvas, Frame, Ink
from monitor.dashboard.help_page import draw_page
from monitor.dashboard.panels import CONNECTION, NOTICE
from monitor.dashboard.render import is_tiny
from monitor.dashboard.small import SMALL_WIDTH, draw_tiny
from monitor.dashboard.tile import HEAD_ROWS, draw_tile
from monitor.dashboard.watch import not_watched

__all__ = ["WARD_HELP", "Grid", "Page", "WardView", "lay_out", "page_of", "render_ward"]

TILE_COLS = 26  # minimum: sign, name of 12 letters, rate; words of most alarms; 3 s of trace
TILE_ROWS = 4
TILE_ASPECT = 4.5  # preferred columns per row: a trace twice as wide as high
TILE_MAX_ROWS = 14
WARD_HELP = (
    ("arrows", "move the cursor; also h j k l"),
    ("PgUp PgDn", "previous and next page; also < and >"),
    ("Home, Esc", "back to the most urgent bed"),
    ("Enter", "open the bed under the cursor; Esc or w comes back"),
    ("a", "acknowledge its top alarm"),
    ("m", "pause its alarm audio for 2 min; again: end the pause"),
    ("/", "show only beds whose name has these letters; Esc: all beds"),
    ("t", "tiles with or without a trace"),
    ("q", "quit"),
    ("?", "this page"),
)
WARD_LEGEND = (
    "!!! high   !! medium   ! low   TECH: signal or monitor",
    "coloured: not acknowledged   ✓: acknowledged",
    "order: new high, new, acknowledged, no data, low; then by name",
)


@dataclass(frozen=True)
class WardView:
    """What the screen of the ward shows.

    Attributes:
        cursor: the bed under the cursor, which also selects the page; None = the first bed.
        traces: whether tiles have a trace if there is room.
        find: show only beds whose name has these letters.
        finding: whether the letters are being typed.
        help: whether the help page covers the screen.
        note: one line for the person.
        bell: whether the terminal's bell rings.
    """

    cursor: BedRef | None = None
    traces: bool = True
    find: str = ""
    finding: bool = False
    help: bool = False
    note: str = ""
    bell: bool = False


class Grid(NamedTuple):
    """Layout of tiles: number of columns and rows, size of a tile in cells."""

    cols: int
    rows: int
    tile_cols: int
    tile_rows: int

    @property
    def per_page(self) -> int:
        """Tiles per page."""
        return self.cols * self.rows


class Page(NamedTuple):
    """One page of the ward.

    Attributes:
        beds: all beds that match the filter, in order.
        shown: those of this page.
        at: index of the cursor in `beds`.
        number: of the page, from 0.
    """

    beds: Sequence[WardBed]
    shown: Sequence[WardBed]
    at: int
    number: int
    pages: int
    grid: Grid

    @property
    def cursor(self) -> WardBed | None:
        """The bed under the cursor."""
        return self.beds[self.at] if self.beds else None


def lay_out(beds: int, width: int, rows: int, *, traces: bool) -> Grid:
    """The layout with the largest tiles with which all beds fit on one page; otherwise with the smallest tiles."""
    most_cols = max(1, width // TILE_COLS)
    least_rows = min(TILE_ROWS if traces else HEAD_ROWS, max(rows, 1))
    best: Grid | None = None
    best_size = 0.0
    for cols in range(1, most_cols + 1):
        down = max(1, -(-beds // cols))
        tile_rows = min(rows // down, TILE_MAX_ROWS if traces else HEAD_ROWS)
        if tile_rows < least_rows:
            continue
        size = min(width // cols, TILE_ASPECT * tile_rows)
        if size > best_size:
            best, best_size = Grid(cols, down, width // cols, tile_rows), size
    if best is not None:
        return best
    down = max(1, rows // least_rows)
    return Grid(most_cols, down, width // most_cols, max(1, rows // down))


def page_of(order: BedOrder, view: WardView, width: int, height: int) -> Page:
    """The page of a screen of that size."""
    letters = view.find.casefold()
    beds = [entry for entry in order.entries if letters in entry.label.casefold()] if letters else order.entries
    grid = lay_out(len(beds), width, height - 1 - _head_rows(order), traces=view.traces)
    at = next((at for at, entry in enumerate(beds) if entry.ref == view.cursor), 0) if view.cursor is not None else 0
    number = at // grid.per_page
    first = number * grid.per_page
    pages = max(1, -(-len(beds) // grid.per_page))
    return Page(beds, beds[first : first + grid.per_page], at, number, pages, grid)


def render_ward(order: BedOrder, width: int, height: int, now_s: float, view: WardView | None = None) -> Frame:
    """The ward on `width` x `height` cells; under 20 x 6 only the most urgent bed is drawn.

    `order` must be updated; `now_s` is the subscriber's monotonic clock, s.
    """
    view = view or WardView()
    canvas = Canvas(max(1, width), max(1, height))
    if is_tiny(canvas):
        first = order.entries[0] if order.entries else None
        if first is None:
            draw_tiny(canvas, None, "starting", "", now_s)
        else:
            draw_tiny(canvas, first.bed, first.condition, first.label, now_s)
        return canvas.frame()
    page = page_of(order, view, width, height)
    _draw_header(canvas, order, now_s)
    if len(order.states) > 1:
        _draw_monitors(canvas, 1, order, now_s)
    top, grid = _head_rows(order), page.grid
    for number, entry in enumerate(page.shown):
        row, col = divmod(number, grid.cols)
        draw_tile(
            canvas, top + row * grid.tile_rows, col * grid.tile_cols, grid.tile_rows, grid.tile_cols, entry, now_s,
            chosen=entry is page.cursor,
        )  # fmt: skip
    if not page.shown:
        text = f"no bed matches: {view.find}" if view.find else "waiting for the monitor"
        canvas.text(height // 2, 0, text.center(width), Ink.BOLD)
    _draw_footer(canvas, height - 1, page, view)
    if view.help:
        draw_page(canvas, WARD_HELP, WARD_LEGEND, bell=view.bell)
    return canvas.frame()


def _beds(number: int) -> str:
    return f"{number:,} bed{'s' * (number != 1)}"


def _head_rows(order: BedOrder) -> int:
    return 2 if len(order.states) > 1 else 1


def _draw_header(canvas: Canvas, order: BedOrder, now_s: float) -> None:
    """Draw numbers of beds, of beds with alarms, of beds without data; at the right the connection."""
    conditions = Counter(entry.condition for entry in order.entries)
    active = [entry.alarm for entry in order.entries if entry.alarm is not None]
    alarms = Counter(alarm.priority for alarm in active)
    new = Counter(alarm.priority for alarm in active if alarm.state != "acknowledged")
    left_out = sum(
        max(0, len(state.heartbeat.beds) - len(state.beds)) for state in order.states.values() if state.heartbeat
    )
    connections = [state.connection_now(now_s) for state in order.states.values()]
    up = sum(connection == "connected" for connection in connections)
    if len(connections) == 1:
        right, right_ink = CONNECTION[connections[0]]
    elif up == len(connections):
        right, right_ink = f"● all {up} connected", Ink.GOOD
    else:
        right, right_ink = f"✕ {len(connections) - up} of {len(connections)} not connected", Ink.HIGH
    room = canvas.width - cell_len(right) - 3
    parts: list[tuple[str, Ink]] = [(f" {_beds(len(order.entries))} ", Ink.BED)]
    for priority, mark in MARKS.items():
        number = alarms[priority]
        inks = FULL_INK if new[priority] else TEXT_INK
        parts.append((f" {mark.strip()} {number:,} {priority} ", inks[priority] if number else Ink.DIM))
    for number, word, ink in (
        (left_out, "NOT SHOWN", Ink.HIGH),
        (sum(conditions[condition] for condition in NO_DATA), "NO DATA", Ink.MEDIUM),
        (sum(not_watched(entry.bed, now_s) is not None for entry in order.entries), "NOT WATCHED", Ink.MEDIUM),
        (conditions["starting"], "starting", Ink.PLAIN),
        (conditions["ended"], "ended", Ink.PLAIN),
    ):
        if number:
            parts.append((f" {number:,} {word} ", ink))
    if sum(len(text) + 1 for text, _ in parts) > room:  # leave out the priorities' words, keep their signs
        short = {f" {priority} ": " " for priority in MARKS}
        parts = [(next((t.replace(a, b) for a, b in short.items() if t.endswith(a)), t), ink) for t, ink in parts]
    col = 0
    for text, ink in parts:
        if col + len(text) <= room:
            col = canvas.text(0, col, text, ink) + 1
    canvas.text(0, canvas.width - cell_len(right) - 1, right, right_ink)


def _draw_monitors(canvas: Canvas, row: int, order: BedOrder, now_s: float) -> None:
    """Draw each monitor with its connection, those not connected first."""
    states = sorted(order.states.items(), key=lambda item: item[1].connection_now(now_s) == "connected")
    col = 1
    for number, (address, state) in enumerate(states):
        word, ink = CONNECTION[state.connection_now(now_s)]
        word = word.replace("CONNECTION ", "").replace("MONITOR ", "").replace(" connected", "")
        text = f"{short_address(address)} {_beds(len(state.beds))}"
        rest = len(states) - number
        more = f"and {rest} more"
        if col + cell_len(word) + cell_len(text) + 3 > canvas.width - (len(more) + 1 if rest > 1 else 0):
            canvas.text(row, col, more, Ink.BOLD)
            return
        col = canvas.text(row, col, word, ink)
        col = canvas.text(row, col + 1, text, Ink.DIM if ink is Ink.GOOD else Ink.BOLD) + 3


def _draw_footer(canvas: Canvas, row: int, page: Page, view: WardView) -> None:
    """Draw the keys, the filter being typed, or the note; at the right the page number and the notice."""
    right = f"{NOTICE} "
    if page.pages > 1:
        right = f"page {page.number + 1:,} of {page.pages:,}  {right}"
    left = canvas.width - len(right)
    room = left - 1
    if room < SMALL_WIDTH and (view.finding or view.note):
        room = canvas.width  # a small terminal: the person's own line comes first
    else:
        canvas.text(row, left, right[: -len(NOTICE) - 1], Ink.BOLD)
        canvas.text(row, max(0, canvas.width - len(NOTICE) - 1), NOTICE, Ink.NOTICE)
    if view.finding:
        canvas.text(row, 1, f"name: {view.find}_   Enter: done, Esc: all beds", Ink.BOLD, room - 1)
        return
    if view.note:
        canvas.text(row, 1, view.note, Ink.BOLD, room - 1)
        return
    col = 1
    if view.find:
        text = f" {view.find}: {_beds(len(page.beds))}, Esc: all "
        col = canvas.text(row, col, text, Ink.BED, room - 1) + 1
    keys = (("q", "quit"), ("Enter", "open"), ("?", "help"), ("a", "acknowledge"), ("/", "find"), ("m", "pause audio"))
    for key, word in keys:
        if col + len(key) + len(word) + 1 > room:
            return
        col = canvas.text(row, col, key, Ink.BOLD)
        col = canvas.text(row, col + 1, word, Ink.DIM) + 2
