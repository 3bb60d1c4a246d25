"""The connection of the hub to one shard: messages, each once and in order; waves of shown beds; requests."""

from __future__ import annotations

import contextlib
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

__all__ = ["Link", "LinkOrder", "read_rest"]

_WAVES_HWM = 100
_WAVES_A_TURN = 500
_ANSWER_S = 5.0  # a request without an answer after this time is refused
_MOST_REQUESTS = 1_000


@dataclass(frozen=True)
class LinkOrder:
    """A shard, as the fleet describes it to the hub.

    Attributes:
        shard, beds: names.
        journal: file of its journal.
        endpoints: where it listens; None = it does not run now.
        first_epoch: of the first run in its journal.
        key: file of the hub's key; empty = the shard requires none.
        leaving: it is moving to another worker, or was killed: its beds will continue.
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
    """The connection to one run of a shard, from a position on.

    Args:
        key: of the hub; None = the shard requires none.
        clock: monotonic, s.

    Attributes:
        last_heartbeat_s: time of the last heartbeat, monotonic, s; of the connection before the first.
        goodbye: the shard has ended in order, and all its messages were received.
    """

    def __init__(
        self,
        endpoints: BusEndpoints,
        position: Position,
        key: ClientKey | None,
        clock: Callable[[], float],
    ) -> None:
        self.endpoints = endpoints
        self.last_heartbeat_s = clock()
        self.goodbye = False
        self._clock = clock
        self._position = position
        self._client = AlarmClient(endpoints.alarms, endpoints.control, streams=ALL_STREAMS, resume=position, key=key)
        self._context = zmq.Context()
        self._waves = self._socket(zmq.SUB, endpoints.waves, key)
        self._control = self._socket(zmq.DEALER, endpoints.control, key)
        self._shown: frozenset[str] = frozenset()
        self._requests: dict[str, tuple[ControlRequest, float]] = {}
        self._request_count = 0

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        """Sockets to poll."""
        return [*self._client.sockets, self._waves, self._control]

    @property
    def position(self) -> Position:
        """Position up to which `poll` has returned all messages."""
        return self._client.position or self._position

    def poll(self) -> list[Received]:
        """Messages that have arrived, without waiting."""
        items = self._client.poll(0.0)
        for _, body, _ in items:
            if isinstance(body, HeartbeatMessage):
                self.last_heartbeat_s = self._clock()
                self.goodbye = body.state == "goodbye"
        return items

    def show(self, beds: Collection[str]) -> None:
        """Subscribe to the waves of these beds only."""
        wanted = frozenset(beds)
        for bed in wanted - self._shown:
            self._waves.subscribe(bed_topic(bed, "wave"))
        for bed in self._shown - wanted:
            self._waves.unsubscribe(bed_topic(bed, "wave"))
        self._shown = wanted

    def waves(self) -> list[tuple[WaveHeader, bytes]]:
        """Waves that have arrived."""
        out: list[tuple[WaveHeader, bytes]] = []
        for frames in received(self._waves, _WAVES_A_TURN):
            with contextlib.suppress(ValueError, IndexError):
                header = decode(frames[1])
                if isinstance(header, WaveHeader) and wave_samples(header, frames[2]).size:
                    out.append((header, frames[2]))
        return out

    def ask(self, waiting: ControlRequest) -> None:
        """Pass a request on to the shard; `pass_replies` answers it."""
        self._request_count += 1
        # A shard does not know the epochs of the hub; without one it takes the newest run.
        request = msgspec.structs.replace(waiting.request, id=str(self._request_count), epoch="")
        if len(self._requests) >= _MOST_REQUESTS:
            waiting.reply(Reply(ok=False, error="too many requests wait for the shard of this bed; ask again"))
            return
        try:
            self._control.send_multipart([b"", encode(request)], zmq.NOBLOCK)
        except zmq.Again:
            waiting.reply(Reply(ok=False, error="the shard of this bed does not answer; ask again"))
            return
        self._requests[request.id] = waiting, self._clock() + _ANSWER_S

    def pass_replies(self) -> None:
        """Answer requests with the replies of the shard; refuse those without a reply after `_ANSWER_S`."""
        for frames in received(self._control, _MOST_REQUESTS):
            with contextlib.suppress(ValueError):
                reply = msgspec.json.decode(frames[-1], type=Reply)
                if reply.id in self._requests:
                    self._requests.pop(reply.id)[0].reply(reply)
        now_s = self._clock()
        for number, (waiting, until_s) in list(self._requests.items()):
            if now_s >= until_s:
                del self._requests[number]
                waiting.reply(Reply(ok=False, error="the shard of this bed has not answered in time; ask again"))

    def close(self) -> None:
        """Refuse the open requests and disconnect."""
        for waiting, _ in self._requests.values():
            waiting.reply(Reply(ok=False, error="the shard of this bed is being moved; ask again"))
        self._requests.clear()
        self._client.close()
        self._context.destroy(linger=0)

    def _socket(self, kind: int, endpoint: str, key: ClientKey | None) -> zmq.Socket[bytes]:
        sock = self._context.socket(kind)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RCVHWM, _WAVES_HWM if kind == zmq.SUB else _MOST_REQUESTS)
        if kind == zmq.DEALER:
            sock.setsockopt(zmq.IMMEDIATE, 1)  # an `acknowledge` must not take effect later
        if key is not None:
            use_key(sock, key)
        sock.connect(endpoint)
        return sock


def read_rest(journal: str, beds: Collection[str], position: Position) -> list[Received]:
    """Messages of a shard that has ended, after a position, from its journal.

    Raises:
        JournalError: the journal cannot be read.
        ValueError: a message cannot be decoded.
    """
    out: list[Received] = []
    with contextlib.closing(JournalReader(journal)) as reader:
        for topic in (bed_topic(bed, stream) for bed in beds for stream in ALL_STREAMS):
            place = position.topics.get(topic, Place(position.epoch, 0))
            for page in reader.pages(topic, place.epoch, place.seq):
                out += [(topic, decode(raw), raw) for raw in page.bodies]
    return out
