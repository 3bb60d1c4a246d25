"""The hub: subscribes to every shard, and publishes all their messages as one monitor.

It is no plain proxy (XSUB/XPUB): each shard has an epoch, message numbers and heartbeats of its own; on one address a
subscriber would see the monitor restart with every message. The hub receives every message of a shard once and in order
(`monitor.client.client.AlarmClient`), gives it a new number, writes it to its journal and publishes it. It passes
requests on to the shard of the bed.

A hub that was killed starts from its saved positions, asks every shard for the later messages, and leaves out those
that its journal has. So every alarm is published once. Beats of the last quarter of a second may be published twice.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import queue
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from monitor import VERSION
from monitor.atomic_file import replace_file
from monitor.bus.endpoints import BusEndpoints, endpoints_from
from monitor.bus.keys import load_server_keys
from monitor.bus.requests import ControlRequest
from monitor.bus.server import Bus
from monitor.client.client import Received, wave_samples
from monitor.client.positions import Position
from monitor.config import Config
from monitor.errors import JournalError
from monitor.fleet.earlier_hub import EarlierHub
from monitor.fleet.followed_shards import FollowedShard, FollowedShards
from monitor.fleet.link import Link, LinkOrder, read_rest
from monitor.fleet.watched_beds import WatchedBeds, not_watched
from monitor.journal import Journal, OperatorAction, RetentionLimits, Session
from monitor.messages import HeartbeatMessage, Reply, StatusMessage, bed_topic

__all__ = ["Hub", "HubOrder", "HubReport"]

_ENDPOINTS = "hub-endpoints.json"
_WAIT_S = 0.02
_PERIODS_S = {"check": 0.25, "save": 1.0, "heartbeat": 1.0}  # check: of silent links, and of the demand for waves
_SILENT_S = 3.0  # after this time without a heartbeat of the shard its beds count as not watched
_REPEATS_S = 60.0  # by then every shard has sent the messages after the saved position


@dataclass(frozen=True)
class HubOrder:
    """Configuration of a hub.

    Attributes:
        config: of the fleet; `[bus]` has the hub's address, `[journal]` its journal if named.
        folder: for the position files, and the journal where none is named.
        since_s: start of the fleet, Unix time; earlier runs in the journal belong to another fleet.
    """

    config: Config
    folder: Path
    beds: tuple[str, ...]
    since_s: float

    @property
    def journal(self) -> Path:
        """File of the hub's journal."""
        return Path(self.config.journal.path) if self.config.journal.path else self.folder / "hub.sqlite"


@dataclass(frozen=True)
class HubReport:
    """State of a hub.

    Attributes:
        drained: shards that have ended and whose messages were all published.
        notice: the last line for a person; empty = none.
    """

    epoch: str
    endpoints: BusEndpoints
    drained: frozenset[str]
    pid: int
    notice: str = ""


