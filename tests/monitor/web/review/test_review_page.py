"""The review page in Chromium, with the keyboard: step, confirm, relabel, add, undo; the labels are in the file."""

from __future__ import annotations

import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from monitor.recording.review_file import ReviewFiles
from monitor.reports.decisions import Mark
from monitor.web.server import WebOptions
from tests.monitor.web.conftest import Complaints
from tests.monitor.web.helpers import keys_in
from tests.monitor.web.review.helpers import NOW, ODD, ODD_SHAPE, beats, served_review

pytestmark = pytest.mark.slow

R = beats().r_sample.tolist()
ORDER = sorted([*((R[row], "") for row in ODD), (2000, "asystole"), (4000, "ventricular_run")])


def labels(folder: Path) -> dict[tuple[int, str], str]:
    return {tuple(mark): each.verdict for mark, each in ReviewFiles([(folder / "signal", 0)]).read().items()}  # type: ignore[misc]


def test_a_review_with_the_keyboard(page: Page, complaints: Complaints, tmp_path: Path) -> None:
    expect.set_options(timeout=30_000)
    title, progress, saved = page.locator(".event-title"), page.locator("#progress"), page.locator("#saved")
    with served_review(tmp_path) as address:
        page.goto(address)
        expect(title).to_contain_text("1 of 8: ventricular-looking beat")
        page.keyboard.press("Enter")  # the first beat: V
        expect(title).to_contain_text("2 of 8")
        first_alarm = ORDER.index((2000, "asystole"))
        for _ in range(first_alarm - 1):
            page.keyboard.press("ArrowRight")
        expect(title).to_contain_text("asystole")
        page.keyboard.press("v")  # no label of an alarm
        expect(page.locator("#note")).to_contain_text("an alarm is confirmed")
        page.keyboard.press("x")
        expect(progress).to_have_text("2 of 8 decided")
        beat = ORDER[first_alarm + 1]
        page.keyboard.press("n")
        expect(progress).to_have_text("3 of 8 decided")
        expect(saved).to_have_text("● saved")
        expected = {ORDER[0]: "V", (2000, "asystole"): "false", beat: "N"}
        assert labels(tmp_path) == expected
        page.keyboard.press("u")
        expect(progress).to_have_text("2 of 8 decided")
        page.keyboard.press("y")
        expect(progress).to_have_text("3 of 8 decided")

        page.keyboard.press(",")  # the beat before it on the strip
        page.keyboard.press("s")
        expect(title).to_contain_text("supraventricular")
        page.keyboard.press("a")  # a beat that was missed, half an interval later
        for _ in range(4):
            page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("f")
        expect(title).to_contain_text("added beat")
        expect(saved).to_have_text("● saved")
        more = {mark: verdict for mark, verdict in labels(tmp_path).items() if mark not in expected}
        (usual, s), (added, f) = sorted(more.items())
        assert (s, f) == ("S", "F")
        assert usual[0] in R
        assert added[0] - usual[0] == 120  # 4 steps of 30 samples: 100 ms, rounded up at 250 Hz

        page.keyboard.press("Escape")
        page.get_by_role("combobox", name="Group").select_option(label="ventricular-looking · shape 2: 2 of 4 open")
        page.keyboard.press("g")
        expect(page.locator("#group-page")).to_contain_text("Decide about 2 undecided of 4")
        page.keyboard.press("Enter")
        expect(progress).to_have_text("5 of 8 decided")
        page.keyboard.press("o")
        expect(page.locator(".event")).to_have_count(1)  # the chosen one: all of this group are decided
        assert {labels(tmp_path).get((R[row], "")) for row in ODD_SHAPE} == {"V", "N"}

        page.get_by_role("button", name="F fusion").click()  # the chosen one is a decided beat
        expect(page.locator(".event-title")).to_contain_text("fusion")
        page.keyboard.press("u")
        expect(page.locator(".event-title")).not_to_contain_text("fusion")
        page.keyboard.press("]")
        page.keyboard.press("]")
        page.keyboard.press("v")  # nothing that is out of view is decided
        expect(page.locator("#note")).to_contain_text("back to what was chosen")

        page.reload()
        expect(progress).to_have_text("5 of 8 decided")
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert set(labels(tmp_path)) >= {usual, added}
    assert complaints == []


def test_a_lost_folder_is_said_at_once(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "rec"
    folder.mkdir()
    with served_review(folder) as address:
        page.goto(address)
        expect(page.locator("#progress")).to_have_text("0 of 8 decided")
        folder.rmdir()
        page.keyboard.press("Enter")
        expect(page.locator("#banner")).to_contain_text("NOT SAVED, and taken back")
        expect(page.locator("#progress")).to_have_text("0 of 8 decided")
        folder.mkdir()
        page.keyboard.press("Enter")
        expect(page.locator("#progress")).to_have_text("1 of 8 decided")
        expect(page.locator("#banner")).to_be_hidden()
        page.keyboard.press("a")  # at the chosen beat: refused, but nothing is amiss with saving
        page.keyboard.press("f")
        expect(page.locator("#note")).to_contain_text("a beat is there already")
        expect(page.locator("#saved")).to_have_text("● saved")
    assert Mark(ORDER[0][0]) in ReviewFiles([(folder / "signal", 0)]).read()


def test_a_page_of_an_earlier_start_decides_nothing(page: Page, tmp_path: Path) -> None:
    with served_review(tmp_path) as address:
        page.goto(address)
        expect(page.locator("#progress")).to_have_text("0 of 8 decided")
    (tmp_path / "other").mkdir()
    later = NOW + datetime.timedelta(minutes=1)
    with served_review(tmp_path / "other", listen=urlsplit(address).netloc, now=later):
        page.keyboard.press("Enter")
        expect(page.locator("#banner")).to_contain_text("started again")
        expect(page.locator("#progress")).to_have_text("0 of 8 decided")
        with page.expect_response(lambda answer: "/changes" in answer.url):
            pass  # the next poll
        expect(page.locator("#saved")).to_have_text("✕ NOT SAVED")
    assert not list(tmp_path.rglob("*.review"))


def test_a_link_for_viewing(page: Page, tmp_path: Path) -> None:
    tokens = keys_in(tmp_path / "keys")
    with served_review(tmp_path, WebOptions(keys=str(tmp_path / "keys"))) as address:
        page.goto(f"{address}#token={tokens['ward']}")
        expect(page.locator("#reviewer")).to_have_text("ward: viewing only")
        for key in ("v", "u", "a"):
            page.keyboard.press(key)
            expect(page.locator("#note")).to_contain_text("needs an operator")
        page.locator("#logout").click()
        expect(page.locator("#banner")).to_contain_text("a link that holds a token")
    assert not (tmp_path / "signal.review").exists()
