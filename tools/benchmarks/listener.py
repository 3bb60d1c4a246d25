"""A subscriber to all beds of a monitor; it prints what it received at the end.

python -m benchmarks.listener tcp://127.0.0.1:5556 60
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import Any

import zmq
from common.programs import Program

from monitor.messages import AlarmMessage, BeatMessage, HeartbeatMessage, StatusMessage, decode


def listen(endpoint: str, seconds: float) -> dict[str, Any]:
    """Run the listener as a process until the monitor says goodbye, at most `seconds`; what `main` prints."""
    with Program([sys.executable, "-m", "benchmarks.listener", endpoint, f"{seconds:g}"]) as program:
        received: dict[str, Any] = json.loads(program.wait(seconds + 60).splitlines()[-1])
    return received


def main(endpoint: str, seconds: float) -> None:
    """Listen for `seconds`, or until the monitor says goodbye; print all as one line of JSON.

    Times are of the monotonic clock, which all processes of the machine share. The last values that a new subscriber
    is sent are repeated to the others; a message whose `seq` is not newer is left out.
    """
    sub = zmq.Context().socket(zmq.SUB)
    sub.set(zmq.RCVHWM, 0)
    sub.connect(endpoint)
    sub.subscribe("v1/")
    newest: Counter[str] = Counter()  # seq of each topic
    received: Counter[str] = Counter()
    alarms: list[tuple[float, str, str, str, int, float | None]] = []
    beats: list[tuple[float, int, float | None]] = []
    beds: dict[str, tuple[float, int, int]] = {}
    heartbeats: list[tuple[float, float, float, tuple[str, ...]]] = []
    last: HeartbeatMessage | None = None
    deadline_s = time.monotonic() + seconds
    while (left_s := deadline_s - time.monotonic()) > 0 and sub.poll(round(left_s * 1000)):
        frames = sub.recv_multipart()
        now_s, topic, message = time.monotonic(), frames[0].decode(), decode(frames[1])
        if isinstance(message, StatusMessage):
            beds[message.bed] = (message.fs_hz, message.samples_in, message.samples_lost)
        elif isinstance(message, HeartbeatMessage):
            last = message
            heartbeats.append((now_s, last.uptime_s, last.late_s, last.thinned))
            if last.state == "goodbye":
                break
        elif isinstance(message, AlarmMessage | BeatMessage) and message.seq > newest[topic]:
            newest[topic] = message.seq
            received[topic] += 1
            if isinstance(message, BeatMessage):
                beats.append((now_s, message.r_sample, message.latency_ms))
            else:
                a = message.alarm
                alarms.append((now_s, a.bed, a.kind, a.state, a.decided_sample, message.latency_ms))
    seqs = {} if last is None else last.seqs
    result = {
        "alarms": alarms,  # (time, bed, kind, state, decided_sample, latency_ms)
        "beats": beats,  # (time, r_sample, latency_ms)
        "lost": sum(seq - received[topic] for topic, seq in seqs.items() if topic.endswith(("/beat/", "/alarm/"))),
        "beds": beds,  # bed -> (fs_hz, samples_in, samples_lost)
        "heartbeats": heartbeats,  # (time, uptime_s, late_s, thinned)
        "goodbye": last is not None and last.state == "goodbye",
        "cpu_s": time.process_time(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
