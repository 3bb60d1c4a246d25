"""Send random frames to the sockets of a monitor until SIGTERM: python -m stress.fuzz CONNECT SEED

To the control socket: random bytes and frames, damaged JSON, and requests of the right form with random values.
To all three ports: bytes that are not ZeroMQ. About RATE_HZ messages a second.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import sys
import time
from typing import Any

import zmq

from monitor.bus.endpoints import endpoints_from
from monitor.bus.requests import OPS

RATE_HZ = 1_000
WORDS = ("", "p1", "v1/p1/alarm/", "v1/p1/beat/", "v1/monitor/heartbeat/", "x" * 300, "\u0000", "p1/asystole/1", "😀")
FIELDS = ("id", "bed", "alarm_id", "who", "topic", "epoch", "seq", "seconds", "first_sample", "n", "other")


def value(dice: random.Random) -> Any:
    return dice.choice(
        [*WORDS, None, True, [], {}, 0, -1, 1 << 70, 1e308, 60.5, dice.randrange(1 << 20), {"a": [dice.random()]}]
    )


def request(dice: random.Random) -> bytes:
    """A request with random values, sometimes damaged."""
    body = {"op": dice.choice([*OPS, "stop", 3])} | {key: value(dice) for key in FIELDS if dice.random() < 0.3}
    text = json.dumps(body).encode()
    if dice.random() < 0.3:  # cut short
        text = text[: dice.randrange(len(text))]
    if dice.random() < 0.05:
        text = b"[" * 50_000
    return text


def frames(dice: random.Random) -> list[bytes]:
    kind = dice.random()
    if kind < 0.6:
        return [b"", request(dice)][dice.randrange(2) :]
    if kind < 0.9:
        return [dice.randbytes(dice.choice((0, 1, 10, 1000))) for _ in range(dice.randrange(1, 6))]
    if kind < 0.995:
        return [b"", dice.randbytes(70_000)]
    return [dice.randbytes(2_000_000)]  # over the limit: the monitor closes the connection


def main(connect: str, seed: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    dice = random.Random(seed)
    ends = endpoints_from(connect)
    context = zmq.Context()
    sent = strangers = 0
    control = context.socket(zmq.DEALER)
    control.connect(ends.control)
    try:
        while True:
            if dice.random() < 0.002:  # disconnect without waiting for a reply
                control.close(0)
                control = context.socket(zmq.DEALER)
                control.connect(ends.control)
            with contextlib.suppress(zmq.Again):
                control.send_multipart(frames(dice), zmq.NOBLOCK)
                sent += 1
            if dice.random() < 0.5:
                with contextlib.suppress(zmq.Again):
                    while True:
                        control.recv_multipart(zmq.NOBLOCK)
            if dice.random() < 0.02:
                host, port = dice.choice((ends.alarms, ends.waves, ends.control)).removeprefix("tcp://").split(":")
                with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1.0) as stranger:
                    stranger.sendall(dice.randbytes(dice.choice((1, 10, 64, 5000))))
                    strangers += 1
            time.sleep(1 / RATE_HZ)
    finally:
        print(f"{sent:,} messages and {strangers:,} connections that were no ZeroMQ", flush=True)
        context.destroy(linger=0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
