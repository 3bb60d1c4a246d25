"""What the hub of a fleet costs a message, against a plain XSUB/XPUB proxy that passes bytes on."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import msgspec
import zmq

from benchmarks.report import Figure, Report, paired_ratio, timed
from monitor.bus.endpoints import BusEndpoints, endpoints_from
from monitor.bus.server import Bus
from monitor.config import Config, merge
from monitor.fleet.hub import Hub, HubOrder
from monitor.fleet.link import LinkOrder
from monitor.journal import Journal, RetentionLimits
from monitor.messages import BeatMessage, HeartbeatMessage, bed_topic

__all__ = ["measure"]

_BATCH = 500
_ANY = endpoints_from("tcp://127.0.0.1:*")
_BEAT = BeatMessage(
    sample=123_456, time="2026-01-01T08:00:41.000+00:00", bed="b0001", r_sample=123_456, rr_s=0.812, log_prob=31.25,
    score=0.412, p_value=0.2114, threshold=3.2, anomalous=False, quality="good", heart_rate_bpm=73.9, latency_ms=12.3,
)  # fmt: skip


def measure(messages: int, beds: int, repeats: int) -> Report:
    """Processor time of one thread for each message that comes from a shard and goes to a subscriber."""
    hub, proxy = [], []
    for _ in range(repeats):
        hub.append(_hub_us(messages, beds))
        proxy.append(_proxy_us(messages, beds))
    figures = [
        timed("hub: in order, numbered anew, journalled, sent", hub, "µs a message"),
        timed("proxy: bytes passed on, XSUB to XPUB in Python", proxy, "µs a message"),
        paired_ratio("ratio: hub / proxy", hub, proxy),
        Figure("one core of the hub carries", 1e6 / (sum(hub) / len(hub)), "messages a second"),
    ]
    notes = ["Time of the hub's thread; ZeroMQ's own threads are not counted. The journal is a file."]
    return Report("hub", {"messages": messages, "beds": beds, "repeats": repeats}, figures, notes)


class _Shard:
    """A bus that says beats of many beds in turn."""

    def __init__(self, beds: int) -> None:
        self.names = [f"b{n:04}" for n in range(1, beds + 1)]
        limits = RetentionLimits(max_mb=0, beat_rows=1 << 20)
        self.bus = Bus(_ANY, epoch="shard-1", journal=Journal(":memory:", limits=limits))
        self.beats = [msgspec.structs.replace(_BEAT, bed=name) for name in self.names]
        self.topics = [bed_topic(name, "beat") for name in self.names]
        self.said = 0

    def say(self, count: int) -> None:
        for _ in range(count):
            which = self.said % len(self.names)
            self.bus.publish(self.topics[which], self.beats[which])
            self.said += 1

    def heartbeat(self) -> None:
        beds = tuple(self.names)
        self.bus.heartbeat(HeartbeatMessage(state="running", beds=beds, uptime_s=1.0, version="0"))


def _hub_us(messages: int, beds: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        shard = _Shard(beds)
        config = merge(Config(), {"bus": {"listen": "tcp://127.0.0.1:*"}}, "bench")
        hub = Hub(HubOrder(config, Path(folder), tuple(shard.names), 0.0))
        context, sub = _subscriber(hub.bus.endpoints.alarms)
        ends = shard.bus.endpoints
        hub.follow((LinkOrder("s001", tuple(shard.names), "", BusEndpoints(ends.alarms, ends.waves, ends.control),
                              "shard-1"),))  # fmt: skip
        while not (shard.bus.counters["subscriptions"] and hub.bus.counters["subscriptions"]):
            hub.turn()
            shard.bus.service(0.0)
        shard.heartbeat()
        spent_s = 0.0
        while shard.said < messages:
            shard.say(_BATCH)
            while hub.bus.seqs.get(shard.topics[0], 0) * beds < shard.said:
                began_s = time.thread_time()
                hub.turn()
                spent_s += time.thread_time() - began_s
                shard.bus.service(0.0)
                _empty(sub)
        context.destroy(linger=0)
        for linked in hub._shards.values():
            hub._unlink(linked)
            linked.drained = True  # there is no journal to look into
        hub.close()
        shard.bus.close()
    return spent_s / shard.said * 1e6


def _proxy_us(messages: int, beds: int) -> float:
    shard = _Shard(beds)
    context = zmq.Context()
    xsub, xpub = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    xsub.connect(shard.bus.endpoints.alarms)
    xpub.bind("tcp://127.0.0.1:*")
    other, sub = _subscriber(xpub.getsockopt_string(zmq.LAST_ENDPOINT))
    xsub.send_multipart([xpub.recv()])
    while not shard.bus.counters["subscriptions"]:
        shard.bus.service(0.01)
    spent_s, passed = 0.0, 0
    while shard.said < messages:
        shard.say(_BATCH)
        while passed < shard.said:
            began_s = time.thread_time()
            while xsub.poll(0):
                xpub.send_multipart(xsub.recv_multipart())
                passed += 1
            spent_s += time.thread_time() - began_s
            _empty(sub)
    for its in (context, other):
        its.destroy(linger=0)
    shard.bus.close()
    return spent_s / shard.said * 1e6


def _subscriber(endpoint: str) -> tuple[zmq.Context[zmq.Socket[bytes]], zmq.Socket[bytes]]:
    context = zmq.Context()
    sub = context.socket(zmq.SUB)
    sub.connect(endpoint)
    sub.subscribe("v1/")
    return context, sub


def _empty(sub: zmq.Socket[bytes]) -> None:
    while sub.poll(0):
        sub.recv_multipart()
