"""What a subscriber with nothing but pyzmq hears, as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import zmq

__all__ = ["heard"]


def heard(endpoint: str, seconds: float) -> Iterator[tuple[float, bytes, bytes]]:
    """(monotonic time, topic, body) of every message for so many seconds; ends too where none comes for the rest."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.setsockopt(zmq.LINGER, 0)
        sub.setsockopt(zmq.RCVHWM, 0)
        sub.connect(endpoint)
        sub.subscribe("v1/")
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0 and sub.poll(round(left_s * 1000)):
            topic, body = sub.recv_multipart()
            yield time.monotonic(), topic, body
