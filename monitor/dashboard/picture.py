"""A picture of a running monitor's dashboard, for documents: no terminal needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monitor.dashboard.live import BusClient
from monitor.dashboard.state import DashboardState
from monitor.dashboard.svg import export_svg

__all__ = ["take_picture"]

_TURN_S = 0.05


def take_picture(client: BusClient, path: Path, after_s: float, clock: Callable[[], float]) -> None:
    """Watch for `after_s` seconds, then write what the dashboard would show as SVG.

    Args:
        client: a subscriber with waves; it is not closed here.
        path: SVG file to write.
        after_s: how long to watch, s; 12 s fill the trace.
        clock: monotonic time, s.

    Raises:
        OSError: the file cannot be written.
    """
    state = DashboardState()
    end_s = clock() + after_s
    while clock() < end_s:
        for _, message, raw in client.poll(_TURN_S):
            state.apply(message, raw, now_s=clock())
        state.set_connection(client.state, clock())
    export_svg(state, path, now_s=clock())
