"""State of the dashboard: bus messages of one monitor folded into a state of bounded size. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from monitor.client.liveness import LOST_AFTER_S, STALE_AFTER_S, ConnectionState
from monitor.dashboard.bed import DashboardBed, StreamCondition
from monitor.dashboard.lead import SCALE_EVERY_S
from monitor.messages import (
    AlarmMessage,
    BeatMessage,
    EventMessage,
    HeartbeatMessage,
    Message,
    StatusMessage,
    WaveHeader,
)

__all__ = ["Condition", "DashboardState", "condition_of"]

MAX_BEDS = 4_096  # of one monitor; without a waveform a bed takes a few kB
TILE_SCALE_EVERY_S = 2.0  # of beds shown as tiles
_OLD_EPOCHS = 16

Condition = StreamCondition | Literal["stale", "lost"]


@dataclass
class DashboardState:
    """State of one monitor.

    Attributes:
        beds: by name, in the order of their first message; at most 4,096.
        connection: state of the connection, as the client reports it.
        heartbeat: the last one.
        epoch: id of the monitor's run; a new one resets the state.
        with_waves: beds whose waves are subscribed; None = all.
        with_beats: beds whose beats and events are subscribed; None = all.
        changes: number of times that beds were added or removed.
        malformed: messages that could not be used.
        updated_s: `now_s` of the last change.
    """

    beds: dict[str, DashboardBed] = field(default_factory=dict)
    connection: ConnectionState = "connecting"
    heartbeat: HeartbeatMessage | None = None
    epoch: str = ""
    with_waves: frozenset[str] | None = None
    with_beats: frozenset[str] | None = None
    changes: int = 0
    malformed: int = 0
    updated_s: float = 0.0
    _heartbeat_at_s: float | None = None
    _old_epochs: deque[str] = field(default_factory=lambda: deque(maxlen=_OLD_EPOCHS))

    def apply(self, message: Message, raw_samples: bytes | None = None, *, now_s: float) -> None:
        """Fold one message into the state.

        Args:
            message: any message of the bus.
            raw_samples: of a wave message, float32 little-endian mV, row by row.
            now_s: the subscriber's monotonic clock, s.
        """
        self.updated_s = now_s
        if message.epoch and message.epoch != self.epoch:
            if message.epoch in self._old_epochs:  # a late message of an earlier run
                return
            if self.epoch:  # the monitor was restarted: nothing of the old run holds any more
                self._old_epochs.append(self.epoch)
                self.beds.clear()
                self.changes += 1
            self.epoch = message.epoch
        if isinstance(message, HeartbeatMessage):
            self.heartbeat = message
            self._heartbeat_at_s = now_s
            for name in message.beds:
                self._bed(name, now_s)
            return
        name = message.alarm.bed if isinstance(message, AlarmMessage) else message.bed
        bed = self._bed(name, now_s)
        if bed is None:
            self.malformed += 1
        elif isinstance(message, WaveHeader):
            subscribed = self.with_waves is None or name in self.with_waves
            if subscribed and not bed.fold_wave(message, raw_samples or b"", now_s):
                self.malformed += 1
        elif isinstance(message, BeatMessage):
            if self.with_beats is None or name in self.with_beats:
                bed.fold_beat(message, now_s)
        elif isinstance(message, StatusMessage):
            bed.fold_status(message, now_s)
        elif isinstance(message, EventMessage):
            if self.with_beats is None or name in self.with_beats:
                bed.fold_event(message, now_s)
        else:
            bed.fold_alarm(message, now_s)

    def set_detail(self, waves: Collection[str], beats: Collection[str], now_s: float) -> None:
        """Note the beds whose waves, and whose beats and events, are subscribed from now on.

        Waves and beats of other beds are ignored, and their absence is not taken for silence.
        """
        before = self.with_waves, self.with_beats
        self.with_waves, self.with_beats = frozenset(waves), frozenset(beats)
        for bed in self.beds.values():
            new = bed.name in self.with_waves, bed.name in self.with_beats
            if new != tuple(names is None or bed.name in names for names in before):
                bed.set_detail(now_s, waves=new[0], beats=new[1])
            if new[0]:
                bed.lead.scale_every_s = SCALE_EVERY_S if new[1] else TILE_SCALE_EVERY_S

    def set_connection(self, connection: ConnectionState, now_s: float) -> None:
        """Take over the client's state."""
        self.connection = connection
        self.updated_s = now_s

    def connection_now(self, now_s: float) -> ConnectionState:
        """The connection: the worse of the client's state and of the age of the last heartbeat."""
        if self.heartbeat is not None and self.heartbeat.state == "goodbye":
            return "ended"
        if self.connection in ("connecting", "lost", "ended") or self._heartbeat_at_s is None:
            return self.connection
        silent_s = now_s - self._heartbeat_at_s
        if silent_s >= LOST_AFTER_S:
            return "lost"
        return "stale" if silent_s >= STALE_AFTER_S else self.connection

    def condition(self, bed: DashboardBed, now_s: float) -> Condition:
        """Condition of a bed's waveform: `live`, or why it is not."""
        return condition_of(bed, self.connection_now(now_s), now_s)

    def bed(self, name: str | None) -> DashboardBed | None:
        """The bed of that name, else the first one, else None."""
        if name is not None and name in self.beds:
            return self.beds[name]
        return next(iter(self.beds.values()), None)

    def _bed(self, name: str, now_s: float) -> DashboardBed | None:
        bed = self.beds.get(name)
        if bed is None and len(self.beds) < MAX_BEDS:
            bed = self.beds[name] = DashboardBed(name)
            self.changes += 1
            if self.with_waves is not None:
                bed.clock.waves_from_s = now_s if name in self.with_waves else None
        return bed


def condition_of(bed: DashboardBed, connection: ConnectionState, now_s: float) -> Condition:
    """Condition of a bed's waveform under a given state of the connection."""
    stream = bed.stream_condition(now_s)
    if connection == "ended" or stream == "ended":
        return "ended"
    return connection if connection == "stale" or connection == "lost" else stream
