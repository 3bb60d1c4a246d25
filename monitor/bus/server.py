"""The bus: publishes messages on ZeroMQ sockets and receives requests.

The thread of the pipeline owns it. Only `service` blocks, which is how the loop of the pipeline sleeps. ZeroMQ drops
messages for a subscriber that is too slow. The subscriber finds the gap in `seq` and requests `since`, so every message
is in the journal before it is sent.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.bus.endpoints import BusEndpoints
from monitor.bus.history import history_reply
from monitor.bus.keys import ClientKey, ServerKeys
from monitor.bus.last_values import LastValues
from monitor.bus.request_socket import RequestSocket
from monitor.bus.requests import ControlRequest, RequestError
from monitor.bus.sockets import BusSockets
from monitor.errors import JournalError
from monitor.journal import Journal
from monitor.messages import (
    HEARTBEAT_TOPIC,
    PROTOCOL,
    AlarmMessage,
    HeartbeatMessage,
    Message,
    Reply,
    Request,
    WaveHeader,
    bed_topic,
    encode,
)

__all__ = ["BURST", "Bus", "Published"]

COMMIT_EVERY_S = 0.25
# Messages per burst. A message alone costs 12 to 18 us, since ZeroMQ's thread must be woken; in a burst of 16, each
# costs 6 us.
BURST = 16
BED_TOPIC = re.compile(rf"{PROTOCOL}/[^/\x00-\x1f]{{1,64}}/(alarm|beat|status|event)/")


class Published(NamedTuple):
    """A message as published: `body` with `epoch` and `seq`; `raw` as JSON, as subscribers and journal have it."""

    topic: str
    body: Message
    raw: bytes


class Bus:
    """Publisher and request server of one monitor.

    Args:
        endpoints: where to listen; port `*` takes a free one (see the property `endpoints`).
        epoch: id of this run, never used before.
        journal: stores what is published; the caller closes it.
        clock: monotonic time, s.
        keys: clients that may connect (CURVE, on loopback too); None = every client, but on loopback only.
        report: receives one line for the user about a refused client.

    Attributes:
        counters: published, waves, unsent, subscriptions, requests, bad_requests, slowed, replies_lost,
            internal_errors, active_forgotten, refused (connections); with keys: denied (requests).

    Raises:
        BusError: an endpoint is in use, cannot be bound, or is not loopback and there are no keys.
        ConfigError: the allow-list cannot be read.
        JournalError: the journal cannot be written.
    """

    def __init__(
        self,
        endpoints: BusEndpoints,
        *,
        epoch: str,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
        keys: ServerKeys | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.epoch = epoch
        self.counters: Counter[str] = Counter()
        self._journal = journal
        self._clock = clock
        self._committed_s = clock()
        self._seqs: dict[str, int] = {}
        self._wave_seqs: dict[str, int] = {}
        self._burst: list[list[bytes]] | None = None  # frames not sent yet; None outside `burst`
        self._last_values = LastValues(self.counters)
        self._sockets = BusSockets(endpoints, keys, self.counters, report, clock)
        try:
            journal.start(epoch)
        except (JournalError, ValueError):
            self._sockets.close(0)
            raise
        self._requests = RequestSocket(
            self._sockets,
            epoch=epoch,
            counters=self.counters,
            clock=clock,
            serve=self._serve,
        )

    @property
    def endpoints(self) -> BusEndpoints:
        """The endpoints in use."""
        return self._sockets.endpoints

    @property
    def screen_key(self) -> ClientKey | None:
        """Key of the dashboard in this process; None without keys."""
        authenticator = self._sockets.authenticator
        return None if authenticator is None else authenticator.screen

    @property
    def web_key(self) -> ClientKey | None:
        """Key of the web server beside this monitor; None without keys."""
        authenticator = self._sockets.authenticator
        return None if authenticator is None else authenticator.web

    @property
    def seqs(self) -> dict[str, int]:
        """Last `seq` of every topic but the waves, which may be dropped."""
        return dict(self._seqs)

    @property
    def viewers(self) -> int:
        """Number of subscriptions to waves."""
        return self._sockets.wave_subscriptions

    def has_viewers(self, bed: str) -> bool:
        """Whether a subscription covers the waves of a bed."""
        return self._sockets.waves_wanted(bed_topic(bed, "wave").encode())

    def publish(self, topic: str, body: Message) -> Published:
        """Number, encode, journal and send one message. Never waits for a subscriber.

        Args:
            topic: from `bed_topic`, or HEARTBEAT_TOPIC.
            body: `epoch` and `seq` are filled in here.

        Raises:
            ValueError: not a topic of the bus.
        """
        if topic not in self._seqs and topic != HEARTBEAT_TOPIC and not BED_TOPIC.fullmatch(topic):
            raise ValueError(f"topic {topic!r}; want {PROTOCOL}/BED/alarm|beat|status|event/, BED without a slash")
        seq = self._seqs.get(topic, 0) + 1
        body = msgspec.structs.replace(body, epoch=self.epoch, seq=seq)
        raw = encode(body)
        self._seqs[topic] = seq
        self._journal.append(topic, body, raw)
        is_alarm = isinstance(body, AlarmMessage)
        if is_alarm:
            self._journal.commit()  # before it is sent: a subscriber can recover it even if this process dies now
            self._committed_s = self._clock()
        self._last_values.store(topic, body, raw)
        frames = [topic.encode(), raw]
        if self._burst is None:
            self._sockets.send(self._sockets.alarms, frames)
        else:
            self._burst.append(frames)
            if is_alarm or len(self._burst) >= BURST:
                self._send_burst(self._burst)
        self.counters["published"] += 1
        return Published(topic, body, raw)

    @contextlib.contextmanager
    def burst(self) -> Iterator[None]:
        """Send the messages published inside in bursts of up to `BURST`, in order.

        An alarm ends a burst: it is sent at once, after the messages before it. Publish without waiting inside.
        """
        burst: list[list[bytes]] = []
        self._burst = burst
        try:
            yield
        finally:
            self._burst = None
            self._send_burst(burst)

    def publish_wave(self, header: WaveHeader, samples: NDArray[np.float32]) -> None:
        """Send samples for displays; ZeroMQ drops them without a subscriber, or for a slow one.

        Args:
            header: `epoch` and `seq` are filled in here.
            samples: (len(header.channels), header.n), mV; NaN = no valid sample.

        Raises:
            ValueError: the shape differs from the header.
        """
        if samples.shape != (len(header.channels), header.n):
            raise ValueError(f"samples have the shape {samples.shape}, header says {(len(header.channels), header.n)}")
        topic = bed_topic(header.bed, "wave")
        seq = self._wave_seqs[topic] = self._wave_seqs.get(topic, 0) + 1
        header = msgspec.structs.replace(header, epoch=self.epoch, seq=seq)
        block = np.ascontiguousarray(samples, dtype="<f4").tobytes()
        self._sockets.send(self._sockets.waves, [topic.encode(), encode(header), block])
        self.counters["waves"] += 1

    def heartbeat(self, body: HeartbeatMessage) -> Published:
        """Publish a heartbeat; `seqs` is filled in, so that subscribers find gaps in silent topics."""
        return self.publish(HEARTBEAT_TOPIC, msgspec.structs.replace(body, seqs=self.seqs))

    def service(self, timeout_s: float = 0.0) -> list[ControlRequest]:
        """Wait for requests and new subscribers, at most `timeout_s`, and serve those that need no pipeline.

        Returns:
            Requests for the pipeline (snapshot, acknowledge, pause_audio, strip); answer each by `.reply`. Returns
            early when a message has come.
        """
        ready = self._sockets.wait(0.0 if self._requests.pending else timeout_s)
        if self._sockets.alarms in ready:
            prefixes = self._sockets.read_subscriptions(self._sockets.alarms)
            self.counters["subscriptions"] += len(prefixes)
            self._last_values.want(prefixes)
        self._send_last_values()
        if self._sockets.waves in ready:
            self._sockets.read_subscriptions(self._sockets.waves)
        waiting = self._requests.receive() if self._sockets.control in ready or self._requests.pending else []
        self._sockets.update()
        now_s = self._clock()
        if now_s - self._committed_s >= COMMIT_EVERY_S:
            self._journal.commit()
            self._committed_s = now_s
        return waiting

    def snapshot(self, bed: str = "") -> Reply:
        """Make the reply to `snapshot`: the last values of one bed or of all, and the `seqs` that they reach."""
        prefix = f"{PROTOCOL}/{bed}/" if bed else ""
        messages = tuple(
            msgspec.Raw(raw) for topic, raw in self._last_values.select({prefix.encode()}) if topic != HEARTBEAT_TOPIC
        )
        return Reply(ok=True, messages=messages, data={"seqs": self.seqs})

    def close(self) -> None:
        """Send queued messages for at most half a second, and free the ports; may be called twice."""
        self._journal.commit()
        self._sockets.close()

    def _send_last_values(self) -> None:
        """Send the last values to new subscribers.

        ZeroMQ cannot address a single subscriber, so the others receive duplicates.
        """
        for topic, raw in self._last_values.due(self._clock()):
            self._sockets.send(self._sockets.alarms, [topic.encode(), raw])

    def _send_burst(self, burst: list[list[bytes]]) -> None:
        for frames in burst:
            self._sockets.send(self._sockets.alarms, frames)
        burst.clear()

    def _serve(self, request: Request) -> Reply | None:
        """Answer a request; None if only the pipeline can."""
        if request.op == "ping":
            return Reply(ok=True)
        if request.op == "history":
            return history_reply(self._journal, request)
        if request.op != "since":
            return None
        if not BED_TOPIC.fullmatch(request.topic):
            raise RequestError(
                f"since: topic {request.topic!r} is not in the journal; give BED/alarm|beat|status|event/", request.id
            )
        since = self._journal.since(request.topic, request.epoch, request.seq)
        return Reply(
            ok=True,
            messages=tuple(msgspec.Raw(raw) for raw in since.bodies),
            complete=since.complete,
            data={"more": since.more, "epoch": since.epoch, "seq": since.seq},
        )
