"""A subscriber to all beds of a monitor that takes little processor time; it prints what it received at the end.

python -m benchmarks.listener tcp://127.0.0.1:5556 60 [--each-beat]
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import zmq
from common.programs import Program

__all__ = ["listen"]


class _Beat(msgspec.Struct):
    seq: int
    r_sample: int
    latency_ms: float | None


class _Alarm(msgspec.Struct):
    bed: str
    kind: str
    state: str
    decided_sample: int


class _AlarmBody(msgspec.Struct):
    seq: int
    alarm: _Alarm
    latency_ms: float | None


class _Status(msgspec.Struct):
    bed: str
    fs_hz: float
    samples_in: int
    samples_lost: int


def listen(endpoint: str, seconds: float, *, each_beat: bool = False) -> dict[str, Any]:
    """Run the listener as a process of its own until the monitor says goodbye, at most `seconds`.

    Returns:
        What `main` prints.
    """
    words = [sys.executable, "-m", "benchmarks.listener", endpoint, f"{seconds:g}", *["--each-beat"][: int(each_beat)]]
    with Program(words) as program:
        received: dict[str, Any] = json.loads(program.wait(seconds + 60).splitlines()[-1])
    return received


def messages(endpoint: str, seconds: float) -> Iterator[tuple[float, bytes, bytes]]:
    """(monotonic time of reception, topic, body) of every message, for `seconds`."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.setsockopt(zmq.LINGER, 0)
        sub.setsockopt(zmq.RCVHWM, 0)
        sub.connect(endpoint)
        sub.subscribe("v1/")
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0 and sub.poll(round(left_s * 1000)):
            topic, body = sub.recv_multipart()
            yield time.monotonic(), topic, body


def main(endpoint: str, seconds: float, each_beat: bool) -> None:
    """Listen for `seconds`, or until the monitor says goodbye; print all as one line of JSON.

    Times are of the monotonic clock, which all processes of the machine share. The last values that a new subscriber
    is sent are repeated to the others; a message whose `seq` is not newer is left out.
    """
    beat, alarm, status = (msgspec.json.Decoder(kind) for kind in (_Beat, _AlarmBody, _Status))
    newest: Counter[bytes] = Counter()  # seq of each topic
    received: Counter[bytes] = Counter()
    alarms: list[tuple[float, str, str, str, int, float | None]] = []
    beats: list[tuple[float, int, float | None]] = []
    latencies_ms: list[float] = []
    beds: dict[str, tuple[float, int, int]] = {}
    heartbeats: list[tuple[float, float, float, list[str]]] = []
    last: dict[str, Any] = {}
    for now_s, topic, body in messages(endpoint, seconds):
        stream = topic.split(b"/")[2]
        if stream == b"status":
            state = status.decode(body)
            beds[state.bed] = (state.fs_hz, state.samples_in, state.samples_lost)
        elif stream == b"heartbeat":
            last = json.loads(body)
            heartbeats.append((now_s, last["uptime_s"], last["late_s"], last["thinned"]))
            if last["state"] == "goodbye":
                break
        elif stream in (b"beat", b"alarm"):
            message = (beat if stream == b"beat" else alarm).decode(body)
            if message.seq <= newest[topic]:
                continue
            newest[topic] = message.seq
            received[topic] += 1
            if stream == b"alarm":
                a = message.alarm
                alarms.append((now_s, a.bed, a.kind, a.state, a.decided_sample, message.latency_ms))
                continue
            if message.latency_ms is not None:
                latencies_ms.append(message.latency_ms)
            if each_beat:
                beats.append((now_s, message.r_sample, message.latency_ms))
    seqs = {topic: seq for topic, seq in last.get("seqs", {}).items() if topic.endswith(("/beat/", "/alarm/"))}
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "alarms": alarms,  # (time, bed, kind, state, decided_sample, latency_ms)
        "beats": beats,  # (time, r_sample, latency_ms), only with --each-beat
        "beats_received": sum(n for topic, n in received.items() if topic.endswith(b"/beat/")),
        "beats_ms": sorted(latencies_ms),
        "lost": sum(seq - received[topic.encode()] for topic, seq in seqs.items()),
        "beds": beds,  # bed -> (fs_hz, samples_in, samples_lost)
        "heartbeats": heartbeats,  # (time, uptime_s, late_s, thinned)
        "goodbye": last.get("state") == "goodbye",
        "cpu_s": used.ru_utime + used.ru_stime,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), "--each-beat" in sys.argv)
