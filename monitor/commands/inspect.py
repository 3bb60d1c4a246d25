"""`ecg-monitor inspect`: what a source is understood as, without watching it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.options import EXIT_BAD_INPUT, Given, settings_of, takes
from monitor.commands.stdout import standard_output
from monitor.errors import SourceError
from monitor.terminal import print_line

if TYPE_CHECKING:
    from monitor.config import Config
    from monitor.engine.inspection import Inspection
    from monitor.sources import Source

__all__ = ["inspect"]

_SPAN_S = 60.0  # read unless --duration says otherwise
_LIVE_SPAN_S = 10.0
_ROWS, _COLUMNS = 8, 70  # of the drawing, characters
_NOTICES = 5
_GAPS = 3
_NAME_WIDTH = 9


@takes(
    "--fs", "--channel", "--column", "--unit", "--mv-per-unit", "--start", "--duration",
    "--port", "--format", "--baud", "--adc-bits", "--vref", "--gain", "--config",
    texts={"--duration": "Length of signal to read, s; default: 60, of a live source 10."},
)  # fmt: skip
def inspect(
    source: Annotated[str, typer.Argument(help="As for --source, e.g. csv:export.csv, edf:night.edf, serial.")],
    given: Given,
) -> None:
    """Show what a source is understood as: format, columns, lead, unit, rate, gaps, and its first seconds drawn.

    Of a source that cannot be used it shows what was recognised, and the reason; the exit code is then 2.
    """
    settings = settings_of({**given, "--source": source})
    with standard_output("inspect"):
        _inspect(settings, source)


def _inspect(settings: Config, source: str) -> None:
    from monitor.engine.bed_plan import BedPlan, open_bed
    from monitor.engine.inspection import inspect_source

    understood: dict[str, str] = {}

    def note(name: str, text: str) -> None:
        if name not in understood:
            understood[name] = text
            _print(name, text)

    _print("source", source)
    try:
        opened = open_bed(BedPlan("", settings.source), settings, note=note)
    except SourceError as error:
        _print("refused", str(error))
        raise typer.Exit(EXIT_BAD_INPUT) from None
    try:
        found = inspect_source(opened, settings.source.duration_s or (_LIVE_SPAN_S if opened.live else _SPAN_S))
    finally:
        opened.close()
    for name, text in _described(opened):
        note(name, text)
    for name, text in _read(opened, found):
        _print(name, text)
    for line in _drawing(opened, found):
        print_line(line)
    if found.error:
        _print("refused", found.error)
        raise typer.Exit(EXIT_BAD_INPUT)


def _print(name: str, text: str) -> None:
    print_line(f"{name:<{_NAME_WIDTH}} {text}")


def _described(source: Source) -> list[tuple[str, str]]:
    """What an open source states, for what it has not noted while opening."""
    unit = getattr(source, "unit", "mV")
    rows = [
        ("lead", source.lead),
        ("unit", unit if unit != "adc" else f"adc, {getattr(source, 'mv_per_unit', 1.0):.4g} mV in one count"),
        ("rate", f"{source.fs_hz:g} Hz"),
    ]
    if source.total_samples is not None:
        rows.append(("length", _duration(source.total_samples / source.fs_hz)))
    if source.start_time is not None:
        rows.append(("start", source.start_time))
    if source.rails_mv is not None:
        rows.append(("ADC", f"{source.rails_mv[0]:.4g} to {source.rails_mv[1]:.4g} mV"))
    return rows


def _read(source: Source, found: Inspection) -> list[tuple[str, str]]:
    """What the first seconds showed."""
    rows = [("read", f"{found.read_s:.1f} s{', all of it' if found.ended else ''}")]
    if found.gaps:
        missing_s = sum(n for _, n in found.gaps) / source.fs_hz
        places = ", ".join(f"{n / source.fs_hz:.3g} s at {at / source.fs_hz:.3f} s" for at, n in found.gaps[:_GAPS])
        more = f" and {len(found.gaps) - _GAPS} more" if len(found.gaps) > _GAPS else ""
        rows.append(("gaps", f"{len(found.gaps)}, {missing_s:.3g} s in all: {places}{more}"))
    else:
        rows.append(("gaps", "none"))
    if found.invalid:
        rows.append(("invalid", f"{found.invalid} samples without a value"))
    if math.isfinite(found.low_mv):
        rows.append(("range", f"{found.low_mv:.4g} to {found.high_mv:.4g} mV"))
    rate = f", about {found.rate_bpm:.0f} a minute" if math.isfinite(found.rate_bpm) else ""
    rows.append(("beats", f"{found.beats}{rate}"))
    if found.unit_hint:
        rows.append(("unit?", found.unit_hint))
    rows += [("notice", text) for text in found.notices[:_NOTICES]]
    if len(found.notices) > _NOTICES:
        rows.append(("notice", f"{len(found.notices) - _NOTICES} more"))
    return rows


def _drawing(source: Source, found: Inspection) -> list[str]:
    """The first seconds as a braille plot with its range in mV; no line without a valid sample."""
    import numpy as np

    from monitor.dashboard.braille import column_edges, column_extrema, dots_to_chars, draw_extrema, quantise

    values = found.drawn.astype(np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return []
    low, high = float(finite.min()), float(finite.max())
    middle, half = (low + high) / 2, max((high - low) / 2, 1e-6)
    edges = np.minimum(column_edges(0, 2 * _COLUMNS, values.size / (2 * _COLUMNS)), values.size)
    lows, highs = (
        quantise(extreme, middle - half, middle + half, 4 * _ROWS) for extreme in column_extrema(values, edges)
    )
    chars = dots_to_chars(draw_extrema(lows, highs, 4 * _ROWS))
    labels = {0: f"{high:.3g} mV", _ROWS - 1: f"{low:.3g} mV"}
    lines = [f"{labels.get(row, ''):>9} {''.join(chars[row]).rstrip()}" for row in range(_ROWS)]
    start_s, seconds = found.first_sample / source.fs_hz, values.size / source.fs_hz
    left, right = f"{start_s:g} s", f"{start_s + seconds:g} s"
    return ["", *lines, f"{'':>9} {left}{right:>{_COLUMNS - len(left)}}"]


def _duration(seconds: float) -> str:
    whole = round(seconds)
    clock = f" ({whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02})" if seconds >= 90 else ""
    return f"{seconds:.1f} s{clock}"
