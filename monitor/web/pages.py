"""Pages: what each connected browser gets, and what is kept so that a new or returning page knows the present state."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

from monitor.client.client import ConnectionState
from monitor.messages import AlarmMessage, BeatMessage, HeartbeatMessage, StatusMessage, WaveHeader
from monitor.web.feed import Batch
from monitor.web.frames import Have, own_frame, text_frame, wave_frame

__all__ = ["BEHIND_BYTES", "Hub", "Page"]

WAVE_BYTES: Final = 262_144  # unsent bytes of a page beyond which its waves are left out
BEHIND_BYTES: Final = 8_388_608  # unsent bytes beyond which a page is cut off; it returns with its positions
_ALARMS: Final = 5_000  # alarm messages of a monitor kept for pages that return
_BEATS: Final = 240  # of a bed that a page shows in detail
_CONNECTION_S: Final = 1.0  # between two frames on the connection: a page that gets none takes the server for lost

View = frozenset[tuple[int, str]]


class Page:
    """Frames that wait for one browser. All methods are called in the event loop.

    Attributes:
        waves, beats: (monitor, bed) pairs whose waves, and whose beats and events it wants.
        started: whether its request `start` came; before that it gets nothing.
        behind: more than BEHIND_BYTES wait: the connection has to be closed.
        dropped_waves: waves left out because too much was waiting.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.waves: View = frozenset()
        self.beats: View = frozenset()
        self.started = self.behind = False
        self.dropped_waves = 0
        self._wake = wake
        self._frames: deque[str | bytes] = deque()
        self._bytes = 0

    def put(self, frame: str | bytes) -> None:
        """Add a frame."""
        if self.behind:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if self._bytes > BEHIND_BYTES:
            self.behind = True
            self._frames.clear()
        self._wake()

    def put_wave(self, frame: bytes) -> None:
        """Add a wave, unless too much is waiting already."""
        if self._bytes > WAVE_BYTES:
            self.dropped_waves += 1
        else:
            self.put(frame)

    def take(self) -> str | bytes | None:
        """The next frame; None without one."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame


class _Monitor:
    """Present state of one monitor: last values, active alarms, recent alarm messages."""

    def __init__(self) -> None:
        self.epoch = ""
        self.connection: ConnectionState = "connecting"
        self.silent_s: float | None = None
        self.connection_sent_s = -math.inf
        self.heartbeat = ""
        self.statuses: dict[str, str] = {}
        self.active: dict[str, str] = {}
        self.alarms: deque[tuple[str, int, str]] = deque(maxlen=_ALARMS)  # topic, seq, frame
        self.beats: dict[str, deque[str]] = {}

    def clear(self) -> None:
        """Forget an earlier run."""
        self.statuses.clear()
        self.active.clear()
        self.alarms.clear()
        self.beats.clear()
        self.heartbeat = ""


class Hub:
    """Distributes the batches of the feed to the pages. All methods are called in the event loop.

    Args:
        names: of the monitors, as the user gave them.
        set_detail: called with (monitor, wave beds, beat beds) when the union of what all pages want has changed.
        clock: monotonic time, s.
    """

    def __init__(
        self,
        names: list[str],
        set_detail: Callable[[int, Collection[str], Collection[str]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.names = names
        self.pages: set[Page] = set()
        self._monitors = [_Monitor() for _ in names]
        self._set_detail = set_detail
        self._details: list[tuple[frozenset[str], frozenset[str]]] = [(frozenset(), frozenset())] * len(names)

    def is_lost(self, monitor: int) -> bool:
        """Whether the connection to a monitor is lost, or the monitor has ended."""
        return self._monitors[monitor].connection in ("lost", "ended")

    def accept(self, batch: Batch) -> None:
        """Take over what a monitor sent, and give it to the pages."""
        monitor = self._monitors[batch.monitor]
        for topic, body, raw in batch.received:
            if body.epoch and body.epoch != monitor.epoch:
                monitor.clear()
                monitor.epoch = body.epoch
            if isinstance(body, WaveHeader):
                self._give_wave(batch.monitor, body, raw)
                continue
            frame = text_frame(batch.monitor, topic, bytes(raw))
            bed = ""
            if isinstance(body, HeartbeatMessage):
                monitor.heartbeat = frame
            elif isinstance(body, StatusMessage):
                monitor.statuses[body.bed] = frame
            elif isinstance(body, AlarmMessage):
                monitor.alarms.append((topic, body.seq, frame))
                if body.alarm.state == "cleared":
                    monitor.active.pop(body.alarm.alarm_id, None)
                else:
                    monitor.active[body.alarm.alarm_id] = frame
            else:
                bed = body.bed
                if isinstance(body, BeatMessage):
                    monitor.beats.setdefault(bed, deque(maxlen=_BEATS)).append(frame)
            for page in self.pages:
                if page.started and (not bed or (batch.monitor, bed) in page.beats):
                    page.put(frame)
        now_s = self._clock()
        monitor.silent_s = batch.silent_s
        if batch.state != monitor.connection or now_s - monitor.connection_sent_s >= _CONNECTION_S:
            monitor.connection, monitor.connection_sent_s = batch.state, now_s
            self._give_connection(batch.monitor, batch.silent_s)

    def start(self, page: Page, have: dict[str, tuple[str, Have]]) -> list[tuple[int, str, str, int]]:
        """Give a page the present state, and the alarm messages that it has missed.

        Args:
            page: new.
            have: monitor's name -> run and last `seq` of each alarm topic that the page has.

        Returns:
            Requests `since` for what is no longer kept here: (monitor, topic, run, seq).
        """
        page.started = True
        missing: list[tuple[int, str, str, int]] = []
        for number, (name, monitor) in enumerate(zip(self.names, self._monitors, strict=True)):
            epoch, seqs = have.get(name, ("", {}))
            if epoch:
                missing += self._missed(page, number, monitor, epoch, seqs)
            for frame in (monitor.heartbeat, *monitor.statuses.values(), *monitor.active.values()):
                if frame:
                    page.put(frame)
            page.put(own_frame("connection", monitor=number, state=monitor.connection, silent_s=monitor.silent_s))
        page.put(own_frame("current"))
        return missing

    def view(self, page: Page, waves: Iterable[tuple[int, str]], beats: Iterable[tuple[int, str]]) -> None:
        """Set what a page wants in detail; beats that are known are given at once."""
        before = page.beats
        page.waves, page.beats = frozenset(waves), frozenset(beats)
        for number, bed in sorted(page.beats - before):
            if number < len(self._monitors):
                for frame in self._monitors[number].beats.get(bed, ()):
                    page.put(frame)
        self._choose_details()

    def remove(self, page: Page) -> None:
        """Forget a page whose connection has ended."""
        self.pages.discard(page)
        self._choose_details()

    def _choose_details(self) -> None:
        for number, monitor in enumerate(self._monitors):
            waves = frozenset(bed for page in self.pages for at, bed in page.waves if at == number)
            beats = frozenset(bed for page in self.pages for at, bed in page.beats if at == number)
            if (waves, beats) != self._details[number]:
                self._details[number] = waves, beats
                for bed in monitor.beats.keys() - beats:
                    del monitor.beats[bed]
                self._set_detail(number, waves, beats)

    def _give_wave(self, number: int, header: WaveHeader, samples: bytes) -> None:
        frame = b""
        for page in self.pages:
            if (number, header.bed) in page.waves:
                frame = frame or wave_frame(number, _wave_json(header), samples)
                page.put_wave(frame)

    def _give_connection(self, number: int, silent_s: float | None) -> None:
        frame = own_frame("connection", monitor=number, state=self._monitors[number].connection, silent_s=silent_s)
        for page in self.pages:
            if page.started:
                page.put(frame)

    def _missed(
        self, page: Page, number: int, monitor: _Monitor, epoch: str, seqs: Have
    ) -> list[tuple[int, str, str, int]]:
        """Give the kept alarm messages after `seqs`; return the requests for what is not kept."""
        first: dict[str, int] = {}
        for topic, seq, _ in monitor.alarms:
            first.setdefault(topic, seq)
        wanted = []
        for topic, seq in seqs.items():
            if epoch != monitor.epoch or first.get(topic, seq + 1) > seq + 1:
                wanted.append((number, topic, epoch, seq))
        if epoch == monitor.epoch:
            asked = {topic for _, topic, _, _ in wanted}
            for topic, seq, frame in monitor.alarms:
                if topic not in asked and seq > seqs.get(topic, 0):
                    page.put(frame)
        return wanted


def _wave_json(header: WaveHeader) -> bytes:
    from monitor.messages import encode

    return encode(header)
