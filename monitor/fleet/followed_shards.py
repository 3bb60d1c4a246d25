"""The shards that a hub follows: their links, and how far their messages have been published."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zmq

from monitor.bus.keys import load_client_key
from monitor.client.client import Received
from monitor.client.positions import Position, load_position, save_position
from monitor.errors import PositionError
from monitor.fleet.link import Link, LinkOrder
from monitor.messages import HeartbeatMessage

__all__ = ["FollowedShard", "FollowedShards"]

_GATHER_S = 0.01  # wait for further messages: waking for each of 230 a second took a fifth of a core


@dataclass
class FollowedShard:
    """A shard as the hub sees it.

    Attributes:
        link: None while it does not run.
        position: up to where its messages were published, while there is no link.
        heartbeat: its last.
        unlinked_s: last sign of life before the link was closed, monotonic, s.
        drained: it has ended, and all its messages were published.
    """

    order: LinkOrder
    unlinked_s: float
    link: Link | None = None
    position: Position | None = None
    heartbeat: HeartbeatMessage | None = None
    drained: bool = False

    def silent_s(self, now_s: float) -> float:
        """Time since its last sign of life, s."""
        return now_s - (self.unlinked_s if self.link is None else self.link.last_heartbeat_s)


class FollowedShards:
    """All shards of a hub, in the order of their first `follow`; by bed in `of_bed`.

    Args:
        folder: of the position files.
        clock: monotonic, s.
        report: called with one line about a position file that cannot be read or written.
    """

    def __init__(self, folder: Path, clock: Callable[[], float], report: Callable[[str], None]) -> None:
        self._folder = folder
        self._clock = clock
        self._report = report
        self._shards: dict[str, FollowedShard] = {}
        self.of_bed: dict[str, FollowedShard] = {}
        self._poller = zmq.Poller()

    def __iter__(self) -> Iterator[FollowedShard]:
        return iter(list(self._shards.values()))

    @property
    def linked(self) -> bool:
        """Whether there is any link."""
        return any(shard.link is not None for shard in self._shards.values())

    def follow(self, order: LinkOrder) -> tuple[FollowedShard, list[Received]]:
        """Connect to a shard where it runs now; return the last messages of a link that is closed."""
        shard = self._shards.get(order.shard)
        if shard is None:
            shard = self._shards[order.shard] = FollowedShard(order, self._clock())
            try:
                shard.position = load_position(self._position_file(order.shard))
            except PositionError as error:
                self._report(str(error))
            self.of_bed |= dict.fromkeys(order.beds, shard)
        shard.order = order
        rest: list[Received] = []
        if shard.link is not None and shard.link.endpoints != order.endpoints:
            rest = shard.link.poll()
            self.unlink(shard)
        if shard.link is None and order.endpoints is not None and not order.ended:
            shard.position = shard.position or Position(order.first_epoch, {})
            key = load_client_key(Path(order.key)) if order.key else None
            shard.link = Link(order.endpoints, shard.position, key, self._clock)
            for sock in shard.link.sockets:
                self._poller.register(sock, zmq.POLLIN)
        return shard, rest

    def unlink(self, shard: FollowedShard) -> None:
        """Close the link of a shard, if any, and keep its position."""
        link, shard.link = shard.link, None
        if link is not None:
            shard.position, shard.unlinked_s = link.position, link.last_heartbeat_s
            for sock in link.sockets:
                self._poller.unregister(sock)
            link.close()

    def wait(self, timeout_s: float) -> set[zmq.Socket[bytes]]:
        """Sockets with messages, after at most `timeout_s`; none where there is no link."""
        ready = {sock for sock, _ in self._poller.poll(round(timeout_s * 1000))} if self.linked else set()
        if ready:
            time.sleep(_GATHER_S)
            ready |= {sock for sock, _ in self._poller.poll(0)}
        return ready

    def save_positions(self) -> None:
        """Write the positions; call it after the messages up to there were committed."""
        for name, shard in self._shards.items():
            position = shard.link.position if shard.link is not None else shard.position
            if position is not None:
                try:
                    save_position(self._position_file(name), position)
                except PositionError as error:
                    self._report(str(error))

    def _position_file(self, shard: str) -> Path:
        return self._folder / f"hub-{shard}.json"
