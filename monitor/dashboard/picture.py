"""SVG picture of a running monitor's dashboard; needs no terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import TerminalTheme

from monitor.client.liveness import LOST_AFTER_S
from monitor.dashboard.canvas import Frame
from monitor.dashboard.monitors import BusClient
from monitor.dashboard.station import Station
from monitor.errors import ClientError

__all__ = ["export_frame", "take_picture"]

WIDTH, HEIGHT = 110, 34  # of a picture, cells
BEDS_NAMED = 8  # in the error about an unknown bed

# Our own dark theme, so that the picture does not depend on a terminal.
THEME = TerminalTheme(
    (15, 20, 25), (214, 220, 226),
    [
        (15, 20, 25), (200, 50, 58), (86, 214, 130), (240, 198, 78),
        (96, 156, 240), (208, 132, 230), (84, 200, 214), (240, 243, 246),
    ],
    [
        (110, 120, 130), (246, 96, 102), (120, 236, 160), (250, 216, 110),
        (130, 180, 250), (226, 160, 244), (120, 222, 234), (255, 255, 255),
    ],
)  # fmt: skip

# Spaces, single braille and block characters, words; each is placed separately in the picture, because viewers differ
# in leading spaces and in the width of characters, above all of braille, which few monospaced fonts have.
_PIECES = re.compile(r" +|[\u2580-\u259f\u2800-\u28ff]|[^ \u2580-\u259f\u2800-\u28ff]+")


def take_picture(
    clients: Mapping[str, BusClient],
    path: Path,
    after_s: float,
    clock: Callable[[], float],
    wait: Callable[[float], None],
    bed: str | None = None,
) -> None:
    """Watch for `after_s` seconds, then write the dashboard as SVG.

    Args:
        clients: subscribers with waves, by the address of each monitor; not closed here.
        path: SVG file to write.
        after_s: duration, s; 12 s fill the trace.
        clock: monotonic time, s.
        wait: waits for a number of seconds.
        bed: name of the bed; None = the ward, or the bed where there is only one.

    Raises:
        ClientError: no monitor answers within `after_s`, at most LOST_AFTER_S, or none has that bed.
        OSError: the file cannot be written.
    """
    station = Station(clients, "", bed)
    began_s = clock()
    end_s = began_s + after_s
    while True:
        station.fold(clock())
        if not station.joined and clock() - began_s >= min(after_s, LOST_AFTER_S):
            raise ClientError(f"no monitor answers at {', '.join(clients)}; start one, or name its address: --connect")
        frame = station.frame(WIDTH, HEIGHT, clock())
        left_s = end_s - clock()
        if left_s <= 0:
            break
        wait(min(left_s, 1 / station.frames_per_s))
    if bed is not None and station.order.named(bed) is None:
        beds = sorted(entry.ref.name for entry in station.order.entries)
        raise ClientError(f"--bed {bed}: no monitor has it; there are {', '.join(beds[:BEDS_NAMED])}")
    export_frame(frame, path)


def export_frame(frame: Frame, path: Path) -> None:
    """Write a frame as an SVG picture.

    Raises:
        OSError: the file cannot be written.
    """
    console = Console(
        record=True,
        width=frame.width,
        height=frame.height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    segments = console.render(frame)
    console.print(Segments(Segment(piece, run.style) for run in segments for piece in _PIECES.findall(run.text)))
    path.write_text(console.export_svg(title="ecg-monitor", theme=THEME), encoding="utf-8")
