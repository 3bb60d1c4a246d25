"""The hub's line to one shard: messages, each once and in order; waves of beds that are looked at; requests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import msgspec
import zmq

from monitor.bus.endpoints import BusEndpoints
from monitor.bus.keys import ClientKey, use_key
from monitor.bus.receive import received
from monitor.bus.requests import ControlRequest
from monitor.client.client import ALL_STREAMS, AlarmClient, Received, wave_samples
from monitor.client.positions import Place, Position
from monitor.journal import JournalReader
from monitor.messages import HeartbeatMessage, Reply, WaveHeader, bed_topic, decode, encode

__all__ = ["Link", "LinkOrder", "drained"]

_WAVES_HWM = 100
_WAVES_A_TURN = 500
_ANSWER_S = 5.0  # a shard that has not answered a request by then is not waited for
_MOST_ERRANDS = 1_000


@dataclass(frozen=True)
class LinkOrder:
    """What the hub is told of a shard.

    Attributes:
        shard: its name.
        beds: their names.
        journal: its file.
        endpoints: where it listens; None = it does not run now.
        first_epoch: of the first run in its journal.
        key: file of the hub's key to it; empty = it asks for none.
        leaving: it is on its way to another worker, or killed: its beds go on.
        ended: all its sources have ended.
    """

    shard: str
    beds: tuple[str, ...]
    journal: str
    endpoints: BusEndpoints | None = None
    first_epoch: str = ""
    key: str = ""
    leaving: bool = False
    ended: bool = False


class Link:
    """Connected to a shard as long as it lives.

    Args:
        endpoints: of the shard.
        position: up to where all was had.
        key: for it.
        clock: monotonic, s.

    Attributes:
        heard_s: when it last gave a sign of life.
        goodbye: it has ended in order, and all was had.
    """

    def __init__(
        self,
        endpoints: BusEndpoints,
        position: Position,
        key: ClientKey | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoints = endpoints
        self.heard_s = clock()
        self.goodbye = False
        self._clock = clock
        self._position = position
        self._client = AlarmClient(endpoints.alarms, endpoints.control, streams=ALL_STREAMS, resume=position, key=key)
        self._context = zmq.Context()
        self._waves = self._socket(zmq.SUB, endpoints.waves, key)
        self._control = self._socket(zmq.DEALER, endpoints.control, key)
        self._shown: frozenset[str] = frozenset()
        self._errands: dict[str, tuple[ControlRequest, float]] = {}
        self._asked = 0

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        """To wait for."""
        return [*self._client.sockets, self._waves, self._control]

    @property
    def position(self) -> Position:
        """Up to where `poll` has given all."""
        return self._client.position or self._position

    def poll(self) -> list[Received]:
        """What has come, without waiting."""
        items = self._client.poll(0.0)
        for _, body, _ in items:
            if isinstance(body, HeartbeatMessage):
                self.heard_s = self._clock()
                self.goodbye = body.state == "goodbye"
        return items

    def show(self, beds: Collection[str]) -> None:
        """Of which beds waves are wanted."""
        wanted = frozenset(beds)
        for bed in wanted - self._shown:
            self._waves.subscribe(bed_topic(bed, "wave"))
        for bed in self._shown - wanted:
            self._waves.unsubscribe(bed_topic(bed, "wave"))
        self._shown = wanted

    def waves(self) -> list[tuple[WaveHeader, bytes]]:
        """Waves that have come."""
        out: list[tuple[WaveHeader, bytes]] = []
        for frames in received(self._waves, _WAVES_A_TURN):
            with contextlib.suppress(ValueError, IndexError):
                header = decode(frames[1])
                if isinstance(header, WaveHeader) and wave_samples(header, frames[2]).size:
                    out.append((header, frames[2]))
        return out

    def ask(self, waiting: ControlRequest) -> None:
        """Pass a request on; it is answered by `answers`."""
        self._asked += 1
        # Epochs of the hub mean nothing to a shard: it looks for the newest.
        request = msgspec.structs.replace(waiting.request, id=str(self._asked), epoch="")
        if len(self._errands) >= _MOST_ERRANDS:
            waiting.reply(Reply(ok=False, error="too many requests wait for the shard of this bed; ask again"))
            return
        try:
            self._control.send_multipart([b"", encode(request)], zmq.NOBLOCK)
        except zmq.Again:
            waiting.reply(Reply(ok=False, error="the shard of this bed does not answer; ask again"))
            return
        self._errands[request.id] = waiting, self._clock() + _ANSWER_S

    def answers(self) -> None:
        """Hand on what the shard has answered, and refuse what it has not for too long."""
        for frames in received(self._control, _MOST_ERRANDS):
            with contextlib.suppress(ValueError):
                reply = msgspec.json.decode(frames[-1], type=Reply)
                if reply.id in self._errands:
                    self._errands.pop(reply.id)[0].reply(reply)
        now_s = self._clock()
        for number, (waiting, until_s) in list(self._errands.items()):
            if now_s >= until_s:
                del self._errands[number]
                waiting.reply(Reply(ok=False, error="the shard of this bed has not answered in time; ask again"))

    def close(self) -> None:
        """Let go."""
        for waiting, _ in self._errands.values():
            waiting.reply(Reply(ok=False, error="the shard of this bed is being moved; ask again"))
        self._errands.clear()
        self._client.close()
        self._context.destroy(linger=0)

    def _socket(self, kind: int, endpoint: str, key: ClientKey | None) -> zmq.Socket[bytes]:
        sock = self._context.socket(kind)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RCVHWM, _WAVES_HWM if kind == zmq.SUB else _MOST_ERRANDS)
        if kind == zmq.DEALER:
            sock.setsockopt(zmq.IMMEDIATE, 1)  # an `acknowledge` must not take effect later
        if key is not None:
            use_key(sock, key)
        sock.connect(endpoint)
        return sock


def drained(journal: str, beds: Collection[str], position: Position) -> list[Received]:
    """What a shard that has ended, and can be asked no more, had still to say: the rest of its journal.

    Args:
        journal: its file.
        beds: their names.
        position: up to where all was had.

    Raises:
        JournalError: it cannot be read.
    """
    out: list[Received] = []
    reader = JournalReader(journal)
    try:
        for topic in (bed_topic(bed, stream) for bed in beds for stream in ALL_STREAMS):
            place = position.topics.get(topic, Place(position.epoch, 0))
            epoch, seq, more = place.epoch, place.seq, True
            while more:
                since = reader.since(topic, epoch, seq)
                out += [(topic, decode(raw), raw) for raw in since.bodies]
                epoch, seq, more = since.epoch, since.seq, since.more
    finally:
        reader.close()
    return out
