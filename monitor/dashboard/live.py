"""Live driver: polls the clients, folds messages, draws, reads keys, all in the caller's thread.

Cursor, screen and line mode of the terminal are restored however it ends: by key, signal or exception.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

from rich.console import Console
from rich.live import Live

from monitor.dashboard.bell import Bell
from monitor.dashboard.canvas import Frame
from monitor.dashboard.keyboard import Keyboard
from monitor.dashboard.monitors import BusClient
from monitor.dashboard.station import Station
from monitor.stop_signals import STOP_SIGNALS
from monitor.user_name import user_name

__all__ = ["fits_dashboard", "run_dashboard"]

_Handler = Callable[[int, FrameType | None], None]
WAKE_S = 0.1  # interval between checks of `should_stop`
JOIN_S = 0.02  # interval between polls before the first status


def fits_dashboard(console: Console) -> bool:
    """Whether the console is a UTF-8 terminal that can move its cursor; old consoles of Windows cannot."""
    able = console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
    return able and console.encoding.startswith("utf")


def run_dashboard(
    clients: BusClient | Mapping[str, BusClient],
    console: Console,
    clock: Callable[[], float],
    bed: str | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    greeting: str = "",
    *,
    bell: bool = False,
) -> int:
    """Show the dashboard until the person quits, a signal arrives, or `should_stop` returns True.

    In the main thread STOP_SIGNALS end it in order; earlier handlers are called too and are restored
    afterwards.

    Args:
        clients: one client, or several by address of their monitors; not closed here.
        console: a terminal, see `fits_dashboard`.
        clock: monotonic time, s.
        bed: the bed shown first; None = the ward, or the bed where there is only one.
        should_stop: called many times a second; True ends the dashboard.
        greeting: one line shown at the start, e.g. the address of the page.
        bell: ring the terminal's bell for what `Station.sounding` returns.

    Returns:
        0; 1 if the terminal could no longer be written to.

    Raises:
        ValueError: the console is not such a terminal.
    """
    if not fits_dashboard(console):
        raise ValueError("the dashboard needs a UTF-8 terminal; without one, print alarms as lines instead")
    by_address = clients if isinstance(clients, Mapping) else {"": clients}
    station = Station(by_address, user_name("dashboard"), bed, greeting, bell=bell)
    driver = _Driver(station, console, clock, Keyboard(_stdin()))
    try:
        with _signals(driver):
            while driver.run(should_stop):
                _suspend()
    except OSError:
        if not driver.drawing:  # only a terminal that hung up is no error
            raise
        return 1
    return 0


class _Driver:
    """The loop.

    Attributes:
        left: the person or a signal ended it.
        suspend: Ctrl-Z was pressed.
        drawing: a write to the terminal is in progress.
    """

    def __init__(self, station: Station, console: Console, clock: Callable[[], float], keyboard: Keyboard) -> None:
        self.station = station
        self.console = console
        self.clock = clock
        self.keyboard = keyboard
        self.left = False
        self.suspend = False
        self.drawing = False
        self.bell = Bell()

    def run(self, should_stop: Callable[[], bool]) -> bool:
        """Run on the terminal's alternate screen; True if it ended only to be suspended."""
        self.suspend = False
        live = Live(
            console=self.console,
            screen=True,
            auto_refresh=False,  # its thread would draw a state while it changes
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self.frame,
        )
        self.drawing = True
        with self.keyboard, live:
            self.drawing = False
            next_frame_s = self.clock()
            while not (self.left or self.suspend or should_stop()):
                self.wait(next_frame_s, should_stop)
                # Keys before messages: a key refers to what was on the screen when it was pressed.
                for key in self.keyboard.read():
                    self.station.press(key, self.clock())
                self.left |= self.station.left
                self.station.fold(self.clock())
                self.drawing = True
                live.refresh()
                if self.station.bell and self.bell.rings(self.station.sounding(self.clock()), self.clock()):
                    self.console.bell()
                self.drawing = False
                # From now, not from the due time: a slow terminal gets fewer frames instead of a queue.
                next_frame_s = max(next_frame_s + 1 / self.station.frames_per_s, self.clock())
            self.drawing = True
            self.console.clear()  # tmux, if it was resized, puts rests of this screen above what is printed next
            self.drawing = False
        return self.suspend and not self.left

    def wait(self, until_s: float, should_stop: Callable[[], bool]) -> None:
        """Wait for a key, at most until `until_s`; messages are folded once a frame, not one by one."""
        while not (self.left or self.suspend or should_stop()) and (left_s := until_s - self.clock()) > 0:
            joined = self.station.joined
            if self.keyboard.wait(min(left_s, WAKE_S if joined else JOIN_S)):
                return
            if not joined:  # at the start, heartbeat, snapshot and reply must not take a frame each
                self.station.fold(self.clock())

    def frame(self) -> Frame:
        """The present screen."""
        width, height = self.console.size
        return self.station.frame(width, height, self.clock())


@contextlib.contextmanager
def _signals(driver: _Driver) -> Iterator[None]:
    """End in order on STOP_SIGNALS, suspend on Ctrl-Z where there is that; restores the old handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        driver.left = True
        earlier = before[signal.Signals(number)]
        if callable(earlier) and earlier is not signal.default_int_handler:
            earlier(number, frame)

    def suspend(_number: int, _frame: FrameType | None) -> None:
        driver.suspend = True

    handlers: dict[signal.Signals, _Handler] = dict.fromkeys(STOP_SIGNALS, leave)
    if sys.platform != "win32":
        handlers[signal.SIGTSTP] = suspend
    before = {number: signal.getsignal(number) for number in handlers}
    try:
        for number, handler in handlers.items():
            if before[number] is not signal.SIG_IGN:  # e.g. under nohup
                signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


def _suspend() -> None:
    """Stop the process until the shell says `fg`."""
    if sys.platform != "win32":
        os.kill(os.getpid(), signal.SIGSTOP)


def _stdin() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or without a descriptor
        return None
