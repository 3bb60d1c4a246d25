"""The screen of one person: the ward, or one bed of it, of one monitor or of several; what each key does.

It asks each monitor for what is on the screen only: waves of the beds of the page, beats of the bed that is open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from monitor.dashboard.bed import BedState
from monitor.dashboard.bed_order import BedRef, Entry, Survey
from monitor.dashboard.bus_client import BusClient
from monitor.dashboard.canvas import Frame
from monitor.dashboard.panels import View
from monitor.dashboard.render import render
from monitor.dashboard.state import Condition, DashboardState
from monitor.dashboard.ward import WardView, page_of, render_ward
from monitor.errors import ClientError
from monitor.messages import AUDIO_PAUSE_MAX_S, Request

__all__ = ["Station"]

BED_FRAMES_PER_S = 12.0  # smooth enough to the eye; a frame of 100 x 30 cells costs a few ms
WARD_FRAMES_PER_S = 3.0  # for finding out where to look
NOTE_S = 5.0
REQUEST_TIMEOUT_S = 1.0  # the screen stands still meanwhile
FIND_MAX = 40
OTHERS = 64  # beds in the line below an open one; more than any terminal is wide


class Station:
    """What is on the screen, and what it costs the monitors.

    Args:
        clients: by address of the monitor; not closed here.
        who: named with acknowledgements and pauses.
        bed: shown first, by name; None = the ward, or the bed where there is only one.

    Attributes:
        survey: all beds.
        left: the person wants to go.
    """

    def __init__(self, clients: Mapping[str, BusClient], who: str, bed: str | None = None) -> None:
        self.left = False
        self._clients = dict(clients)
        self._who = who
        self._states = {address: DashboardState() for address in clients}
        self.survey = Survey(self._states)
        self._wanted = bed or ""
        self._mode: Literal["auto", "ward", "bed"] = "auto"
        self._open: BedRef | None = None
        self._view = View()
        self._ward = WardView()
        self._note_until_s: float | None = None
        self._size = (80, 24)
        self._surveyed_s = -math.inf
        self._looked: tuple[frozenset[BedRef], BedRef | None] | None = None
        self._look(frozenset(), None, 0.0)

    @property
    def in_ward(self) -> bool:
        """Whether the ward is on the screen, not one bed."""
        if self._mode == "auto":
            return not self._wanted and (len(self.survey.entries) > 1 or len(self._states) > 1)
        return self._mode == "ward"

    @property
    def frames_per_s(self) -> float:
        """How often it is worth drawing."""
        return WARD_FRAMES_PER_S if self.in_ward else BED_FRAMES_PER_S

    @property
    def joined(self) -> bool:
        """Whether anything of a bed is known yet; until then it is worth folding more often than drawing."""
        return any(entry.bed.status is not None for entry in self.survey.entries)

    # -- in ----------------------------------------------------------------------------------------------------

    def fold(self, now_s: float) -> None:
        """Take in what the clients have; does not wait."""
        for address, client in self._clients.items():
            state = self._states[address]
            for _topic, message, raw in client.poll(0.0):
                state.apply(message, raw, now_s=now_s)
            state.set_connection(client.state, now_s)
        # Behind an open bed a look at a thousand others, twelve times a second, would cost more than the bed itself.
        if self.in_ward or len(self.survey.entries) <= 1 or now_s - self._surveyed_s >= 1 / WARD_FRAMES_PER_S:
            self._surveyed_s = now_s
            self.survey.look(now_s)
            self._settle_bed()
            self._look_at_screen(now_s)

    def _settle_bed(self) -> None:
        """Open what was asked for once it is known; leave a bed that its monitor has no more."""
        if self._wanted and (entry := self.survey.named(self._wanted)) is not None:
            self._wanted, self._open, self._mode = "", entry.ref, "bed"
        elif self._wanted and all(state.heartbeat is not None for state in self._states.values()):
            self._wanted = ""  # there is none of that name
        if self._mode == "auto" and not self.in_ward and self.survey.entries:
            self._open = self.survey.entries[0].ref
        if self._open is None or self._open.name in self._states[self._open.address].beds:
            return
        state = self._states[self._open.address]
        if state.heartbeat is not None and state.heartbeat.epoch == state.epoch:
            self._open, self._mode = None, "auto"
            self._view = View()

    def _look_at_screen(self, now_s: float) -> None:
        """Ask for what is on the screen. Behind an open bed the page goes on, to be whole when it comes back."""
        page = page_of(self.survey, self._ward, *self._size)
        waves = {entry.ref for entry in page.shown} if len(self.survey.entries) > 1 else set()
        opened = None if self.in_ward else self._open
        self._look(frozenset(waves | ({opened} if opened is not None else set())), opened, now_s)

    def _look(self, waves: frozenset[BedRef], opened: BedRef | None, now_s: float) -> None:
        if (waves, opened) == self._looked:
            return
        self._looked = waves, opened
        for address, client in self._clients.items():
            names = {ref.name for ref in waves if ref.address == address}
            closely = {opened.name} if opened is not None and opened.address == address else set()
            client.set_detail(names, closely)
            self._states[address].look(names, closely, now_s)

    # -- out ---------------------------------------------------------------------------------------------------

    def frame(self, width: int, height: int, now_s: float) -> Frame:
        """The screen as it is now."""
        if self._note_until_s is not None and now_s >= self._note_until_s:
            self._note("", now_s)
        if (width, height) != self._size:
            self._size = width, height
            self._look_at_screen(now_s)
        if self.in_ward:
            return render_ward(self.survey, width, height, now_s, self._ward)
        entry = self.survey.find(self._open)
        address = next(iter(self._states)) if self._open is None else self._open.address
        view = replace(
            self._view,
            bed=None if self._open is None else self._open.name,
            only=self._open is not None,
            label="" if entry is None else entry.label,
            ward=self._has_ward,
            others=self._others(entry),
            warning=self._warning(address, now_s),
        )
        return render(self._states[address], width, height, now_s, view)

    @property
    def _has_ward(self) -> bool:
        return len(self.survey.entries) > 1 or len(self._states) > 1

    def _others(self, shown: Entry | None) -> list[tuple[str, BedState, Condition]]:
        """The open bed, then the most urgent ones."""
        first = [] if shown is None else [shown]
        rest = [entry for entry in self.survey.entries[:OTHERS] if entry is not shown]
        return [(entry.label, entry.bed, entry.condition) for entry in first + rest]

    def _warning(self, address: str, now_s: float) -> str:
        """Of the monitors that are not this bed's, for its own is in the header."""
        others = [state.connection_now(now_s) for key, state in self._states.items() if key != address]
        down = sum(connection != "connected" for connection in others)
        return f"✕ {down} other monitor{'s' * (down != 1)} not connected" if down else ""

    def _note(self, text: str, now_s: float) -> None:
        """Show one line for a few seconds."""
        self._view, self._ward = replace(self._view, note=text), replace(self._ward, note=text)
        self._note_until_s = now_s + NOTE_S if text else None

    # -- keys --------------------------------------------------------------------------------------------------

    def press(self, key: str, now_s: float) -> None:
        """Do what a key asks, with what was last drawn."""
        if self.in_ward and self._ward.finding:
            self._type(key)
        elif key == "q":
            self.left = True
        elif key == "?":
            self._help(not self._helped)
        elif key == "a":
            self._acknowledge(now_s)
        elif key == "m":
            self._pause_audio(now_s)
        elif self._helped:
            self._help(False)
        elif self.in_ward:
            self._press_in_ward(key, now_s)
        elif key in (" ", "p"):
            self._freeze(now_s)
        elif key == "b":
            self._next_bed()
        elif key in ("w", "escape") and self._has_ward:
            self._mode, self._open, self._view = "ward", None, replace(self._view, frozen=None)

    def _press_in_ward(self, key: str, now_s: float) -> None:
        page = page_of(self.survey, self._ward, *self._size)
        step = _steps(page.grid.cols, page.grid.per_page).get(key)
        if key == "enter":
            if page.cursor is not None:
                self._open, self._mode = page.cursor.ref, "bed"
                self._ward = replace(self._ward, cursor=page.cursor.ref)
                self._surveyed_s = -math.inf
        elif key == "/":
            self._ward = replace(self._ward, finding=True, find="", cursor=None, help=False)
        elif key == "escape":
            self._ward = replace(self._ward, cursor=None, find="")
        elif key in ("home", "g"):
            self._ward = replace(self._ward, cursor=None)
        elif key == "t":
            self._ward = replace(self._ward, traces=not self._ward.traces)
        elif key == " ":
            self._note("open the bed to freeze its waveform: Enter", now_s)
        elif page.beds and (step is not None or key in ("end", "G")):
            last = len(page.beds) - 1
            at = last if step is None else page.at + step
            if not 0 <= at <= last:  # over the edge by a row: stay; by a page: to the end
                at = min(max(at, 0), last) if step is not None and abs(step) == page.grid.per_page else page.at
            self._ward = replace(self._ward, cursor=page.beds[at].ref)

    def _type(self, key: str) -> None:
        """Letters of a name."""
        find = self._ward.find
        if key == "escape":
            self._ward = replace(self._ward, finding=False, find="")
        elif key == "enter":
            self._ward = replace(self._ward, finding=False)
        elif key == "backspace":
            self._ward = replace(self._ward, find=find[:-1])
        elif len(key) == 1 and len(find) < FIND_MAX:
            self._ward = replace(self._ward, find=find + key)

    @property
    def _helped(self) -> bool:
        return self._ward.help if self.in_ward else self._view.help

    def _help(self, shown: bool) -> None:
        self._view, self._ward = replace(self._view, help=shown), replace(self._ward, help=shown)

    def _chosen(self) -> Entry | None:
        """The bed that keys are about: the open one, or the one under the cursor."""
        if not self.in_ward:
            return self.survey.find(self._open)
        return page_of(self.survey, self._ward, *self._size).cursor

    def _freeze(self, now_s: float) -> None:
        entry = self.survey.find(self._open)
        if self._view.frozen is not None or entry is None:
            self._view = replace(self._view, frozen=None)
        else:
            frozen = self._states[entry.ref.address].frozen_bed(entry.ref.name)
            self._view = replace(self._view, frozen=frozen, frozen_at_s=now_s)

    def _next_bed(self) -> None:
        """The next one by name."""
        refs = [entry.ref for entry in self.survey.by_label()]
        if self._open in refs and len(refs) > 1:
            self._open, self._mode = refs[(refs.index(self._open) + 1) % len(refs)], "bed"
            self._view = replace(self._view, frozen=None)
            self._ward = replace(self._ward, cursor=self._open)
            self._surveyed_s = -math.inf

    def _acknowledge(self, now_s: float) -> None:
        entry = self._chosen()
        alarm = entry.bed.top_unacknowledged() if entry is not None else None
        if alarm is None or entry is None:
            self._note("nothing to acknowledge", now_s)
            return
        request = Request(op="acknowledge", bed=alarm.bed, alarm_id=alarm.alarm_id, who=self._who)
        where = f" ({entry.label})" if self.in_ward else ""
        self._ask(entry, request, f"acknowledged: {alarm.kind.replace('_', ' ')}{where}", now_s)

    def _pause_audio(self, now_s: float) -> None:
        entry = self._chosen()
        if entry is None:
            self._note("no bed yet", now_s)
            return
        seconds = 0.0 if entry.bed.audio_paused_s(now_s) > 0 else AUDIO_PAUSE_MAX_S
        where = f" ({entry.label})" if self.in_ward else ""
        done = f"alarm audio paused for {seconds:.0f} s{where}" if seconds else f"alarm audio on{where}"
        request = Request(op="pause_audio", bed=entry.ref.name, seconds=seconds, who=self._who)
        self._ask(entry, request, done, now_s)

    def _ask(self, entry: Entry, request: Request, done: str, now_s: float) -> None:
        """Ask the monitor that the bed belongs to."""
        try:
            reply = self._clients[entry.ref.address].request(request, REQUEST_TIMEOUT_S)
        except ClientError as error:
            self._note(str(error), now_s)
            return
        self._note(done if reply.ok else f"refused: {reply.error}", now_s)


def _steps(cols: int, per_page: int) -> dict[str, int]:
    """How many beds on each key of the cursor goes."""
    return {
        "left": -1, "h": -1, "right": 1, "l": 1, "up": -cols, "k": -cols, "down": cols, "j": cols,
        "page up": -per_page, "<": -per_page, "page down": per_page, ">": per_page,
    }  # fmt: skip
