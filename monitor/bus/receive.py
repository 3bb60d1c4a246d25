"""Taking what has come over a socket, and never more at once than the caller has time for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import zmq

__all__ = ["received"]


def received(sock: zmq.Socket[bytes], most: int) -> Iterator[list[bytes]]:
    """Messages that are there, at most so many, each as its frames; does not wait.

    Args:
        sock: open.
        most: messages.
    """
    with contextlib.suppress(zmq.Again):
        for _ in range(most):
            yield sock.recv_multipart(zmq.NOBLOCK)
