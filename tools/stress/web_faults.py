"""Faults of the web face, one function each: start all programs, break something, mend it, compare.

A page in Chromium shows a monitor with many alarms through a web server. The alarm messages in the monitor's journal
are compared with those that the page was given.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from common.programs import MONITOR, ToolError, wait_for

from stress.subjects import Monitor, Programs, Subject, free_port
from stress.web_page import WebPage
from stress.web_verdict import Outcome, read_journal

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WRONG_CLOCK = """(() => {
  const real = Date;
  let calls = 0;
  const wrong = () => real.now() * 0.5 + (calls++ % 2 ? 4e12 : -4e11);  // decades off, half as fast, and jumping
  window.Date = class extends real {
    constructor(...parts) { parts.length ? super(...parts) : super(wrong()); }
    static now() { return wrong(); }
  };
})();"""


@dataclass(frozen=True)
class Sizes:
    alarms: int = 30  # alarm messages before, during and after a fault
    stopped_s: float = 10.0
    deaths: int = 3


SHORT = Sizes(alarms=4, stopped_s=4.0, deaths=2)


class Scene:
    """A monitor, a web server and a page.

    Many attributes: it joins the three programs, their addresses and the times of the fault.
    """

    def __init__(
        self, programs: Programs, browser: Browser, sizes: Sizes, script: str = "", tunnel: bool = False
    ) -> None:
        self.programs, self.browser, self.sizes = programs, browser, sizes
        self.listen = f"tcp://127.0.0.1:{free_port()}"
        self.monitors = [Monitor(programs, self.listen)]
        self.port = free_port()
        self.server = self.start_server()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.tunnel: Subject | None = None
        if tunnel:
            near = free_port()
            self.tunnel = programs.start_module("forward", str(near), str(self.port))
            self.address = f"http://127.0.0.1:{near}/"
            wait_for(lambda: _listens(near), "tunnel")
        self.monitor.wait_for_alarms(1)
        self.page = WebPage(browser, self.address, script)
        programs.callback(self.page.close)
        self.page.wait_until("() => window.ecgMonitor.store.log.length > 0", "first alarm on the page")
        self.monitor.wait_for_alarms(sizes.alarms)
        self.began_s = self.mended_s = 0.0
        self.says: tuple[float | None, str] = (None, "")

    @property
    def monitor(self) -> Monitor:
        """The monitor that runs now."""
        return self.monitors[-1]

    def start_server(self) -> Subject:
        started = self.programs.start(*MONITOR, "web", "--connect", self.listen, "--listen", f"127.0.0.1:{self.port}")
        wait_for(lambda: "page on" in started.output() or not started.alive, "web server")
        return started

    def start_monitor(self) -> None:
        """Start a monitor on the same port, with the same journal."""
        self.monitors.append(Monitor(self.programs, self.listen, len(self.monitors) + 1))

    def begin(self) -> None:
        """The fault begins now."""
        self.began_s = self.page.now_s()

    def covered(self) -> None:
        """Wait until the page says that it does not know."""
        self.page.wait_until_covered(self.began_s)
        self.says = self.page.said_after(self.began_s)

    def mend(self) -> None:
        """The fault ends now."""
        self.mended_s = self.page.now_s()

    def check_stood_still(self) -> None:
        """The page must have done nothing for `stopped_s`; else Chromium did not stop."""
        times_s = [look[0] for look in self.page.looks()]
        if max(after - before for before, after in pairwise(times_s)) < self.sizes.stopped_s:
            raise ToolError("the page was not stopped: this Chromium does not do so")

    def finish(self, fault: str, detail: str = "") -> list[Outcome]:
        """Wait for the recovery and more alarms, end all, compare."""
        live_s = self.page.wait_until_live(self.mended_s) if self.mended_s else None
        self.monitor.wait_for_alarms(self.sizes.alarms)
        return [self.judge(self.page, fault, detail, live_s)]

    def judge(self, page: WebPage, fault: str, detail: str, live_s: float | None = None) -> Outcome:
        """Stop the monitor, so that the page and the journal are compared at the same place."""
        newest = self.monitor.alarms()[-1]
        page.wait_for_alarm((f"v1/{newest['alarm']['bed']}/alarm/", newest["epoch"], newest["seq"]))
        self.monitor.program.process.send_signal(signal.SIGSTOP)
        try:
            sent, active = read_journal(self.programs.folder / "journal.sqlite")
            with contextlib.suppress(IndexError):
                page.wait_for_alarm(sent[-1])
            given, shown = page.given(), page.active()
        finally:
            self.monitor.program.process.send_signal(signal.SIGCONT)
        runs = list(dict.fromkeys(epoch for _, epoch, _ in sent))
        first = {topic: (runs.index(epoch), seq) for topic, (epoch, seq) in page.joined.items() if epoch in runs}
        after = {place for place in sent if (runs.index(place[1]), place[2]) > first.get(place[0], (0, 0))}
        return Outcome(
            fault, detail,
            sent=len(after), given=len(after & set(given)), twice=len(given) - len(set(given)),
            strange=len(set(given) - set(sent)), active_right=shown == active,
            says_s=self.says[0], live_s=live_s, words=self.says[1], errors=page.errors,
        )  # fmt: skip


def monitor_killed(scene: Scene) -> list[Outcome]:
    """SIGKILL to the monitor; another run with the same journal."""
    for _ in range(scene.sizes.deaths):
        scene.begin()
        scene.monitor.program.kill()
        scene.covered()
        scene.start_monitor()
        scene.mend()
        scene.monitor.wait_for_alarms(scene.sizes.alarms)
    return scene.finish("monitor killed (-9) and started again", f"{scene.sizes.deaths} times")


def monitor_stopped(scene: Scene) -> list[Outcome]:
    """SIGSTOP to the monitor."""
    with _stopped(scene, scene.monitor.program):
        pass
    return scene.finish("monitor stopped", f"{scene.sizes.stopped_s:g} s")


def monitor_slow(scene: Scene) -> list[Outcome]:
    """The monitor gets a tenth of the processor time that it needs."""
    scene.begin()
    process = scene.monitor.program.process
    until_s = time.monotonic() + scene.sizes.stopped_s
    while time.monotonic() < until_s:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.9)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.1)
    scene.mend()
    return scene.finish("monitor is given a tenth of the time", f"{scene.sizes.stopped_s:g} s")


def server_killed(scene: Scene) -> list[Outcome]:
    """SIGKILL to the web server; alarms meanwhile; it is started again."""
    for _ in range(scene.sizes.deaths):
        scene.begin()
        scene.server.kill()
        scene.covered()
        scene.monitor.wait_for_alarms(scene.sizes.alarms)
        scene.server = scene.start_server()
        scene.mend()
        scene.page.wait_until_live(scene.mended_s)
    return scene.finish("web server killed (-9) and started again", f"{scene.sizes.deaths} times")


def server_stopped(scene: Scene) -> list[Outcome]:
    """SIGSTOP to the web server."""
    with _stopped(scene, scene.server):
        pass
    return scene.finish("web server stopped", f"{scene.sizes.stopped_s:g} s")


def runs_missed(scene: Scene) -> list[Outcome]:
    """While the web server is dead, the monitor runs, dies and runs again, twice."""
    scene.begin()
    scene.server.kill()
    scene.covered()
    for _ in range(2):
        scene.monitor.program.kill()
        scene.start_monitor()
        scene.monitor.wait_for_alarms(scene.sizes.alarms)
    scene.server = scene.start_server()
    scene.mend()
    return scene.finish("two runs of the monitor while the web server is dead")


def all_killed(scene: Scene) -> list[Outcome]:
    """Monitor and server die together; the server is back first."""
    scene.begin()
    scene.monitor.program.kill()
    scene.server.kill()
    scene.covered()
    scene.server = scene.start_server()
    scene.page.wait_until('() => window.ecgMonitor.store.link === "open"', "connection to the server")
    scene.start_monitor()
    scene.mend()
    return scene.finish("monitor and web server killed (-9), the server back first")


def cable(scene: Scene) -> list[Outcome]:
    """The network between server and browser loses everything and reports nothing."""
    if scene.tunnel is None:
        raise ValueError("cable: the scene was made without a tunnel")
    with _stopped(scene, scene.tunnel):
        pass
    return scene.finish("network between server and browser silent", f"{scene.sizes.stopped_s:g} s")


def page_frozen(scene: Scene) -> list[Outcome]:
    """The process of the page stops, as in a browser that saves power; the browser goes on receiving."""
    with _browser_stopped(scene, "--type=renderer"):
        pass
    return scene.finish("page stopped by the browser", f"{scene.sizes.stopped_s:g} s")


def laptop_sleeps(scene: Scene) -> list[Outcome]:
    """All processes of the browser stop, as in a laptop that sleeps."""
    with _browser_stopped(scene, ""):
        pass
    return scene.finish("laptop sleeps (all of the browser stopped)", f"{scene.sizes.stopped_s:g} s")


def two_tabs(scene: Scene) -> list[Outcome]:
    """Two pages; the server dies."""
    other = WebPage(scene.browser, scene.address)
    scene.programs.callback(other.close)
    scene.begin()
    scene.server.kill()
    scene.covered()
    scene.monitor.wait_for_alarms(scene.sizes.alarms)
    scene.server = scene.start_server()
    scene.mend()
    outcomes = scene.finish("two tabs; web server killed (-9)", "first tab")
    return [*outcomes, scene.judge(other, "two tabs; web server killed (-9)", "second tab")]


def clock_wrong(scene: Scene) -> list[Outcome]:
    """The browser's clock is decades off and jumps; the server dies."""
    scene.begin()
    scene.server.kill()
    scene.covered()
    scene.server = scene.start_server()
    scene.mend()
    return scene.finish("the browser's clock is wrong and jumps; web server killed (-9)")


