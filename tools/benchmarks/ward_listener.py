"""A subscriber to all beds of a monitor that costs little: notes every alarm, counts the beats, prints it at the end.

python tools/benchmarks/ward_listener.py tcp://127.0.0.1:5556 60
"""

from __future__ import annotations

import json
import resource
import sys
from collections import Counter
from typing import Any

import msgspec

from benchmarks.heard import heard


class _Beat(msgspec.Struct):
    seq: int
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


def main(endpoint: str, seconds: float) -> None:
    """Listen for so many seconds, or until the monitor says goodbye."""
    beat, alarm, status = (msgspec.json.Decoder(kind) for kind in (_Beat, _AlarmBody, _Status))
    newest: Counter[bytes] = Counter()  # seq of each topic
    received: Counter[bytes] = Counter()
    alarms: list[tuple[float, str, str, str, int, float | None]] = []
    beats_ms: list[float | None] = []
    beds: dict[str, tuple[float, int, int]] = {}
    heartbeats: list[tuple[float, float, float, list[str]]] = []
    last: dict[str, Any] = {}
    for now_s, topic, body in heard(endpoint, seconds):
        stream = topic.split(b"/")[2]
        if stream == b"status":
            told = status.decode(body)
            beds[told.bed] = (told.fs_hz, told.samples_in, told.samples_lost)
        elif stream == b"heartbeat":
            last = json.loads(body)
            heartbeats.append((now_s, last["uptime_s"], last["late_s"], last["thinned"]))
            if last["state"] == "goodbye":
                break
        elif stream in (b"beat", b"alarm"):
            message = (beat if stream == b"beat" else alarm).decode(body)
            if message.seq <= newest[topic]:  # a newcomer's greeting
                continue
            newest[topic] = message.seq
            received[topic] += 1
            if stream == b"beat":
                beats_ms.append(message.latency_ms)
            else:
                a = message.alarm
                alarms.append((now_s, a.bed, a.kind, a.state, a.decided_sample, message.latency_ms))
    seqs = {topic: seq for topic, seq in last.get("seqs", {}).items() if topic.endswith(("/beat/", "/alarm/"))}
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "alarms": alarms,
                "beats": len(beats_ms),
                "beats_ms": sorted(ms for ms in beats_ms if ms is not None),
                "lost": sum(seq - received[topic.encode()] for topic, seq in seqs.items()),
                "beds": beds,
                "heartbeats": heartbeats,
                "goodbye": last.get("state") == "goodbye",
                "cpu_s": used.ru_utime + used.ru_stime,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
