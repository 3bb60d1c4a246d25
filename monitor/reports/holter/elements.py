"""Parts of the HTML of a report: tables, times and numbers as text."""

from __future__ import annotations

import datetime
import html
from collections.abc import Iterable, Sequence
from typing import Final

from monitor.terminal import printable

__all__ = [
    "LIMITS", "NO_ST", "REVIEWED", "UNREVIEWED", "clock", "escaped_html", "facts_table", "moment_of", "rows_table",
    "share", "span", "value_text",
]  # fmt: skip

NO_ST: Final = "ST segments are left out: the filter of 0.5 to 40 Hz changes them."
LIMITS: Final = (
    "One lead: the origin of a beat cannot be proved. Ventricular-looking means anomalous and of another QRS shape "
    "than the usual one; aberrant conduction and bundle branch block look alike.",
    "Many supraventricular ectopic beats of new patients are missed. Where most beats are abnormal from the first "
    "minute on, they become the usual beat.",
    "VT, VF, asystole and irregular rhythm are alarms of the monitor, with its false and missed ones. An alarm ends "
    "some seconds after its cause.",
    NO_ST,
    "Pacing pulses are not taken out of the pictures.",
)
UNREVIEWED: Final = "No person has checked beats or episodes."
REVIEWED: Final = (
    "A person has checked some beats or alarms (see Review); their labels count instead of the verdicts, F as "
    "ventricular-looking. All other beats and episodes are unchecked."
)


def escaped_html(value: str) -> str:
    """Text for HTML: escaped, invisible characters as in `printable`."""
    return html.escape(printable(value))


def facts_table(pairs: Iterable[tuple[str, str]]) -> str:
    """A table of two columns: name and text."""
    rows = "".join(f"<tr><th>{escaped_html(name)}</th><td>{escaped_html(value)}</td></tr>" for name, value in pairs)
    return f"<table class=facts>{rows}</table>"


def rows_table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A table; the columns of `left` are aligned to the left."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=l' if n in left else ''}>{escaped_html(cell)}</{tag}>" for n, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', heads)}</tr></thead><tbody>{body}</tbody></table>"


def clock(seconds: float) -> str:
    """Time from the start: `1:02:03`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def span(seconds: float) -> str:
    """Duration: `1:02:03`, under a minute in seconds."""
    return f"{seconds:.1f} s" if 0 < seconds < 60 else clock(round(seconds)) if seconds else "0 s"


def share(part: float, whole: float) -> str:
    """Share in percent; `- %` of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "- %"


def value_text(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A number with its unit; `-` where it is not known."""
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def moment_of(text: str | None) -> datetime.datetime | None:
    """Time of ISO 8601; None where there is none."""
    try:
        return None if text is None else datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
