"""SVG text elements with escaped content."""

from __future__ import annotations

from xml.sax.saxutils import escape

from monitor.terminal import printable

__all__ = ["escaped", "svg_text"]


def svg_text(x: float, y: float, size: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    """A `<text>` element; x, y and font size in units of the drawing."""
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size:g}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escaped(text)}</text>"
    )


def escaped(text: str) -> str:
    """Text for XML: escaped; control characters, which XML forbids, as in `printable`."""
    return escape(printable(text))