class Hub:
    """Publish the messages of all shards as one monitor.

    One thread owns it; another may call `follow` and `report`.

    Attributes:
        notice: the last line for a person.

    Raises:
        BusError, ConfigError, JournalError: a port, the keys or the journal cannot be used.
    """

    def __init__(self, order: HubOrder, clock: Callable[[], float] = time.monotonic) -> None:
        self.notice = ""
        self._order = order
        self._clock = clock
        self._orders: queue.SimpleQueue[tuple[LinkOrder, ...]] = queue.SimpleQueue()
        self._shards = FollowedShards(order.folder, clock, self._report)
        self._beds = WatchedBeds()
        self._started_s = clock()
        self._due_s = dict.fromkeys(_PERIODS_S, self._started_s)
        self._closed = False
        config, path = order.config, order.journal
        existed = path.exists()
        limits = RetentionLimits(keep_days=config.journal.keep_days, max_mb=config.journal.max_mb)
        self.journal = Journal(path, limits=limits, clock=clock, report=self._report)
        try:
            self._earlier = EarlierHub.read(path, order.since_s, order.beds) if existed else EarlierHub()
            epoch = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
            keys = load_server_keys(Path(config.bus.keys)) if config.bus.keys else None
            self.bus = Bus(
                self._listen(), epoch=epoch, journal=self.journal, clock=clock, keys=keys, report=self._report
            )  # fmt: skip
        except BaseException:
            self.journal.close()
            raise
        with contextlib.suppress(OSError):  # a full disk is reported when the positions are saved
            replace_file(order.folder / _ENDPOINTS, msgspec.json.encode(self.bus.endpoints))
        for message in self._earlier.active:  # alarms that are still active belong to this run, too
            self._beds.adopt(message)
            update = msgspec.structs.replace(message, alarm=msgspec.structs.replace(message.alarm, update=True))
            self.bus.publish(bed_topic(message.alarm.bed, "alarm"), update)

    # -- from another thread ---------------------------------------------------------------------------------

    def follow(self, orders: tuple[LinkOrder, ...]) -> None:
        """Set which shards there are now, and where."""
        self._orders.put(orders)

    def report(self) -> HubReport:
        """The state now."""
        drained = frozenset(shard.order.shard for shard in self._shards if shard.drained)
        return HubReport(self.bus.epoch, self.bus.endpoints, drained, os.getpid(), self.notice)

    # -- the loop --------------------------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool]) -> None:
        """Run until `stop()` is true; then publish the goodbye and close."""
        try:
            while not stop():
                self.turn()
        finally:
            self.close()

    def turn(self) -> None:
        """One turn of the loop: shards, requests, periodic tasks."""
        ready = self._shards.wait(_WAIT_S)
        with contextlib.suppress(queue.Empty):
            while True:
                for order in self._orders.get_nowait():
                    self._publish(*self._shards.follow(order))
        now_s = self._clock()
        check = self._due("check", now_s)
        if check and now_s - self._started_s >= _REPEATS_S:
            self._earlier.forget()
        for shard in self._shards:
            if shard.link is not None and (check or ready.intersection(shard.link.sockets)):
                self._serve(shard, shard.link, check)
            if check:
                self._check(shard, now_s)
        for request in self.bus.service(0.0 if self._shards.linked else _WAIT_S):
            self._answer(request)
        if self._due("save", now_s):
            self._save()
        if self._due("heartbeat", now_s):
            self._heartbeat(goodbye=False)

    def close(self) -> None:
        """Publish the rest of the shards that have stopped, then the goodbye; close all. May be called twice."""
        if self._closed:
            return
        self._closed = True
        for shard in self._shards:
            if not shard.drained and (shard.link is not None or shard.position is not None):
                self._drain(shard)
        self._save()
        self._heartbeat(goodbye=True)
        self.bus.close()
        self.journal.close()

    # -- shards ----------------------------------------------------------------------------------------------

    def _serve(self, shard: FollowedShard, link: Link, check: bool) -> None:
        """Publish messages and waves of a shard, pass its replies on."""
        self._publish(shard, link.poll())
        link.pass_replies()
        for header, raw in link.waves():
            self.bus.publish_wave(header, wave_samples(header, raw))
        if check:
            link.show([bed for bed in shard.order.beds if self.bus.has_viewers(bed)])

    def _publish(self, shard: FollowedShard, items: list[Received]) -> None:
        with self.bus.burst():
            for topic, body, _ in items:
                if isinstance(body, HeartbeatMessage):
                    shard.heartbeat = body
                    continue
                if self._earlier.published(topic, body):
                    continue
                if isinstance(body, StatusMessage):
                    body = self._status(shard, body)
                self.bus.publish(topic, body)

    def _status(self, shard: FollowedShard, body: StatusMessage) -> StatusMessage:
        moving = body.state == "ended" and shard.order.leaving  # the bed continues on another worker
        if moving:
            body = not_watched(body)
        if self._beds.update(body):
            session = Session(body.bed, body.source, body.lead, body.fs_hz, body.model.name, body.model.sha256)
            self.journal.put_sessions([session], VERSION)
        if not moving and (cleared := self._beds.clear(body.bed)) is not None:
            self.bus.publish(bed_topic(body.bed, "alarm"), cleared)
        return body

    def _check(self, shard: FollowedShard, now_s: float) -> None:
        """Handle a shard that has ended, or that is silent."""
        if shard.drained:
            return
        silent_s = shard.silent_s(now_s)
        if shard.order.ended:
            if shard.link is None or shard.link.goodbye or silent_s > _SILENT_S:
                self._drain(shard)
        elif silent_s >= _SILENT_S:
            for bed in shard.order.beds:
                for topic, message in self._beds.silent(bed, silent_s):
                    self.bus.publish(topic, message)

    def _drain(self, shard: FollowedShard) -> None:
        """Publish the rest of a shard that no longer listens, from its journal."""
        if shard.link is not None:
            self._publish(shard, shard.link.poll())
            self._shards.unlink(shard)
        try:
            position = shard.position or Position(shard.order.first_epoch, {})
            self._publish(shard, read_rest(shard.order.journal, shard.order.beds, position))
        except (JournalError, ValueError) as error:
            self._report(f"shard {shard.order.shard}: its last messages cannot be read: {error}")
        shard.drained = True

    # -- requests --------------------------------------------------------------------------------------------

    def _answer(self, waiting: ControlRequest) -> None:
        request = waiting.request
        bed = request.bed or request.alarm_id.partition("/")[0]
        shard = self._shards.of_bed.get(bed)
        if request.op == "snapshot" and (not request.bed or shard is not None):
            waiting.reply(self.bus.snapshot(request.bed))
        elif request.op == "acknowledge" and (own := self._beds.acknowledge(request.alarm_id, request.who)):
            self.bus.publish(bed_topic(own.alarm.bed, "alarm"), own)
            self.journal.put_action(OperatorAction(request.who, request.op, bed, request.alarm_id, own.sample))
            waiting.reply(Reply(ok=True))
        elif shard is None:
            some = ", ".join(self._order.beds[:20]) + (", ..." if len(self._order.beds) > 20 else "")
            waiting.reply(Reply(ok=False, error=f"no bed {bed!r}; there are {some}"))
        elif shard.link is None:
            waiting.reply(Reply(ok=False, error=f"bed {bed} is not watched at the moment; ask again"))
        else:
            if request.op in ("acknowledge", "pause_audio"):
                self.journal.put_action(OperatorAction(request.who, request.op, bed, request.alarm_id))
            shard.link.ask(waiting)

    # -- periodic tasks --------------------------------------------------------------------------------------

    def _heartbeat(self, *, goodbye: bool) -> None:
        beats = [shard.heartbeat for shard in self._shards if shard.link is not None and shard.heartbeat]
        self.bus.heartbeat(
            HeartbeatMessage(
                time=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
                state="goodbye" if goodbye else "running",
                beds=self._order.beds,
                uptime_s=round(self._clock() - self._started_s, 3),
                version=VERSION,
                late_s=max((beat.late_s for beat in beats), default=0.0),
                thinned=max((beat.thinned for beat in beats), key=len, default=()),  # waves first, then status, too
            )
        )

    def _save(self) -> None:
        """Save the positions, after the messages up to there are in the journal."""
        self.journal.commit()
        self._shards.save_positions()

    def _due(self, task: str, now_s: float) -> bool:
        if now_s < self._due_s[task]:
            return False
        self._due_s[task] = now_s + _PERIODS_S[task]
        return True

    def _report(self, line: str) -> None:
        self.notice = line

    def _listen(self) -> BusEndpoints:
        """The endpoints of the hub before, which subscribers know; else those of the configuration."""
        try:
            return msgspec.json.decode((self._order.folder / _ENDPOINTS).read_bytes(), type=BusEndpoints)
        except (OSError, ValueError):
            return endpoints_from(self._order.config.bus.listen)
