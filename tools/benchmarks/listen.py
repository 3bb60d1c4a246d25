"""A subscriber with nothing but pyzmq: notes when each message came, and prints all of it at the end.

python tools/benchmarks/listen.py tcp://127.0.0.1:5556 60
"""

from __future__ import annotations

import json
import sys
import time

import zmq


def main(endpoint: str, seconds: float) -> None:
    """Listen for so many seconds, or until the monitor says goodbye."""
    received: list[tuple[float, bytes]] = []
    with zmq.Context() as context, context.socket(zmq.SUB) as alarms:
        alarms.setsockopt(zmq.LINGER, 0)
        alarms.setsockopt(zmq.RCVHWM, 0)
        alarms.connect(endpoint)
        alarms.subscribe("v1/")
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0 and alarms.poll(round(left_s * 1000)):
            _, body = alarms.recv_multipart()
            received.append((time.monotonic(), body))
            if b'"goodbye"' in body:
                break
    for received_s, body in received:
        print(json.dumps([received_s, json.loads(body)]))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
