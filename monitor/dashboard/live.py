"""The driver: polls the client, folds, draws, reads keys. All in the caller's thread.

Whatever ends it (key, signal, exception), the terminal is left as it was found: cursor, screen and line mode.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType
from typing import Protocol

from rich.console import Console
from rich.live import Live

from monitor.client import ClientError
from monitor.dashboard.canvas import Frame
from monitor.dashboard.keys import Keyboard
from monitor.dashboard.render import View, render
from monitor.dashboard.state import DashboardState
from monitor.messages import AUDIO_PAUSE_MAX_S, Message, Reply, Request

__all__ = ["BusClient", "fits_dashboard", "run_dashboard"]

FRAMES_PER_S = 12.0  # smooth enough to the eye; a frame of 100 x 30 cells costs a few ms
NOTE_S = 5.0
REQUEST_TIMEOUT_S = 1.0  # the screen stands still meanwhile


class BusClient(Protocol):
    """What the dashboard needs of a client; `monitor.client.AlarmClient` is one."""

    @property
    def state(self) -> str:
        """`connecting`, `connected`, `stale`, `lost` or `ended`."""
        ...

    def poll(self, timeout_s: float = 0.0) -> Sequence[tuple[str, Message, bytes]]:
        """Topic, message and its bytes (of a wave: its samples), after at most `timeout_s`."""
        ...

    def request(self, request: Request, timeout_s: float = 2.0) -> Reply:
        """Ask the monitor."""
        ...


def fits_dashboard(console: Console) -> bool:
    """Whether the console can show it: a terminal that can move its cursor, in UTF-8."""
    return console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")


def run_dashboard(
    client: BusClient,
    console: Console,
    clock: Callable[[], float],
    bed: str | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_quit: Callable[[], None] | None = None,
    *,
    keyboard_fd: int | None = None,
    who: str | None = None,
) -> int:
    """Show the dashboard until the person quits, a signal comes, or `should_stop` says so.

    In the main thread SIGINT, SIGTERM and SIGHUP end it in order; handlers that were installed before are called
    too, and are back in force afterwards.

    Args:
        client: where messages come from; it is not closed here.
        console: a terminal, see `fits_dashboard`.
        clock: monotonic time, s.
        bed: the bed shown first; None = the first one heard of.
        should_stop: asked many times a second; True ends it.
        on_quit: called once when the person or a signal ended it.
        keyboard_fd: the terminal that keys come from; standard input if not given.
        who: named with acknowledgements and pauses; the user's login if not given.

    Returns:
        0; 1 where the terminal could no longer be written to.

    Raises:
        ValueError: the console is no terminal that could show it.
    """
    if not fits_dashboard(console):
        raise ValueError("the dashboard needs a UTF-8 terminal; without one, print alarms as lines instead")
    keyboard = Keyboard(_stdin() if keyboard_fd is None else keyboard_fd)
    driver = _Driver(client, console, clock, bed, who or _user(), keyboard)
    try:
        with _signals(driver):
            while driver.run(should_stop):
                os.kill(os.getpid(), signal.SIGSTOP)  # until the shell says `fg`
    except OSError:
        # Only a terminal that hung up is forgiven; any other error of the world is not ours to hide.
        if driver.drawing:
            driver.left = True
            return 1
        raise
    finally:
        if driver.left and on_quit is not None:
            on_quit()
    return 0


class _Driver:
    """The loop and what the person chose.

    Attributes:
        left: the person or a signal ended it.
        suspend: Ctrl-Z was pressed.
        drawing: the terminal is being written to.
    """

    def __init__(
        self,
        client: BusClient,
        console: Console,
        clock: Callable[[], float],
        bed: str | None,
        who: str,
        keyboard: Keyboard,
    ) -> None:
        self.client = client
        self.console = console
        self.clock = clock
        self.who = who
        self.keyboard = keyboard
        self.state = DashboardState()
        self.view = View(bed=bed)
        self.left = False
        self.suspend = False
        self.drawing = False
        self._note_until_s = 0.0

    def run(self, should_stop: Callable[[], bool]) -> bool:
        """Run on the terminal's other screen; True: left for a suspension only."""
        self.suspend = False
        live = Live(
            console=self.console,
            screen=True,
            auto_refresh=False,  # its thread would draw a state that is just being changed
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self.frame,
        )
        self.drawing = True
        with self.keyboard, live:
            next_frame_s = self.clock()
            while not (self.left or self.suspend or should_stop()):
                self.drawing = False
                self.fold(max(0.0, next_frame_s - self.clock()))
                for key in self.keyboard.read():
                    self.press(key)
                self.drawing = True
                now_s = self.clock()
                if now_s >= next_frame_s:
                    live.refresh()
                    # From now, not from when it was due: a slow terminal gets fewer frames, never a queue of them.
                    next_frame_s = max(next_frame_s + 1 / FRAMES_PER_S, now_s)
        return self.suspend and not self.left

    def fold(self, timeout_s: float) -> None:
        """Take in what the client has, waiting at most `timeout_s`."""
        messages = self.client.poll(timeout_s)
        now_s = self.clock()
        for _topic, message, raw in messages:
            self.state.apply(message, raw, now_s=now_s)
        self.state.set_connection(self.client.state, now_s)

    def frame(self) -> Frame:
        """The screen as it is now."""
        now_s = self.clock()
        if self.view.note and now_s >= self._note_until_s:
            self.view = replace(self.view, note="")
        width, height = self.console.size
        return render(self.state, width, height, now_s, self.view)

    def press(self, key: str) -> None:
        """Do what a key asks."""
        if key == "q":
            self.left = True
        elif key in " p":
            self._freeze()
        elif key == "b":
            self._next_bed()
        elif key == "a":
            self._acknowledge()
        elif key == "m":
            self._pause_audio()
        elif key == "?":
            self.view = replace(self.view, help=not self.view.help)
        elif self.view.help:
            self.view = replace(self.view, help=False)

    def note(self, text: str) -> None:
        """Show one line for a few seconds."""
        self.view = replace(self.view, note=text)
        self._note_until_s = self.clock() + NOTE_S

    def _freeze(self) -> None:
        bed = self.state.bed(self.view.bed)
        if self.view.frozen is not None or bed is None:
            self.view = replace(self.view, frozen=None)
        else:
            self.view = replace(self.view, frozen=self.state.frozen_bed(bed.name), frozen_at_s=self.clock())

    def _next_bed(self) -> None:
        names = list(self.state.beds)
        bed = self.state.bed(self.view.bed)
        if bed is not None:
            following = names[(names.index(bed.name) + 1) % len(names)]
            self.view = replace(self.view, bed=following, frozen=None)

    def _acknowledge(self) -> None:
        bed = self.state.bed(self.view.bed)
        alarm = bed.top_unacknowledged() if bed is not None else None
        if alarm is None:
            self.note("nothing to acknowledge")
            return
        request = Request(op="acknowledge", bed=alarm.bed, alarm_id=alarm.alarm_id, who=self.who)
        self._ask(request, f"acknowledged: {alarm.kind.replace('_', ' ')}")

    def _pause_audio(self) -> None:
        bed = self.state.bed(self.view.bed)
        if bed is None:
            self.note("no bed yet")
            return
        seconds = 0.0 if bed.audio_paused_s(self.clock()) > 0 else AUDIO_PAUSE_MAX_S
        done = f"alarm audio paused for {seconds:.0f} s" if seconds else "alarm audio on"
        self._ask(Request(op="pause_audio", bed=bed.name, seconds=seconds, who=self.who), done)

    def _ask(self, request: Request, done: str) -> None:
        try:
            reply = self.client.request(request, REQUEST_TIMEOUT_S)
        except ClientError as error:
            self.note(str(error))
            return
        self.note(done if reply.ok else f"refused: {reply.error}")


@contextlib.contextmanager
def _signals(driver: _Driver) -> Iterator[None]:
    """End in order on SIGINT, SIGTERM and SIGHUP, suspend on SIGTSTP; the old handlers are back afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def leave(number: int, frame: FrameType | None) -> None:
        driver.left = True
        earlier = before[signal.Signals(number)]
        if callable(earlier) and earlier is not signal.default_int_handler:
            earlier(number, frame)

    def suspend(_number: int, _frame: FrameType | None) -> None:
        driver.suspend = True

    try:
        for number, earlier in before.items():
            if earlier is not signal.SIG_IGN:  # e.g. under nohup
                signal.signal(number, suspend if number is signal.SIGTSTP else leave)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)


def _stdin() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something without a descriptor
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in containers
        return "dashboard"
