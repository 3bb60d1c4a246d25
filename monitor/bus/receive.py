"""Receiving a bounded number of messages without waiting."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import zmq

__all__ = ["received"]


def received(sock: zmq.Socket[bytes], most: int) -> Iterator[list[bytes]]:
    """Yield the messages that have arrived, at most `most`, each as a list of frames; does not wait."""
    with contextlib.suppress(zmq.Again):
        for _ in range(most):
            yield sock.recv_multipart(zmq.NOBLOCK)
