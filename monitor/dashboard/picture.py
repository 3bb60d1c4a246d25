"""Picture of a running monitor's dashboard; needs no terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from monitor.dashboard.bus_client import BusClient
from monitor.dashboard.station import Station
from monitor.dashboard.svg import HEIGHT, WIDTH, export_frame

__all__ = ["take_picture"]


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
        OSError: the file cannot be written.
    """
    station = Station(clients, "", bed)
    end_s = clock() + after_s
    while True:
        station.fold(clock())
        frame = station.frame(WIDTH, HEIGHT, clock())
        left_s = end_s - clock()
        if left_s <= 0:
            break
        wait(min(left_s, 1 / station.frames_per_s))
    export_frame(frame, path)
