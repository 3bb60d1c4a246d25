"""The page of keys and signs over the screen, for the bed and for the ward."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.dashboard.bell import EVERY_S
from monitor.dashboard.canvas import Canvas, Ink

__all__ = ["HELP", "LEGEND", "draw_page"]

HELP = (
    ("q", "quit"),
    ("space, p", "freeze the waveform; alarms continue"),
    ("b", "next bed"),
    ("a", "acknowledge the top alarm"),
    ("m", "pause alarm audio for 2 min; again: end the pause"),
    ("?", "this page"),
)
LEGEND = (
    "▲ anomalous beat    ╵ normal beat    ○ beat not scored",
    "!!! high   !! medium   ! low   TECHNICAL: signal or monitor",
    "score: higher is less usual; dashed: this patient's limit",
)
BELL = f"bell: high every {EVERY_S['high']:g} s, medium every {EVERY_S['medium']:g} s, low once"
NO_BELL = "no bell on this terminal; with one: --bell"


def draw_page(canvas: Canvas, keys: Sequence[tuple[str, str]], legend: Sequence[str], *, bell: bool) -> None:
    """Draw a page with keys and signs in the middle of the screen."""
    sound = BELL if bell else NO_BELL
    lines = [*(f"{key:>9}  {word}" for key, word in keys), "", *(f" {line}" for line in (*legend, sound))]
    width = min(canvas.width - 4, max(map(len, lines)) + 4)
    height = min(canvas.height - 2, len(lines) + 2)
    top, left = (canvas.height - height) // 2, (canvas.width - width) // 2
    canvas.fill(top, left, height, width)
    canvas.text(top, left, f"┌{' keys '.center(width - 2, '─')}┐", Ink.BOLD)
    canvas.text(top + height - 1, left, f"└{'─' * (width - 2)}┘", Ink.BOLD)
    for row in range(top + 1, top + height - 1):
        canvas.text(row, left, "│", Ink.BOLD)
        canvas.text(row, left + width - 1, "│", Ink.BOLD)
        canvas.text(row, left + 2, lines[row - top - 1], Ink.PLAIN, width - 3)
