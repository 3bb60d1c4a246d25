"""Text of devices and people is only ever text, also where a bus sends what a real monitor refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from monitor.bus.endpoints import BusEndpoints
from monitor.messages import EventMessage, Message, WaveHeader, bed_topic
from monitor.reports.strip_svg import StripPicture, draw_strip
from monitor.web.server import WebOptions
from tests.monitor.bus.helpers import alarm, beat, heartbeat, make_bus, serve, status
from tests.monitor.web.conftest import Complaints
from tests.monitor.web.helpers import TIMEOUT_S, served

pytestmark = pytest.mark.slow

SCRIPT = (
    "\"><script>window.bad=1<\u2044script><img src=x onerror=window.bad=1><svg onload=window.bad=1>'`javascript:bad"
)
BED = "<img src=x onerror=window.bad=1>"
expect.set_options(timeout=30_000)


class HostileMonitor(threading.Thread):
    """A bus whose every text is a script; it publishes until `end`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.end, self.ready = threading.Event(), threading.Event()
        self.endpoints = BusEndpoints("", "", "")

    def run(self) -> None:
        bus = make_bus()
        self.endpoints = bus.endpoints
        self.ready.set()
        sample = 0
        while not self.end.is_set():
            for stream, body in self._messages(sample):
                bus.publish(bed_topic(BED, stream), body)  # type: ignore[arg-type]
            wave = WaveHeader(bed=BED, sample=sample, time="", first_sample=sample, n=90, fs_hz=360.0,
                              channels=("raw", "filtered"))  # fmt: skip
            bus.publish_wave(wave, np.zeros((2, 90), np.float32))
            bus.heartbeat(msgspec.structs.replace(heartbeat(), beds=(BED,), version=SCRIPT))
            sample += 90
            for _ in range(20):
                serve(bus, 0.0125)
        bus.close()

    @staticmethod
    def _messages(sample: int) -> Iterator[tuple[str, Message]]:
        replace: Callable[..., Message] = msgspec.structs.replace
        of_status = status(sample, BED)
        yield "status", replace(of_status, source=SCRIPT, lead=SCRIPT, rhythm=SCRIPT, quality=SCRIPT)
        yield "beat", replace(beat(sample, BED), words=(SCRIPT,), anomalous=True, quality=SCRIPT)
        yield "event", EventMessage(sample=sample, time=SCRIPT, bed=BED, kind=SCRIPT, text=SCRIPT)
        if sample % 900 == 0:
            raised = alarm(sample, "acknowledged" if sample % 1800 else "onset", BED, f"kind {SCRIPT}".replace("/", ""))
            changed = replace(raised.alarm, text=SCRIPT, acknowledged_by=SCRIPT if sample % 1800 else "")
            yield "alarm", replace(raised, alarm=changed)


@pytest.fixture
def address() -> Iterator[str]:
    monitor = HostileMonitor()
    monitor.start()
    assert monitor.ready.wait(TIMEOUT_S)
    with served(WebOptions(monitors=(monitor.endpoints,))) as made:
        yield made
    monitor.end.set()
    monitor.join()


def test_scripts_in_names_are_shown_as_text_in_every_view(address: str, page: Page, complaints: Complaints) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(address)
    expect(page.locator("main")).to_contain_text(BED)
    for key in ("w", "l", "h", "b", "Enter", "i", "Escape", "?", "Escape"):
        page.keyboard.press(key)
        page.wait_for_timeout(700)
        assert page.evaluate("window.bad") is None
        assert page.locator("main script, main img, main svg[onload]").count() == 0
    page.goto(f"{address}#/bed/{'%3Cimg%20src=x%20onerror=window.bad=1%3E'}")
    page.goto(f"{address}#/alarms")
    expect(page.locator("main")).to_contain_text("onerror=window.bad=1")
    expect(page.locator("main")).to_contain_text("acknowledged by")
    assert page.evaluate("window.bad") is None
    assert dialogs == []
    assert complaints == []


def test_scripts_in_a_strip_are_text(tmp_path: Path, page: Page) -> None:
    body = msgspec.structs.replace(
        alarm(100).alarm, bed=BED, text=SCRIPT.replace("\u2044", "/"), kind=SCRIPT, acknowledged_by=SCRIPT
    )
    words = SCRIPT.replace("\u2044", "/")
    svg = draw_strip(
        StripPicture(0, 360.0, np.zeros(720, np.float32), body, [], words, words, words, words, words, words)
    )
    path = tmp_path / "strip.svg"
    path.write_text(svg)
    page.goto(path.as_uri())  # no policy protects it there
    expect(page.locator("text").filter(has_text="onerror").first).to_be_visible()
    assert page.evaluate("window.bad") is None
    assert page.evaluate("document.querySelectorAll('script, img, [onload], [onerror]').length") == 0
