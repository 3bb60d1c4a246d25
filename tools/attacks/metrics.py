"""Attacks on the port of the metrics."""

from __future__ import annotations

import contextlib
import socket
import time
import urllib.parse
from pathlib import Path

from attacks.attack import Outcome
from attacks.target import Target

__all__ = ["dripping", "silent"]

CONNECTIONS = 900  # with the other files of this process under the usual limit of 1024
SILENT_S = 15.0
MAX_THREADS = 100


def dripping(folder: Path) -> Outcome:
    """Connections that send a request a byte a second; Prometheus must get its answer."""
    with Target(folder, "--metrics", "*") as target, contextlib.ExitStack() as stack:
        drips: list[socket.socket] = []
        for _ in range(CONNECTIONS):
            drips.append(stack.enter_context(_connect(target)))
            drips[-1].sendall(b"GET /metrics HTTP/1.1\r\nX-Drip: ")
        answered = 0
        for _ in range(10):
            for drip in drips:
                with contextlib.suppress(OSError):
                    drip.send(b"x")
            with contextlib.suppress(OSError):
                target.metric("ecg_monitor_build_info")
                answered += 1
            time.sleep(0.5)
        threads = target.program.usage.num_threads()
        now = f"{answered} of 10 other requests are answered, {threads} threads"
        what = f"{CONNECTIONS} connections to the metrics port that send a request byte by byte"
        return target.outcome(what, now, good=answered == 10 and threads < MAX_THREADS)


def silent(folder: Path) -> Outcome:
    """A connection that sends nothing."""
    with Target(folder, "--metrics", "*") as target, _connect(target):
        time.sleep(SILENT_S)
        printed = "Traceback" in target.program.output()
        now = "a traceback is printed" if printed else "it is closed, nothing is printed"
        return target.outcome("a connection to the metrics port that sends nothing", now, good=not printed)


def _connect(target: Target) -> socket.socket:
    place = urllib.parse.urlsplit(target.metrics_url)
    return socket.create_connection((place.hostname, place.port or 0), 10.0)