FAULTS: dict[str, Callable[[Scene], list[Outcome]]] = {
    fault.__name__: fault
    for fault in (
        monitor_killed, monitor_stopped, monitor_slow, server_killed, server_stopped, runs_missed, all_killed, cable,
        page_frozen, laptop_sleeps, two_tabs, clock_wrong,
    )
}  # fmt: skip


def run_fault(name: str, browser: Browser, sizes: Sizes) -> list[Outcome]:
    """Carry out one fault in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, Programs(Path(folder)) as programs:
        script = WRONG_CLOCK if name == "clock_wrong" else ""
        return FAULTS[name](Scene(programs, browser, sizes, script, tunnel=name == "cable"))


@contextlib.contextmanager
def _stopped(scene: Scene, program: Subject) -> Iterator[None]:
    """A program is stopped until the page says so, and for `stopped_s` in all."""
    scene.begin()
    began_s = time.monotonic()
    program.process.send_signal(signal.SIGSTOP)
    try:
        scene.covered()
        yield
        time.sleep(max(0.0, scene.sizes.stopped_s - (time.monotonic() - began_s)))
    finally:
        program.process.send_signal(signal.SIGCONT)
    scene.mend()


@contextlib.contextmanager
def _browser_stopped(scene: Scene, word: str) -> Iterator[None]:
    """The processes of the browser with a word on their command line are stopped for `stopped_s`."""
    children = psutil.Process().children(recursive=True)
    stopped = [child for child in children if _is_browser(child, word)]
    stopped = [process for process in stopped if _signalled(process.suspend)]
    try:
        yield
        scene.monitor.wait_for_alarms(scene.sizes.alarms)
        time.sleep(scene.sizes.stopped_s)
    finally:
        for process in stopped:
            _signalled(process.resume)
    scene.mend()
    scene.check_stood_still()


def _is_browser(process: psutil.Process, word: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "chrom" in process.name() and (not word or word in process.cmdline())
    return False


def _signalled(send: Callable[[], None]) -> bool:
    """False if the process has ended meanwhile: a browser starts and ends helpers at any time."""
    with contextlib.suppress(psutil.NoSuchProcess):
        send()
        return True
    return False


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
