"""Pages: what each connected browser gets, and what is kept so that a new or returning page knows the present state."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

from monitor.client.client import ConnectionState
from monitor.client.positions import Place, Position
from monitor.messages import AlarmMessage, BeatMessage, HeartbeatMessage, StatusMessage, WaveHeader, encode
from monitor.web.feed import Batch
from monitor.web.frames import own_frame, text_frame, wave_frame

__all__ = ["BEHIND_BYTES", "Hub", "Page"]

WAVE_BYTES: Final = 262_144  # unsent bytes of a page beyond which its waves are left out
BEHIND_BYTES: Final = 8_388_608  # unsent bytes beyond which a page is cut off; it returns with its positions
_ALARMS: Final = 5_000  # alarm messages of a monitor kept for pages that return; older ones are in its journal
_CLEARED: Final = 1_000  # alarms by which a late message of one that is over is found
_BEATS: Final = 240  # of a bed that a page shows in detail
_NO_POSITION: Final = Position("", {})
_CONNECTION_S: Final = 0.4  # between two frames on the connection: a page that gets none takes the server for lost

View = frozenset[tuple[int, str]]


class Page:
    """Frames that wait for one browser. All methods are called in the event loop.

    Attributes:
        waves, beats: (monitor, bed) pairs whose waves, and whose beats and events it wants.
        started: whether its request `start` came; before that it gets nothing.
        recovered: monitors of which it has all alarms; of the others it keeps its old position.
        behind: more than BEHIND_BYTES wait: the connection has to be closed.
        dropped_waves: waves left out because too much was waiting.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.waves: View = frozenset()
        self.beats: View = frozenset()
        self.recovered: set[int] = set()
        self.started = self.behind = False
        self.dropped_waves = 0
        self._wake = wake
        self._frames: deque[str | bytes] = deque()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether so much waits that what is not live should wait, too."""
        return self._bytes > WAVE_BYTES

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
        if self.full:
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
    """Present state of one monitor: last values, active alarms, recent alarm messages.

    Many attributes: what a new or returning page gets is one state.
    """

    def __init__(self) -> None:
        self.epoch = ""
        self.connection: ConnectionState = "connecting"
        self.silent_s: float | None = None
        self.connection_sent_s = -math.inf
        self.heartbeat = ""
        self.statuses: dict[str, str] = {}
        self.active: dict[str, tuple[int, str]] = {}  # alarm id -> seq, frame
        self.cleared: dict[str, int] = {}  # alarm id -> seq, the oldest first
        self.alarms: deque[tuple[str, Place, str]] = deque(maxlen=_ALARMS)  # topic, place, frame; also of past runs
        self.beats: dict[str, deque[str]] = {}
        self.position = _NO_POSITION  # of the server, which has all alarm messages up to it
        self.joined = asyncio.Event()  # set once the position is known

    def begin_run(self, epoch: str) -> None:
        """Forget the state of an earlier run."""
        self.epoch = epoch
        self.statuses.clear()
        self.active.clear()
        self.cleared.clear()
        self.beats.clear()
        self.heartbeat = ""

    def keep_alarm(self, topic: str, body: AlarmMessage, frame: str) -> None:
        """Keep an alarm message, of this run or of the one before."""
        self.alarms.append((topic, Place(body.epoch, body.seq), frame))
        if body.epoch != self.epoch:
            return
        alarm_id = body.alarm.alarm_id
        if body.seq < max(self.active.get(alarm_id, (0, ""))[0], self.cleared.get(alarm_id, 0)):
            return  # late, from the journal
        if body.alarm.state == "cleared":
            self.active.pop(alarm_id, None)
            self.cleared[alarm_id] = body.seq
            if len(self.cleared) > _CLEARED:
                del self.cleared[next(iter(self.cleared))]
        else:
            self.active[alarm_id] = body.seq, frame


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
        if batch.epoch and batch.epoch != monitor.epoch:
            monitor.begin_run(batch.epoch)
            monitor.connection_sent_s = -math.inf  # before all messages of this run
        self._accept_connection(batch, monitor)
        for topic, body, raw in batch.received:
            if isinstance(body, AlarmMessage):
                frame = text_frame(batch.monitor, topic, bytes(raw))
                monitor.keep_alarm(topic, body, frame)
                self._give(frame)
                continue
            if body.epoch != monitor.epoch:
                continue
            if isinstance(body, WaveHeader):
                self._give_wave(batch.monitor, body, raw)
                continue
            frame = text_frame(batch.monitor, topic, bytes(raw))
            if isinstance(body, HeartbeatMessage):
                monitor.heartbeat = frame
                self._give(frame)
            elif isinstance(body, StatusMessage):
                monitor.statuses[body.bed] = frame
                self._give(frame)
            else:
                if isinstance(body, BeatMessage):
                    monitor.beats.setdefault(body.bed, deque(maxlen=_BEATS)).append(frame)
                self._give(frame, (batch.monitor, body.bed))
        if batch.position is not None:
            self._accept_position(batch.monitor, batch.position)

    def start(self, page: Page) -> None:
        """Give a page the present state."""
        page.started = True
        for number, monitor in enumerate(self._monitors):
            page.put(self._connection_frame(number))
            for frame in (
                monitor.heartbeat,
                *monitor.statuses.values(),
                *(frame for _, frame in monitor.active.values()),
            ):
                if frame:
                    page.put(frame)
        page.put(own_frame("current"))

    async def missed(self, page: Page, number: int, have: Position) -> list[tuple[str, Place]]:
        """Give a page the alarm messages after its position that are kept here.

        Waits until this server itself has the messages of the monitor.

        Returns:
            Topics whose messages have to come from the journal, and the place in each after which they begin.
        """
        monitor = self._monitors[number]
        await monitor.joined.wait()
        position = monitor.position
        kept: dict[str, dict[Place, str]] = {}
        for topic, place, frame in monitor.alarms:
            kept.setdefault(topic, {})[place] = frame
        wanted = []
        for topic in sorted({*have.topics, *position.topics}):
            if not topic.endswith("/alarm/"):
                continue
            begin = have.topics.get(topic, Place(have.epoch, 0))
            end = position.topics.get(topic, Place(position.epoch, 0))
            frames = {place.seq: frame for place, frame in kept.get(topic, {}).items() if place.epoch == begin.epoch}
            if begin.epoch != end.epoch or any(seq not in frames for seq in range(begin.seq + 1, end.seq + 1)):
                wanted.append((topic, begin))
            for seq in sorted(frames):
                if seq > begin.seq:  # perhaps beyond a message that this server itself waits for
                    page.put(frames[seq])
        return wanted

    async def set_recovered(self, page: Page, number: int, complete: bool) -> None:
        """Inform a page that it has all alarm messages of a monitor up to the server's own position.

        Args:
            page: started.
            number: of the monitor.
            complete: the journal had all messages that were missing.
        """
        monitor = self._monitors[number]
        await monitor.joined.wait()
        page.recovered.add(number)
        page.put(own_frame("recovered", monitor=number, active=[*monitor.active], complete=complete))
        page.put(own_frame("position", monitor=number, position=_of_alarms(monitor.position, _NO_POSITION)))

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
                frame = frame or wave_frame(number, encode(header), samples)
                page.put_wave(frame)

    def _give(self, frame: str, bed: tuple[int, str] | None = None) -> None:
        """Give a frame to all pages, or to those that want the beats and events of a bed."""
        for page in self.pages:
            if page.started and (bed is None or bed in page.beats):
                page.put(frame)

    def _accept_connection(self, batch: Batch, monitor: _Monitor) -> None:
        now_s = self._clock()
        monitor.silent_s = batch.silent_s
        if batch.state != monitor.connection or now_s - monitor.connection_sent_s >= _CONNECTION_S:
            monitor.connection, monitor.connection_sent_s = batch.state, now_s
            self._give(self._connection_frame(batch.monitor))

    def _accept_position(self, number: int, position: Position) -> None:
        monitor = self._monitors[number]
        changed = _of_alarms(position, monitor.position)
        monitor.position = position
        monitor.joined.set()
        frame = own_frame("position", monitor=number, position=changed)
        for page in self.pages:
            if number in page.recovered:
                page.put(frame)

    def _connection_frame(self, number: int) -> str:
        monitor = self._monitors[number]
        return own_frame(
            "connection", monitor=number, state=monitor.connection, silent_s=monitor.silent_s, epoch=monitor.epoch,
            at_s=self._clock(),
        )  # fmt: skip


def _of_alarms(position: Position, before: Position) -> Position:
    """The places of a position in topics of alarms that differ from those of an earlier position."""
    places = {name: place for name, place in position.topics.items() if name.endswith("/alarm/")}
    return Position(position.epoch, {name: place for name, place in places.items() if before.topics.get(name) != place})
