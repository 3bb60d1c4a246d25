"""One person's screen: the ward, or one opened bed, of one or several monitors; what each key does.

It subscribes only to what is on the screen: waves of the beds of the page, beats of the opened bed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Literal

from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.bed_order import BedRef, WardBed
from monitor.dashboard.canvas import Frame
from monitor.dashboard.monitors import BusClient, Monitors
from monitor.dashboard.panels import BedView
from monitor.dashboard.render import render
from monitor.dashboard.state import Condition
from monitor.dashboard.ward import Page, WardView, page_of, render_ward
from monitor.messages import AUDIO_PAUSE_MAX_S, Priority, Request

__all__ = ["Station"]

BED_FRAMES_PER_S = 12.0  # smooth to the eye; a frame of 100 x 30 cells costs a few ms
WARD_FRAMES_PER_S = 3.0
NOTE_S = 5.0
GREETING_S = 30.0
FIND_MAX = 40
OTHERS = 64  # beds in the line below an opened one; more than fit any terminal


class Station:
    """Screen state and keys of one person.

    Args:
        clients: by address of the monitor; not closed here.
        who: name sent with acknowledgements and pauses.
        bed: name of the bed shown first; None = the ward, or the bed if there is only one.
        greeting: shown in the line of the keys for GREETING_S, or until another note.
        bell: whether the terminal's bell rings for `sounding`.

    Attributes:
        left: the person has quit.
        order: all beds.
    """

    def __init__(
        self,
        clients: Mapping[str, BusClient],
        who: str,
        bed: str | None = None,
        greeting: str = "",
        *,
        bell: bool = False,
    ) -> None:
        self.left = False
        self._monitors = Monitors(clients)
        self.order = self._monitors.order
        self._who = who
        self._wanted = bed or ""
        self._mode: Literal["auto", "ward", "bed"] = "auto"
        self._open: BedRef | None = None
        self._view = BedView(note=greeting, bell=bell)
        self._ward = WardView(note=greeting, bell=bell)
        self._note_until_s: float | None = None
        self._size = (80, 24)
        self._ordered_s = -math.inf

    @property
    def bell(self) -> bool:
        """Whether the terminal's bell rings."""
        return self._view.bell

    @property
    def in_ward(self) -> bool:
        """Whether the screen shows the ward, not one bed."""
        if self._mode == "auto":
            return not self._wanted and self._has_ward
        return self._mode == "ward"

    @property
    def frames_per_s(self) -> float:
        """Frame rate of the present screen."""
        return WARD_FRAMES_PER_S if self.in_ward else BED_FRAMES_PER_S

    @property
    def joined(self) -> bool:
        """Whether the status of any bed has arrived; before that, fold more often than once a frame."""
        return any(entry.bed.status is not None for entry in self.order.entries)

    @property
    def chosen(self) -> WardBed | None:
        """The bed that keys act on: the opened one, or the one under the cursor."""
        return self._page().cursor if self.in_ward else self.order.find(self._open)

    # -- in ----------------------------------------------------------------------------------------------------

    def fold(self, now_s: float) -> None:
        """Fold all received messages; does not wait."""
        self._monitors.fold(now_s)
        # Behind an opened bed, ordering a thousand beds at each frame would cost more than the bed itself.
        if self.in_ward or len(self.order.entries) <= 1 or now_s - self._ordered_s >= 1 / WARD_FRAMES_PER_S:
            self._ordered_s = now_s
            self.order.update(now_s)
            self._settle_bed()
            self._subscribe(now_s)

    def _settle_bed(self) -> None:
        """Open the wanted bed once it is known; close a bed that its monitor no longer has."""
        if self._wanted and (entry := self.order.named(self._wanted)) is not None:
            self._wanted, self._open, self._mode = "", entry.ref, "bed"
        elif self._wanted and all(state.heartbeat is not None for state in self.order.states.values()):
            self._wanted = ""  # no bed has that name
        if self._mode == "auto" and not self.in_ward and self.order.entries:
            self._open = self.order.entries[0].ref
        if self._open is not None and self._monitors.is_gone(self._open):
            self._open, self._mode = None, "auto"
            self._view = BedView(bell=self.bell)

    def _subscribe(self, now_s: float) -> None:
        """Subscribe to what is on the screen. Behind an opened bed the page stays subscribed, to be complete later."""
        waves = {entry.ref for entry in self._page().shown} if len(self.order.entries) > 1 else set()
        opened = None if self.in_ward else self._open
        self._monitors.subscribe(frozenset(waves | ({opened} if opened is not None else set())), opened, now_s)

    def _page(self) -> Page:
        return page_of(self.order, self._ward, *self._size)

    # -- out ---------------------------------------------------------------------------------------------------

    def frame(self, width: int, height: int, now_s: float) -> Frame:
        """The present screen."""
        if self._ward.note and self._note_until_s is None:
            self._note_until_s = now_s + GREETING_S
        if self._note_until_s is not None and now_s >= self._note_until_s:
            self._note("", now_s)
        if (width, height) != self._size:
            self._size = width, height
            self._subscribe(now_s)
        if self.in_ward:
            return render_ward(self.order, width, height, now_s, self._ward)
        entry = self.order.find(self._open)
        address = next(iter(self.order.states)) if self._open is None else self._open.address
        view = replace(
            self._view,
            bed=None if self._open is None else self._open.name,
            only=self._open is not None,
            label="" if entry is None else entry.label,
            ward=self._has_ward,
            others=self._others(entry),
            warning=self._warning(address, now_s),
        )
        return render(self.order.states[address], width, height, now_s, view)

    @property
    def _has_ward(self) -> bool:
        return len(self.order.entries) > 1 or len(self.order.states) > 1

    def sounding(self, now_s: float) -> dict[Hashable, Priority]:
        """Alarms of all beds that are not acknowledged and whose audio is not paused, and lost monitors as low ones.

        A monitor that has ended sounds no more: its alarms can no longer be acknowledged.
        """
        found: dict[Hashable, Priority] = {}
        for address, state in self.order.states.items():
            connection = state.connection_now(now_s)
            if connection == "ended":
                continue
            if connection == "lost":
                found[address] = "low"
            for bed in state.beds.values():
                if bed.alarms.active and bed.audio_paused_s(now_s) <= 0:
                    for alarm in bed.alarms.active.values():
                        if alarm.state != "acknowledged":
                            found[address, alarm.alarm_id] = alarm.priority
        return found

    def _others(self, shown: WardBed | None) -> list[tuple[str, DashboardBed, Condition]]:
        """The opened bed, then the most urgent ones."""
        first = [] if shown is None else [shown]
        rest = [entry for entry in self.order.entries[:OTHERS] if entry is not shown]
        return [(entry.label, entry.bed, entry.condition) for entry in first + rest]

    def _warning(self, address: str, now_s: float) -> str:
        """Number of other monitors that are not connected; the header shows the bed's own connection."""
        others = [state.connection_now(now_s) for key, state in self.order.states.items() if key != address]
        down = sum(connection != "connected" for connection in others)
        return f"✕ {down} other monitor{'s' * (down != 1)} not connected" if down else ""

    def _note(self, text: str, now_s: float) -> None:
        """Show one line for a few seconds."""
        self._view, self._ward = replace(self._view, note=text), replace(self._ward, note=text)
        self._note_until_s = now_s + NOTE_S if text else None

    # -- keys --------------------------------------------------------------------------------------------------

    def press(self, key: str, now_s: float) -> None:
        """Do what a key stands for, on what was last drawn."""
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
        page = self._page()
        step = _steps(page.grid.cols, page.grid.per_page).get(key)
        if key == "enter":
            if page.cursor is not None:
                self._open_bed(page.cursor.ref)
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
            if not 0 <= at <= last:  # a row past the edge: stay; a page past it: go to the edge
                at = min(max(at, 0), last) if step is not None and abs(step) == page.grid.per_page else page.at
            self._ward = replace(self._ward, cursor=page.beds[at].ref)

    def _open_bed(self, ref: BedRef) -> None:
        self._open, self._mode = ref, "bed"
        self._view = replace(self._view, frozen=None)
        self._ward = replace(self._ward, cursor=ref)
        self._ordered_s = -math.inf

    def _type(self, key: str) -> None:
        """Edit the letters that filter bed names."""
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

    def _freeze(self, now_s: float) -> None:
        entry = self.order.find(self._open)
        if self._view.frozen is not None or entry is None:
            self._view = replace(self._view, frozen=None)
        else:
            self._view = replace(self._view, frozen=copy.deepcopy(entry.bed), frozen_at_s=now_s)

    def _next_bed(self) -> None:
        """Open the next bed in the order of labels."""
        refs = [entry.ref for entry in self.order.by_label()]
        if self._open in refs and len(refs) > 1:
            self._open_bed(refs[(refs.index(self._open) + 1) % len(refs)])

    def _acknowledge(self, now_s: float) -> None:
        entry = self.chosen
        alarm = entry.bed.alarms.top_unacknowledged() if entry is not None else None
        if alarm is None or entry is None:
            self._note("nothing to acknowledge", now_s)
            return
        request = Request(op="acknowledge", bed=alarm.bed, alarm_id=alarm.alarm_id, who=self._who)
        self._ask(entry, request, f"acknowledged: {alarm.kind.replace('_', ' ')}", now_s)

    def _pause_audio(self, now_s: float) -> None:
        entry = self.chosen
        if entry is None:
            self._note("no bed yet", now_s)
            return
        seconds = 0.0 if entry.bed.audio_paused_s(now_s) > 0 else AUDIO_PAUSE_MAX_S
        request = Request(op="pause_audio", bed=entry.ref.name, seconds=seconds, who=self._who)
        self._ask(entry, request, f"alarm audio paused for {seconds:.0f} s" if seconds else "alarm audio on", now_s)

    def _ask(self, entry: WardBed, request: Request, done: str, now_s: float) -> None:
        """Send a request to the bed's monitor and note its result."""
        where = f" ({entry.label})" if self.in_ward else ""
        self._note(self._monitors.request(entry.ref.address, request, f"{done}{where}"), now_s)


def _steps(cols: int, per_page: int) -> dict[str, int]:
    """Number of beds that each cursor key moves by."""
    return {
        "left": -1, "h": -1, "right": 1, "l": 1, "up": -cols, "k": -cols, "down": cols, "j": cols,
        "page up": -per_page, "<": -per_page, "page down": per_page, ">": per_page,
    }  # fmt: skip
