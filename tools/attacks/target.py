"""The monitor under attack: a real process, an honest subscriber that measures it, and its memory."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import zmq
from common.programs import MONITOR, Program, ToolError, Watch, rss_mb, wait_for
from stress.subjects import free_port

from attacks.attack import Outcome
from monitor.bus.endpoints import BusEndpoints, endpoints_from
from monitor.bus.keys import ClientKey, add_client, load_client_key, make_server_keys, use_key
from monitor.messages import BeatMessage, decode

__all__ = ["SOURCE", "Target", "client_socket"]

SOURCE = "sim:sinus=8,pvc=4,asystole=5;repeat=yes"
BEATS_BEFORE, BEATS_AFTER = 5, 5
LATENCY_LIMIT_MS = 1_000.0  # of the beats of one bed, on a machine that the attack shares
MEMORY_LIMIT_MB = 200.0


def client_socket(kind: int, endpoint: str, key: ClientKey | None = None) -> zmq.Socket[bytes]:
    """A connected socket in the shared context, without limits of its own."""
    sock: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
        sock.setsockopt(option, 0)
    if key is not None:
        use_key(sock, key)
    sock.connect(endpoint)
    return sock


class _Listener(threading.Thread):
    """An honest subscriber to beats; keeps the latency of each, as the monitor measured it, ms."""

    def __init__(self, endpoint: str, key: ClientKey | None) -> None:
        super().__init__(daemon=True)
        self.latencies_ms: list[float] = []
        self.end = threading.Event()
        self._sub = client_socket(zmq.SUB, endpoint, key)
        self._sub.subscribe("v1/p1/beat/")

    def run(self) -> None:
        newest = 0
        while not self.end.is_set():
            if not self._sub.poll(100):
                continue
            message = decode(self._sub.recv_multipart()[1])
            if isinstance(message, BeatMessage) and message.seq > newest:
                newest = message.seq
                self.latencies_ms.append(message.latency_ms or 0.0)
        self._sub.close()


class Target(ExitStack):
    """Start a monitor and wait for its first beats; a context manager.

    Args:
        folder: for keys and other files.
        keys: make keys, with an operator for the listener and a viewer.
        beds: a file of beds, p1 among them, instead of the one bed p1.
        words: more arguments of the monitor.

    Attributes:
        program: the monitor.
        ends: endpoints of its bus.
        viewer: key of a viewer; None without keys.
        began_s: monotonic time of the start of the attack, s.
    """

    def __init__(self, folder: Path, *words: str, keys: bool = False, beds: Path | None = None) -> None:
        super().__init__()
        self.folder = folder
        listen = f"tcp://127.0.0.1:{free_port()}"
        self.ends: BusEndpoints = endpoints_from(listen)
        source = ["--source", SOURCE] if beds is None else ["--beds", str(beds)]
        command = [*MONITOR, *source, "--no-dashboard", "--bus", listen, *words]
        self.viewer = operator = None
        if keys:
            self.keys = folder / "keys"
            make_server_keys(self.keys)
            self.viewer = load_client_key(add_client(self.keys, "ward-3", "viewer"))
            operator = load_client_key(add_client(self.keys, "desk", "operator"))
            command += ["--keys", str(self.keys)]
        self.program = self.enter_context(Program(command))
        self.program.endpoint()
        self._listener = _Listener(self.ends.alarms, operator)
        self._listener.start()
        self.callback(self._listener.join)
        self.callback(self._listener.end.set)
        self._memory = Watch(lambda: [self.program.usage], rss_mb, every_s=0.05)
        self.callback(self._memory.end)
        self.wait_for_beats(BEATS_BEFORE)
        self._before_mb = self._memory.now_mb
        self._beats_before = len(self._listener.latencies_ms)
        self.began_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def wait_for_beats(self, count: int) -> None:
        """Wait until the listener has received `count` more beats, or the monitor has ended."""
        wanted = len(self._listener.latencies_ms) + count
        wait_for(lambda: len(self._listener.latencies_ms) >= wanted or not self.program.alive, f"{count} beats")

    @property
    def metrics_url(self) -> str:
        """Address of its metrics; for a monitor with `--metrics "*"`."""
        found = re.search(r"http://\S+/metrics", self.program.output())
        if found is None:
            raise ToolError("the monitor printed no address of its metrics")
        return found[0]

    def metric(self, series: str) -> float:
        """Value of a series of its metrics."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as reply:
            text = reply.read().decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(series))

    def outcome(self, attack: str, now: str = "", *, good: bool = True) -> Outcome:
        """The attack is over: wait for more beats, and judge the monitor; `good`: what else must hold, holds."""
        self.wait_for_beats(BEATS_AFTER)
        if not self.program.alive:
            last = (self.program.output().strip().splitlines() or ["it printed nothing"])[-1]
            return Outcome(attack, f"the monitor died: {last}", good=False)
        latency_ms = max(self._listener.latencies_ms[self._beats_before :])
        grown_mb = self._memory.most_mb - self._before_mb
        figures = f"latency of a beat at most {latency_ms:,.0f} ms, memory {grown_mb:+,.0f} MB"
        good = good and latency_ms < LATENCY_LIMIT_MS and grown_mb < MEMORY_LIMIT_MB
        return Outcome(attack, f"{now}; {figures}" if now else figures, good=good)
