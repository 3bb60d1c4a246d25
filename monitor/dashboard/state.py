"""What the dashboard knows: bus messages folded into a state of bounded size. Pure, as `bed` is."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, get_args

from monitor.client.liveness import LOST_AFTER_S, STALE_AFTER_S
from monitor.dashboard.bed import BedState, StreamCondition
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

__all__ = ["Condition", "Connection", "DashboardState"]

MAX_BEDS = 4_096  # of one monitor; without a waveform a bed takes a few kB
TILE_SCALE_EVERY_S = 2.0  # of beds that are only looked at
_OLD_EPOCHS = 16

Connection = Literal["connecting", "connected", "stale", "lost", "ended"]
Condition = StreamCondition | Literal["stale", "lost"]
_CONNECTIONS: dict[str, Connection] = {word: word for word in get_args(Connection)}


@dataclass
class DashboardState:
    """The state of the whole dashboard.

    Attributes:
        beds: by name, in the order in which they were heard of; at most 4,096.
        connection: what the client says of its connection.
        heartbeat: the last one.
        epoch: id of the monitor's run; a new one starts everything anew.
        looked: beds whose waves are asked for; None = those of all.
        closely: beds whose beats and events are asked for as well; None = those of all.
        changes: how often beds came or went.
        malformed: messages that could not be used.
        updated_s: `now_s` of the last change.
    """

    beds: dict[str, BedState] = field(default_factory=dict)
    connection: Connection = "connecting"
    heartbeat: HeartbeatMessage | None = None
    epoch: str = ""
    looked: frozenset[str] | None = None
    closely: frozenset[str] | None = None
    changes: int = 0
    malformed: int = 0
    updated_s: float = 0.0
    _heartbeat_at_s: float | None = None
    _old_epochs: deque[str] = field(default_factory=lambda: deque(maxlen=_OLD_EPOCHS))

    def apply(self, message: Message, raw_samples: bytes | None = None, *, now_s: float) -> None:
        """Fold one message into the state.

        Args:
            message: any message of the bus.
            raw_samples: the third frame of a wave message, float32 little-endian mV, row by row.
            now_s: the subscriber's monotonic clock, s.
        """
        self.updated_s = now_s
        if message.epoch and message.epoch != self.epoch:
            if message.epoch in self._old_epochs:  # what a slow socket still held of a run that is over
                return
            if self.epoch:  # the monitor was started anew: nothing of the old run is true any more
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
            if (self.looked is None or name in self.looked) and not bed.fold_wave(message, raw_samples or b"", now_s):
                self.malformed += 1
        elif isinstance(message, BeatMessage):
            if self.closely is None or name in self.closely:
                bed.fold_beat(message, now_s)
        elif isinstance(message, StatusMessage):
            bed.fold_status(message, now_s)
        elif isinstance(message, EventMessage):
            if self.closely is None or name in self.closely:
                bed.fold_event(message, now_s)
        else:
            bed.fold_alarm(message, now_s)

    def look(self, waves: Collection[str], closely: Collection[str], now_s: float) -> None:
        """Learn of which beds waves, and beats and events, are asked for from now on; others must not be missed."""
        before = self.looked, self.closely
        self.looked, self.closely = frozenset(waves), frozenset(closely)
        for bed in self.beds.values():
            new = bed.name in self.looked, bed.name in self.closely
            if new != tuple(names is None or bed.name in names for names in before):
                bed.look(now_s, waves=new[0], closely=new[1])
            if new[0]:
                bed.lead.scale_every_s = SCALE_EVERY_S if new[1] else TILE_SCALE_EVERY_S

    def set_connection(self, connection: str, now_s: float) -> None:
        """Take over what the client says, one of `Connection`'s words; anything else is `connecting`."""
        self.connection = _CONNECTIONS.get(connection, "connecting")
        self.updated_s = now_s

    def connection_now(self, now_s: float) -> Connection:
        """The connection, the worse of what the client says and of what the heartbeats show."""
        if self.heartbeat is not None and self.heartbeat.state == "goodbye":
            return "ended"
        if self.connection in ("connecting", "lost", "ended") or self._heartbeat_at_s is None:
            return self.connection
        silent_s = now_s - self._heartbeat_at_s
        if silent_s >= LOST_AFTER_S:
            return "lost"
        return "stale" if silent_s >= STALE_AFTER_S else self.connection

    def condition(self, bed: BedState, now_s: float) -> Condition:
        """What the waveform of a bed may be taken for: `live`, or why not."""
        return self.condition_under(self.connection_now(now_s), bed, now_s)

    @staticmethod
    def condition_under(connection: Connection, bed: BedState, now_s: float) -> Condition:
        """As `condition`, where the connection is known already."""
        stream = bed.stream_condition(now_s)
        if connection == "ended" or stream == "ended":
            return "ended"
        if connection == "stale" or connection == "lost":
            return connection
        return stream

    def bed(self, name: str | None) -> BedState | None:
        """The bed of that name, else the first one, else None."""
        if name is not None and name in self.beds:
            return self.beds[name]
        return next(iter(self.beds.values()), None)

    def frozen_bed(self, name: str) -> BedState | None:
        """A copy of a bed that no message changes any more."""
        return copy.deepcopy(self.beds.get(name))

    def _bed(self, name: str, now_s: float) -> BedState | None:
        bed = self.beds.get(name)
        if bed is None and len(self.beds) < MAX_BEDS:
            bed = self.beds[name] = BedState(name)
            self.changes += 1
            if self.looked is not None:
                bed.waves_from_s = now_s if name in self.looked else None
        return bed
