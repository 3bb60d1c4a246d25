"""The page in a browser: delay from sample to pixel, frames a second, cost of the server, many and slow clients."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import zmq
from common.browser import started_browser
from common.programs import MONITOR, Program, ToolError, rss_mb, wait_for
from stress.subjects import free_port

from benchmarks.report import Figure, Report, percentile

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SOURCE, SEED = "sim", 1
GOAL_DELAY_MS, GOAL_CORE, GOAL_FRAMES, GOAL_MB = 250.0, 10.0, 60.0, 32.0
CLIENTS, CLIENT_BEDS = 50, 4
SETTLE_S = 3.0

# Notes when the oldest and the newest sample of each wave were drawn, by the wall clock of the machine.
_MEASURE = """() => {
  const { store, connection, views } = window.ecgMonitor;
  const m = (window.__measured = { bytes: 0, frames: 0, drawn: [] });
  const waiting = new Map();
  const receive = connection.receive.bind(connection);
  connection.receive = (data) => { m.bytes += data.byteLength ?? data.length; receive(data); };
  const foldWave = store.foldWave.bind(store);
  store.foldWave = (number, header, samples) => {
    foldWave(number, header, samples);
    const ends = waiting.get(header.bed) ?? [];
    ends.push(header.first_sample, header.first_sample + header.n - 1);
    waiting.set(header.bed, ends);
  };
  const began = performance.now();
  const frame = () => {
    m.frames += 1;
    m.seconds = (performance.now() - began) / 1000;
    for (const tile of views.ward.tiles.values()) {
      const samples = waiting.get(tile.bed.name);
      while (samples?.length && tile.sweep.head !== null && tile.sweep.head >= samples[0]) {
        m.drawn.push([tile.bed.name, samples.shift(), (performance.timeOrigin + performance.now()) / 1000]);
      }
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


class _Waves(threading.Thread):
    """A plain subscriber to all waves of a monitor: when each left it."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self.oldest_s: dict[tuple[str, int], float] = {}
        self.newest_s: dict[tuple[str, int], float] = {}
        self._stop_it = threading.Event()
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.connect(endpoint)
        self._socket.subscribe("v1/")
        self.start()

    def run(self) -> None:
        while not self._stop_it.is_set():
            if self._socket.poll(200):
                _, header, _ = self._socket.recv_multipart()
                body = json.loads(header)
                self.oldest_s[body["bed"], body["first_sample"]] = at_s = time.time()
                self.newest_s[body["bed"], body["first_sample"] + body["n"] - 1] = at_s
        self._socket.close(linger=0)

    def end(self) -> None:
        self._stop_it.set()
        self.join()


def measure(beds: int, seconds: float) -> Report:
    """Show `beds` beds on one page, then on many, for `seconds` each."""
    from monitor.bus.endpoints import endpoints_from

    with ExitStack() as stack:
        command = (*MONITOR, "--source", SOURCE, "--beds-count", str(beds), "--seed", str(SEED), "--speed", "1")
        listen = f"tcp://127.0.0.1:{free_port()}"  # the sockets of requests and waves are on the next ports
        endpoint = stack.enter_context(Program((*command, "--no-dashboard", "--bus", listen))).endpoint()
        server = stack.enter_context(Program((*MONITOR, "web", "--connect", endpoint, "--listen", "127.0.0.1:0")))
        wait_for(lambda: "page on" in server.output() or not server.alive, "web server")
        address = server.output().partition("page on ")[2].partition(" ")[0]
        idle = _share(server, seconds / 4)
        waves = _Waves(str(endpoints_from(endpoint).waves))
        stack.callback(waves.end)
        browser = stack.enter_context(started_browser())
        page, page_share = _show(browser, address, beds, server, seconds)
        many, many_share, _ = _clients(server, address, CLIENTS, CLIENT_BEDS, seconds)
        slow, _, memory_mb = _clients(server, address, 4, CLIENT_BEDS, seconds, silent=True)
    oldest_ms, newest_ms = _delays_ms(waves.oldest_s, page["drawn"]), _delays_ms(waves.newest_s, page["drawn"])
    many_ms, slow_ms = (_delays_ms(waves.newest_s, (w for c in part for w in c["waves"])) for part in (many, slow))
    if not all((oldest_ms, newest_ms, many_ms, slow_ms)):
        raise ToolError("no trace was drawn: give more --seconds")
    p99 = percentile(oldest_ms, 99)
    figures = [
        Figure("wave leaves the monitor until its oldest sample is drawn, p50", percentile(oldest_ms, 50), "ms"),
        Figure("wave leaves the monitor until its oldest sample is drawn, p99", p99, "ms", GOAL_DELAY_MS),
        Figure("  until its newest sample is drawn, p50", percentile(newest_ms, 50), "ms"),
        Figure("  until its newest sample is drawn, p99", percentile(newest_ms, 99), "ms"),
        Figure("frames a second", page["frames"] / page["seconds"], "", GOAL_FRAMES, more_is_better=True),
        Figure("bytes a second, a bed", page["bytes"] / page["seconds"] / beds, "B"),
        Figure("server, share of one core, without a page", idle, "%"),
        Figure("server, share of one core, one page with all beds", page_share, "%", GOAL_CORE),
        Figure("server, share of one core, each bed in view", (page_share - idle) / beds, "%"),
        Figure(f"{CLIENTS} clients: server, share of one core", many_share, "%"),
        Figure(
            f"{CLIENTS} clients: wave leaves the monitor until it is received, p99",
            percentile(many_ms or [0.0], 99),
            "ms",
        ),
        Figure(f"{CLIENTS} clients: disconnected", sum(client["closed"] for client in many), ""),
        Figure("a client does not read: memory of the server grows by", memory_mb, "MB", GOAL_MB),
        Figure("a client does not read: wave at the others, p99", percentile(slow_ms, 99), "ms"),
        Figure("a client does not read: longest silence at the others", max(c["gap_s"] for c in slow), "s"),
        Figure("ratio: goal / p99", GOAL_DELAY_MS / p99, "x"),
    ]
    settings = {"beds": beds, "seconds": seconds, "source": SOURCE, "seed": SEED, "client_beds": CLIENT_BEDS}
    return Report("web", settings, figures, (
        "Monitor, server, Chromium (drawing by software, without a graphics card) and clients share the cores.",
        "A wave holds the samples since the one before, here 0.2 s. The oldest has waited that long in the monitor.",
        "The newest waits as long on the page, as the trace runs evenly: the delay from sample to pixel is the same.",
        "Of the client that does not read: 32 MB is what its queue and ZeroMQ may hold.",
    ))  # fmt: skip


def _show(browser: Browser, address: str, beds: int, server: Program, seconds: float) -> tuple[dict[str, Any], float]:
    """What a page with all beds measures, and the server's share of a core, %."""
    page = browser.new_page(viewport={"width": 1920, "height": 1400})
    page.goto(f"{address}#/ward")
    wait_for(lambda: page.locator(".tile").count() == beds, "tiles")
    wait_for(lambda: page.locator(".tile .cover:not([hidden])").count() == 0, "live traces")
    page.evaluate(_MEASURE)
    share = _share(server, seconds)
    measured: dict[str, Any] = page.evaluate("() => window.__measured")
    page.close()
    return measured, share


def _clients(
    server: Program, address: str, count: int, beds: int, seconds: float, silent: bool = False
) -> tuple[list[dict[str, Any]], float, float]:
    """What plain clients received, the server's share of a core, and the growth of its memory, MB."""
    words = (address, str(count), str(beds), f"{seconds:g}")
    before_mb = rss_mb(server.usage)
    with Program((sys.executable, "-m", "benchmarks.web_clients", *words)) as clients, ExitStack() as stack:
        if silent:
            stack.enter_context(_silent_client(address))
        time.sleep(SETTLE_S)
        share = _share(server, seconds - 2 * SETTLE_S)
        grown_mb = max(0.0, rss_mb(server.usage) - before_mb)
        received: list[dict[str, Any]] = json.loads(clients.wait().splitlines()[-1])
    return received, share, grown_mb


def _silent_client(address: str) -> socket.socket:
    """A client that asks for the waves of many beds and does not read."""
    parts = urlsplit(address)
    sock = socket.create_connection((parts.hostname or "", parts.port or 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET /ws HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n"
    sock.sendall(head.encode())
    for request in ({"op": "start"}, {"op": "view", "waves": [[0, f"b{n:04}"] for n in range(1, 33)]}):
        text = json.dumps(request).encode()
        # A masked text frame with the mask 0; 126 = two bytes of length follow.
        length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        sock.sendall(b"\x81" + length + bytes(4) + text)
    return sock


def _share(program: Program, seconds: float) -> float:
    """Processor time of a program over `seconds`, % of one core."""
    times = program.usage.cpu_times()
    time.sleep(seconds)
    now = program.usage.cpu_times()
    return 100 * float(now.user + now.system - times.user - times.system) / seconds


def _delays_ms(sent_s: Mapping[tuple[str, int], float], seen: Iterable[tuple[str, int, float]]) -> list[float]:
    """Delays of the samples (bed, index, time) from when their wave left the monitor, ms."""
    return [1e3 * (at_s - sent_s[bed, sample]) for bed, sample, at_s in seen if (bed, sample) in sent_s]
