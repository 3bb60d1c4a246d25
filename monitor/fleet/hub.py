"""The hub: a subscriber to every shard, and one monitor to everybody else.

It is no plain proxy (XSUB/XPUB): each shard has an epoch, a count of messages and heartbeats of its own, and on one
address they would say in turn that the monitor was started anew. The hub has what every shard says, each message once
and in order (`monitor.client.client.AlarmClient`), numbers it anew, keeps it in its own journal and publishes it as one
monitor does; requests go to the shard that has the bed.

A hub that was killed begins with the positions that it kept, asks every shard for the rest, and leaves out what its
journal says was published already: every alarm, and every beat but those of the last quarter of a second, which come
twice.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import queue
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zmq

from monitor import VERSION
from monitor.bus.endpoints import BusEndpoints
from monitor.bus.keys import load_client_key, load_server_keys
from monitor.bus.requests import ControlRequest
from monitor.bus.server import Bus, endpoints_from
from monitor.client.client import Received, wave_samples
from monitor.client.positions import Position, load_position, save_position
from monitor.config import Config
from monitor.errors import JournalError, PositionError
from monitor.fleet.link import Link, LinkOrder, drained
from monitor.fleet.outage import Outages, not_watched
from monitor.journal import Journal, JournalReader, OperatorAction, RetentionLimits, Session
from monitor.messages import AlarmMessage, HeartbeatMessage, Message, Reply, StatusMessage, bed_topic, decode, encode

__all__ = ["Hub", "HubOrder", "HubReport"]

_ENDPOINTS = "hub-endpoints.json"
_WAIT_S = 0.02
_GATHER_S = 0.01  # a message waits for others: waking for each of 230 a second took a fifth of a core
_LOOK_S = 0.25  # between looks at links on which nothing came, and at who wants waves
_SAVE_S = 1.0
_HEARTBEAT_S = 1.0
_SILENT_S = 3.0  # a shard is not waited for longer before its beds are said not to be watched
_KNOWN_ROWS = 50_000  # of the journal, in which a hub that begins anew finds what it published since its positions
_KNOWN_S = 60.0  # by then every shard has told the rest


@dataclass(frozen=True)
class HubOrder:
    """What a hub is.

    Attributes:
        config: of the fleet: `[bus]` is where it listens, `[journal]` what it keeps, if that is named.
        folder: its positions lie there, and its journal where none is named.
        beds: all of the fleet, in order.
        since_s: when the fleet began, Unix time: runs before are another's.
    """

    config: Config
    folder: Path
    beds: tuple[str, ...]
    since_s: float

    @property
    def journal(self) -> Path:
        """Its file."""
        return Path(self.config.journal.path) if self.config.journal.path else self.folder / "hub.sqlite"


@dataclass(frozen=True)
class HubReport:
    """How the hub is.

    Attributes:
        epoch: of its run.
        endpoints: where it listens.
        drained: shards that have ended and of which all was published.
        published: messages so far.
        refused: what went wrong, one line; empty = nothing.
    """

    epoch: str
    endpoints: BusEndpoints
    drained: frozenset[str]
    published: int
    refused: str = ""


@dataclass
class _Shard:
    """What the hub knows of a shard."""

    order: LinkOrder
    link: Link | None = None
    position: Position | None = None
    heartbeat: HeartbeatMessage | None = None  # the last
    away_s: float = 0.0  # since when nothing is heard
    drained: bool = False


class Hub:
    """Give what every shard says as one monitor.

    One thread owns it; `follow` may be called from another.

    Args:
        order: what it is.
        clock: monotonic, s.

    Raises:
        BusError, ConfigError, JournalError: a port, the keys or the journal cannot be had.
    """

    def __init__(self, order: HubOrder, clock: Callable[[], float] = time.monotonic) -> None:
        self._order = order
        self._clock = clock
        self._folder = order.folder
        self._shards: dict[str, _Shard] = {}
        self._shard_of: dict[str, str] = {}
        self._orders: queue.SimpleQueue[tuple[LinkOrder, ...]] = queue.SimpleQueue()
        self._last: dict[str, StatusMessage] = {}
        self._outages = Outages()
        self._poller = zmq.Poller()
        self._started_s = clock()
        self._look_due_s = self._save_due_s = self._heartbeat_due_s = clock()
        self._closed = False
        self.refused = ""
        config = order.config
        path = order.journal
        before = path.exists()
        limits = RetentionLimits(keep_days=config.journal.keep_days, max_mb=config.journal.max_mb)
        self.journal = Journal(path, limits=limits, clock=clock, report=self._report)
        try:
            self._known, active = self._restore(path) if before else (set(), [])
            self.epoch = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
            keys = load_server_keys(Path(config.bus.keys)) if config.bus.keys else None
            self.bus = Bus(
                self._listen(), epoch=self.epoch, journal=self.journal, clock=clock, keys=keys,
                tell=self._report,
            )  # fmt: skip
        except BaseException:
            self.journal.close()
            raise
        with contextlib.suppress(OSError):  # the folder is full: that is told of the positions
            (self._folder / _ENDPOINTS).write_bytes(msgspec.json.encode(self.bus.endpoints))
        for message in active:  # what is true now belongs to this run, too
            self._outages.adopt(message)
            told = msgspec.structs.replace(message, alarm=msgspec.structs.replace(message.alarm, update=True))
            self.bus.publish(bed_topic(message.alarm.bed, "alarm"), told)

    # -- from another thread ---------------------------------------------------------------------------------

    def follow(self, orders: tuple[LinkOrder, ...]) -> None:
        """Which shards there are now, and where."""
        self._orders.put(orders)

    def report(self) -> HubReport:
        """How it is now."""
        ready = frozenset(name for name, shard in list(self._shards.items()) if shard.drained)
        return HubReport(self.epoch, self.bus.endpoints, ready, self.bus.counters["published"], self.refused)

    # -- the loop --------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool]) -> None:
        """Go on until `stop()` says so; then say goodbye."""
        try:
            while not stop():
                self.turn()
        finally:
            self.close()

    def turn(self) -> None:
        """Once around: shards, requests, what is due."""
        ready = {sock for sock, _ in self._poller.poll(round(_WAIT_S * 1000))} if self._links else set()
        if ready:
            time.sleep(_GATHER_S)
            ready |= {sock for sock, _ in self._poller.poll(0)}
        with contextlib.suppress(queue.Empty):
            while True:
                self._follow(self._orders.get_nowait())
        now_s = self._clock()
        look = now_s >= self._look_due_s
        if look:
            self._look_due_s = now_s + _LOOK_S
            if self._known and now_s - self._started_s >= _KNOWN_S:
                self._known.clear()
        for shard in self._shards.values():
            link = shard.link
            if link is not None and (look or ready.intersection(link.sockets)):
                self._serve(shard, link, look)
            if look:
                self._watch(shard, now_s)
        for request in self.bus.service(0.0 if self._links else _WAIT_S):
            self._answer(request)
        if now_s >= self._save_due_s:
            self._save_due_s = now_s + _SAVE_S
            self._save()
        if now_s >= self._heartbeat_due_s:
            self._heartbeat_due_s = now_s + _HEARTBEAT_S
            self._heartbeat(goodbye=False)

    def close(self) -> None:
        """Publish the last words of shards that have stopped by now, say goodbye, let go; may be called twice."""
        if self._closed:
            return
        self._closed = True
        for shard in self._shards.values():
            if not shard.drained and (shard.link is not None or shard.position is not None):
                self._drain(shard)
        self._save()
        self._heartbeat(goodbye=True)
        self.bus.close()
        self.journal.close()

    @property
    def _links(self) -> list[Link]:
        return [shard.link for shard in self._shards.values() if shard.link is not None]

    # -- shards ----------------------------------------------------------------------------------------------

    def _follow(self, orders: tuple[LinkOrder, ...]) -> None:
        for order in orders:
            shard = self._shards.get(order.shard)
            if shard is None:
                shard = self._shards[order.shard] = _Shard(order, away_s=self._clock())
                try:
                    shard.position = load_position(self._position_file(order.shard))
                except PositionError as error:
                    self._report(str(error))
                self._shard_of |= dict.fromkeys(order.beds, order.shard)
            shard.order = order
            if shard.link is not None and shard.link.endpoints != order.endpoints:
                self._take(shard, shard.link.poll())
                self._unlink(shard)
            if shard.link is None and order.endpoints is not None and not order.ended:
                shard.position = shard.position or Position(order.first_epoch, {})
                key = load_client_key(Path(order.key)) if order.key else None
                shard.link = Link(order.endpoints, shard.position, key, self._clock)
                for sock in shard.link.sockets:
                    self._poller.register(sock, zmq.POLLIN)

    def _unlink(self, shard: _Shard) -> None:
        link, shard.link = shard.link, None
        if link is not None:
            shard.position, shard.away_s = link.position, link.heard_s
            for sock in link.sockets:
                self._poller.unregister(sock)
            link.close()

    def _serve(self, shard: _Shard, link: Link, look: bool) -> None:
        """What a shard has said, answered and drawn."""
        self._take(shard, link.poll())
        link.answers()
        for header, raw in link.waves():
            self.bus.publish_wave(header, wave_samples(header, raw))
        if look:
            link.show([bed for bed in shard.order.beds if self.bus.shows(bed)])

    def _take(self, shard: _Shard, items: list[Received]) -> None:
        with self.bus.together():
            for topic, body, _ in items:
                if isinstance(body, HeartbeatMessage):
                    shard.heartbeat = body
                    continue
                if self._known and _digest(topic, body) in self._known:
                    continue
                if isinstance(body, StatusMessage):
                    body = self._status(shard, body)
                self.bus.publish(topic, body)

    def _status(self, shard: _Shard, body: StatusMessage) -> StatusMessage:
        leaving = body.state == "ended" and shard.order.leaving  # it goes on elsewhere
        if leaving:
            body = not_watched(body)
        if body.bed not in self._last:
            session = Session(body.bed, body.source, body.lead, body.fs_hz, body.model.name, body.model.sha256)
            self.journal.put_sessions([session], VERSION)
        self._last[body.bed] = body
        if not leaving and (cleared := self._outages.end(body.bed)) is not None:
            self.bus.publish(bed_topic(body.bed, "alarm"), cleared)
        return body

    def _watch(self, shard: _Shard, now_s: float) -> None:
        """A shard of which nothing is heard; one that has ended."""
        link = shard.link
        if shard.drained:
            return
        if shard.order.ended and (link is None or link.goodbye or now_s - link.heard_s > _SILENT_S):
            self._drain(shard)
            return
        heard_s = shard.away_s if link is None else link.heard_s
        if now_s - heard_s < _SILENT_S or shard.order.ended:
            return
        for bed in shard.order.beds:
            last = self._last.get(bed)
            if last is None or last.state == "ended":
                continue
            if last.state != "no_data":
                self._last[bed] = last = not_watched(last)
                self.bus.publish(bed_topic(bed, "status"), last)
            if (raised := self._outages.begin(last, now_s - heard_s)) is not None:
                self.bus.publish(bed_topic(bed, "alarm"), raised)

    def _drain(self, shard: _Shard) -> None:
        """All its sources have ended, and it listens no more: the rest is in its journal."""
        if shard.link is not None:
            self._take(shard, shard.link.poll())
            self._unlink(shard)
        position = shard.position or Position(shard.order.first_epoch, {})
        try:
            self._take(shard, drained(shard.order.journal, shard.order.beds, position))
        except (JournalError, ValueError) as error:
            self._report(f"shard {shard.order.shard}: its last words cannot be had: {error}")
        shard.drained = True

    # -- requests --------------------------------------------------------------------------------------------

    def _answer(self, waiting: ControlRequest) -> None:
        request = waiting.request
        bed = request.bed or request.alarm_id.partition("/")[0]
        if request.op == "snapshot" and (not request.bed or request.bed in self._shard_of):
            waiting.reply(self.bus.snapshot(request.bed))
            return
        if request.op == "acknowledge" and (ours := self._outages.acknowledge(request.alarm_id, request.who)):
            self.bus.publish(bed_topic(ours.alarm.bed, "alarm"), ours)
            self.journal.put_action(OperatorAction(request.who, request.op, bed, request.alarm_id, ours.sample))
            waiting.reply(Reply(ok=True))
            return
        shard = self._shards.get(self._shard_of.get(bed, ""))
        if shard is None:
            some = ", ".join(self._order.beds[:20]) + (", ..." if len(self._order.beds) > 20 else "")
            waiting.reply(Reply(ok=False, error=f"no bed {bed!r}; there are {some}"))
        elif shard.link is None:
            waiting.reply(Reply(ok=False, error=f"bed {bed} is not watched at the moment; ask again"))
        else:
            if request.op in ("acknowledge", "pause_audio"):
                self.journal.put_action(OperatorAction(request.who, request.op, bed, request.alarm_id))
            shard.link.ask(waiting)

    # -- what is due -----------------------------------------------------------------------------------------

    def _heartbeat(self, *, goodbye: bool) -> None:
        shards = [shard.heartbeat for shard in self._shards.values() if shard.link is not None and shard.heartbeat]
        self.bus.heartbeat(
            HeartbeatMessage(
                time=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
                state="goodbye" if goodbye else "running",
                beds=self._order.beds,
                uptime_s=round(self._clock() - self._started_s, 3),
                version=VERSION,
                late_s=max((told.late_s for told in shards), default=0.0),
                thinned=max((told.thinned for told in shards), key=len, default=()),  # waves first, then status, too
            )
        )

    def _save(self) -> None:
        """Keep the positions, after what they tell of is in the journal."""
        self.journal.commit()
        for name, shard in self._shards.items():
            position = shard.link.position if shard.link is not None else shard.position
            if position is not None:
                try:
                    save_position(self._position_file(name), position)
                except PositionError as error:
                    self._report(str(error))

    def _position_file(self, shard: str) -> Path:
        return self._folder / f"hub-{shard}.json"

    def _report(self, line: str) -> None:
        self.refused = line

    def _listen(self) -> BusEndpoints:
        """Where the hub before us did, whichever ports were free then: subscribers look for it there."""
        try:
            return msgspec.json.decode((self._folder / _ENDPOINTS).read_bytes(), type=BusEndpoints)
        except (OSError, ValueError):
            return endpoints_from(self._order.config.bus.listen)

    def _restore(self, path: Path) -> tuple[set[bytes], list[AlarmMessage]]:
        """What a hub of this fleet that was killed had published last, and the alarms that were active then."""
        reader = JournalReader(path)
        try:
            epochs = {run.epoch for run in reader.runs() if run.started_s >= self._order.since_s}
            if not epochs:
                return set(), []
            known = {
                _digest(topic, body)
                for topic, body in self._bodies(reader.newest_messages(_KNOWN_ROWS))
                if body.epoch in epochs
            }
            active: list[AlarmMessage] = []
            for bed in self._order.beds:
                for raw in reader.alarm_changes(bed, 1 << 62):
                    body = decode(raw)
                    if isinstance(body, AlarmMessage) and body.epoch in epochs:
                        active.append(body)
            return known, active
        finally:
            reader.close()

    @staticmethod
    def _bodies(rows: list[tuple[str, bytes]]) -> Iterator[tuple[str, Message]]:
        for topic, raw in rows:
            with contextlib.suppress(ValueError):
                yield topic, decode(raw)


def _digest(topic: str, body: Message) -> bytes:
    """A message, whoever numbered it."""
    bare = encode(msgspec.structs.replace(body, epoch="", seq=0))
    return hashlib.blake2b(topic.encode() + b"\0" + bare, digest_size=16).digest()
