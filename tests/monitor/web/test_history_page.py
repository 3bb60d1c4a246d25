"""History and beat inspector in Chromium, with a real monitor whose journal holds an earlier run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from monitor.bus.endpoints import endpoints_from
from monitor.client.client import AlarmClient
from monitor.messages import Request
from tests.monitor.bus.helpers import wait_for
from tests.monitor.commands.helpers import free_endpoint
from tests.monitor.web.conftest import Complaints
from tests.monitor.web.past_monitor import Ward, get, monitor_with, page_of, ward_with_past

pytestmark = pytest.mark.slow

TIMEOUT_MS = 60_000
SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    with ward_with_past(tmp_path_factory.mktemp("ward") / "j.sqlite") as made:
        yield made


@pytest.fixture(autouse=True)
def patience(page: Page) -> None:
    page.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)


def overflow_px(page: Page) -> int:
    """By how much the page is wider than its window."""
    return int(page.evaluate("document.getElementById('main').scrollWidth - document.documentElement.clientWidth"))


def test_filters_and_one_alarm_with_its_files(ward: Ward, page: Page, complaints: Complaints, tmp_path: Path) -> None:
    page.goto(ward.address)
    page.keyboard.press("h")
    rows = page.locator("table.past tbody tr")
    expect(rows.filter(has_text="leads off")).to_have_count(1)
    page.get_by_role("combobox", name="Priority").select_option("high")
    expect(rows.filter(has_text="leads off")).to_have_count(0)
    high = get(ward.address, "/api/alarms", priority="high").data["total"]
    expect(rows).to_have_count(high)
    page.get_by_role("searchbox", name="Text").fill("VENTRICULAR run")
    expect(rows).to_have_count(1)
    page.get_by_role("searchbox", name="Text").press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    strip = page.get_by_role("img", name="ECG strip")
    wait_for(lambda: strip.evaluate("image => image.naturalWidth") > 300, "the strip")
    state = next(m for m in reversed(ward.run.alarms) if m.alarm.kind == "ventricular_run")
    beats = page.locator(".past-alarm table").last.locator("tbody tr")
    expect(beats).to_have_count(len(state.alarm.evidence.r_samples))
    for name, begin in (("Strip (SVG)", "<?xml"), ("FHIR", '{"resourceType": "Bundle"'), ("HL7", "MSH|")):
        with page.expect_download() as started:
            page.get_by_role("link", name=name).click()
        file = tmp_path / "file"
        started.value.save_as(file)
        assert file.read_text().startswith(begin)
    page.keyboard.press("Escape")
    expect(rows).to_have_count(1)
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    started.value.save_as(tmp_path / "list")
    assert (tmp_path / "list").read_text().count("\n") == 2  # of the filtered list
    assert complaints == []


def test_an_operator_is_text(ward: Ward, page: Page, complaints: Complaints) -> None:
    run = ward.run.pipeline.bus.epoch
    found = []
    wait_for(
        lambda: found.extend(a for a in get(ward.address, "/api/alarms").data["alarms"] if a["epoch"] != run) or found,
        "an alarm of this run",
    )
    ends = endpoints_from(ward.endpoint)
    client = AlarmClient(ends.alarms, ends.control, beds=(), streams=())
    reply = client.request(Request(op="acknowledge", alarm_id=found[0]["alarm_id"], who=SCRIPT), 30.0)
    client.close()
    assert reply.ok
    page.goto(ward.address + "#/history")
    page.locator("table.past tbody tr", has_text=SCRIPT).first.click()
    expect(page.get_by_role("cell", name="acknowledge", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name=SCRIPT).first).to_be_visible()
    assert page.locator("img[src=x]").count() == 0
    assert complaints == []


def test_a_phone_shows_everything(ward: Ward, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(ward.address + "#/history")
    row = page.locator("table.past tbody tr", has_text="leads off")
    row.wait_for()
    assert overflow_px(page) <= 0
    row.click()
    page.get_by_role("img", name="ECG strip").wait_for()
    assert overflow_px(page) <= 0


def test_an_alarm_that_is_unknown_is_one_line(ward: Ward, page: Page) -> None:
    page.goto(ward.address + "#/history/0/none/p1%2Fasystole%2F1")
    expect(page.locator(".past-alarm .bad")).to_contain_text("no alarm 'p1/asystole/1'")


def test_live_beats_do_not_move_the_chosen_one(ward: Ward, page: Page, complaints: Complaints) -> None:
    page.goto(ward.address + "#/bed")
    expect(page.locator(".counters")).to_contain_text("beats")
    page.keyboard.press("i")
    inspector = page.get_by_role("dialog", name="Beat inspector")
    rows = inspector.locator(".beat-list button")
    wait_for(lambda: rows.count() >= 2, "anomalous beats")
    expect(inspector.locator("canvas")).to_have_attribute("aria-label", re.compile("median of"))
    page.keyboard.press("End")
    page.keyboard.press("p")
    verdict, sample = inspector.locator(".verdict"), inspector.locator(".facts dd").first
    expect(verdict).to_contain_text("anomalous")
    expect(inspector.locator(".facts")).to_contain_text("nats")

    def chosen() -> str:
        return sample.inner_text().rpartition("(")[2]

    before, known = chosen(), rows.count()
    wait_for(lambda: rows.count() > known, "another anomalous beat")
    assert chosen() == before
    page.keyboard.press("ArrowLeft")
    wait_for(lambda: chosen() != before, "the beat before")
    expect(verdict).not_to_contain_text("anomalous")  # bigeminy: every second beat
    page.keyboard.press("ArrowRight")
    wait_for(lambda: chosen() == before, "the chosen beat again")
    page.keyboard.press("n")
    wait_for(
        lambda: int(chosen().split()[1].rstrip(")")) > int(before.split()[1].rstrip(")")), "the next anomalous one"
    )
    expect(verdict).to_contain_text("anomalous")
    drawn = "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    wait_for(lambda: inspector.locator("canvas").evaluate(drawn) > 10, "the drawing, in the next frame")
    page.keyboard.press("Escape")
    expect(inspector).to_be_hidden()
    assert page.url.endswith("#/bed")
    assert complaints == []


def test_the_inspector_follows_a_restart_of_the_monitor(page: Page, tmp_path: Path) -> None:
    endpoint, path = free_endpoint(), tmp_path / "j.sqlite"
    inspector = page.get_by_role("dialog", name="Beat inspector")
    rows, head = inspector.locator(".beat-list button"), inspector.locator(".inspector-head")
    with page_of(endpoint) as address:
        with monitor_with(path, endpoint=endpoint):
            page.goto(address + "#/bed")
            expect(page.locator(".counters")).to_contain_text("beats")
            page.keyboard.press("i")
            expect(rows).not_to_have_count(0)
        expect(head).to_contain_text(re.compile("ENDED|STALE|LOST"))  # nothing old looks present
        expect(head).to_contain_text("---")
        with monitor_with(path, endpoint=endpoint):
            expect(head).to_contain_text(re.compile(r"\d+ bpm"))
            expect(rows).not_to_have_count(0)
            expect(inspector.locator(".facts")).to_contain_text("nats")
