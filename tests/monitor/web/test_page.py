"""The page in Chromium: order, keys, acknowledgement, sound, narrow screens, screen readers, contrast, states."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from monitor.bus.endpoints import endpoints_from
from monitor.messages import ShortTermHrv
from monitor.web.server import WebOptions
from tests.monitor.dashboard.ward_helpers import WardMonitor
from tests.monitor.web.conftest import Complaints
from tests.monitor.web.helpers import served, wait_for

pytestmark = pytest.mark.slow

expect.set_options(timeout=30_000)
ALARMS = [("p1", "asystole", "high"), ("p3", "tachycardia", "medium"), ("p10", "leads_off", "low")]
BEDS = ["p1", "p2", "p3", "p9", "p10"]
# Colour of text, colour behind it.
PAIRS = [
    *((text, back) for text in ("fore", "dim") for back in ("back", "panel", "panel-2")),
    *((f"{each}-fore", each) for each in ("high", "medium", "low")),
    *((f"{each}-text", back) for each in ("high", "medium", "low") for back in ("panel", "panel-2")),
    ("good", "panel"), ("good", "panel-2"), ("back", "fore"),
]  # fmt: skip


@contextlib.contextmanager
def shown(
    page: Page,
    beds: Sequence[str] = BEDS,
    alarms: Sequence[tuple[str, str, str]] = ALARMS,
    conditions: Mapping[str, dict[str, Any]] | None = None,
    view: str = "ward",
) -> Iterator[WardMonitor]:
    """Open the page of a monitor in a view."""
    monitor = WardMonitor(beds, alarms, conditions=conditions)
    try:
        with served(WebOptions(monitors=(endpoints_from(monitor.endpoint),))) as address:
            page.goto(f"{address}#/{view}")
            expect(page.locator("#link")).to_have_text("● connected")
            yield monitor
            page.goto("about:blank")
    finally:
        monitor.stop()


def tiles(page: Page) -> list[str]:
    return page.locator(".tile .name").all_inner_texts()


def test_the_most_urgent_bed_comes_first_and_numbers_are_in_order(page: Page, complaints: Complaints) -> None:
    with shown(page):
        expect(page.locator(".tile .name")).to_have_text(["p1", "p3", "p10", "p2", "p9"])
        expect(page.locator(".tile .mark").first).to_have_text("!!!")
        expect(page.locator("#alarm-count")).to_have_text("3")
        page.keyboard.press("/")
        page.keyboard.type("p1")
        expect(page.locator(".tile:visible .name")).to_have_text(["p1", "p10"])
    assert complaints == []


def test_acknowledge_by_key_and_by_button(page: Page) -> None:
    with shown(page) as monitor:
        expect(page.locator(".tile.high")).to_have_count(1)
        page.keyboard.press("a")
        expect(page.locator(".tile.high.quiet .words")).to_contain_text("acknowledged")
        page.keyboard.press("l")
        page.locator(".alarm", has_text="tachycardia").get_by_role("button", name="Acknowledge").click()
        expect(page.locator(".alarm.quiet")).to_have_count(2)
        assert [name.split("/")[1] for name, _ in monitor.acknowledged] == ["asystole", "tachycardia"]


def test_keys_lead_to_every_view_and_back(page: Page) -> None:
    with shown(page) as monitor:
        expect(page.locator(".tile")).to_have_count(len(BEDS))
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator(".trace-head h1")).to_have_text("p1")
        page.keyboard.press("b")
        expect(page.locator(".trace-head h1")).to_have_text("p2")
        page.keyboard.press(" ")
        expect(page.locator(".trace-box .cover")).to_contain_text("FROZEN")
        page.keyboard.press(" ")
        expect(page.locator(".trace-box .cover")).to_be_hidden()
        page.keyboard.press("+")
        expect(page.get_by_label("Gain")).to_have_value("20")
        page.keyboard.press("m")
        wait_for(lambda: [bed for bed, _ in monitor.paused] == ["p2"], "pause of the audio")
        page.keyboard.press("l")
        expect(page.get_by_role("heading", name="Active alarms")).to_be_visible()
        page.keyboard.press("?")
        expect(page.locator("#help-page")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#help-page")).to_be_hidden()
        page.keyboard.press("w")
        expect(page.locator(".tile")).to_have_count(len(BEDS))


def test_sound_says_that_it_is_off_and_sounds_until_all_is_acknowledged(page: Page) -> None:
    with shown(page, alarms=ALARMS[:1]):
        sound = page.locator("#sound")
        expect(sound).to_have_text("✕ sound off, click to turn on")
        assert page.evaluate("() => window.ecgMonitor.sound.bursts") == 0
        sound.click()
        expect(sound).to_have_text("♪ sound on")
        wait_for(lambda: page.evaluate("() => window.ecgMonitor.sound.bursts") > 0, "a burst")
        assert page.evaluate("() => window.ecgMonitor.sound.due()") == "high"
        page.keyboard.press("a")
        expect(page.locator(".tile.quiet")).to_have_count(1)
        assert page.evaluate("() => window.ecgMonitor.sound.due()") == ""


def test_a_lost_monitor_sounds(page: Page) -> None:
    with shown(page, alarms=[]) as monitor:
        assert page.evaluate("() => window.ecgMonitor.sound.due()") == ""
        monitor.stop()
        expect(page.locator("#banner")).to_contain_text("STALE")
        assert page.evaluate("() => window.ecgMonitor.sound.due()") == "medium"


@pytest.mark.parametrize("view", ["bed/%E0%A4%A", "bed/9%2Fx", "history/0/%/x", "nothing"])
def test_a_mistyped_address_stops_nothing(page: Page, view: str) -> None:
    with shown(page, view=view):
        page.keyboard.press("w")
        expect(page.locator(".tile")).to_have_count(len(BEDS))


def test_the_theme_is_kept(page: Page) -> None:
    with shown(page):
        before = page.locator("html").get_attribute("data-theme")
        page.keyboard.press("t")
        after = page.locator("html").get_attribute("data-theme")
        assert before != after
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", after or "")


@pytest.mark.parametrize("view", ["ward", "bed/0%2Fp1", "alarms", "history"])
def test_nothing_is_cut_off_on_a_phone(page: Page, view: str) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    with shown(page, view=view):
        page.wait_for_timeout(500)  # what a view loads after it is shown
        assert page.evaluate("() => document.scrollingElement.scrollWidth") <= 360
        assert page.evaluate("() => document.getElementById('main').scrollWidth") <= 360
        out = page.evaluate(
            "() => [...document.querySelectorAll('button, select, input, a, h1')]"
            ".filter((node) => node.checkVisibility() && !node.closest('.unseen'))"
            ".filter((node) => { const box = node.getBoundingClientRect(); return box.left < 0 || box.right > 361; })"
            ".map((node) => node.outerHTML)"
        )
        assert out == []


def test_alarms_are_announced_to_screen_readers_and_every_control_has_a_name(page: Page) -> None:
    with shown(page, alarms=ALARMS[:1]):
        live = page.locator("#announce")
        expect(live).to_have_attribute("aria-live", "assertive")
        expect(live).to_have_text("p1: high alarm, asystole. text of asystole")
        page.goto(page.url.replace("#/ward", "#/bed/0%2Fp1"))
        expect(page.locator(".trace-head h1")).to_have_text("p1")
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('button, select, input, canvas')].filter((node) =>"
            " !(node.getAttribute('aria-label') || node.title || node.textContent.trim()"
            " || node.getAttribute('aria-hidden') || node.closest('label')?.textContent.trim()))"
            ".map((node) => node.outerHTML)"
        )
        assert unnamed == []


def luminance(colour: Sequence[float]) -> float:
    """Relative luminance, WCAG 2.2."""
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_has_the_contrast_of_level_aa(page: Page, theme: str) -> None:
    with shown(page):
        colours = page.evaluate(
            """([theme, names]) => {
              document.documentElement.dataset.theme = theme;
              const probe = document.body.appendChild(document.createElement("i"));
              return Object.fromEntries(names.map((name) => {
                probe.style.color = `var(--${name})`;
                return [name, getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map((n) => n / 255)];
              }));
            }""",
            [theme, sorted({name for pair in PAIRS for name in pair})],
        )
    poor = {}
    for text, back in PAIRS:
        light, dark = sorted((luminance(colours[text]), luminance(colours[back])), reverse=True)
        if (ratio := (light + 0.05) / (dark + 0.05)) < 4.5:
            poor[text, back] = round(ratio, 2)
    assert poor == {}


def test_every_state_is_told_by_words(page: Page) -> None:
    """Not by colour alone: the text of the tiles differs."""
    states: dict[str, dict[str, Any]] = {
        "sinus": {"rhythm": "regular"},
        "asystole": {"rhythm": "asystole", "heart_rate_bpm": None},
        "leads-off": {"quality": "leads_off", "scorable": False, "unwatched_s": 42.0, "rhythm": "not watched"},
        "no-data": {"state": "no_data"},
        "source-lost": {"state": "source_lost"},
        "ended": {"state": "ended"},
        "not-watched": {"quality": "muscle", "scorable": False, "unwatched_s": 42.0, "rhythm": "not watched"},
        "noisy": {"quality": "muscle"},
    }
    alarms = [("asystole", "asystole", "high"), ("leads-off", "leads_off", "low")]
    with shown(page, list(states), alarms, states):
        expect(page.locator(".tile")).to_have_count(len(states))
        expect(page.locator(".tile", has_text="NOT WATCHED")).to_have_count(1)
        words = {}
        for name in states:
            tile = page.locator(f'.tile[data-bed="0/{name}"]')
            text = " ".join(tile.inner_text().replace(name, "", 1).split())
            words[name] = "".join(letter for letter in text if not letter.isdigit())
    for first, second in combinations(states, 2):
        assert words[first] != words[second], (first, second, words[first])
    for name, said in (
        ("asystole", "!!!"), ("leads-off", "LEADS OFF"), ("no-data", "NO DATA"), ("source-lost", "SOURCE LOST"),
        ("ended", "ENDED"), ("not-watched", "NOT WATCHED"), ("noisy", "muscle noise"),
    ):  # fmt: skip
        assert said in words[name]
    for name in ("leads-off", "no-data", "source-lost", "ended"):
        assert "---" in words[name], "an old rate is no heart rate"


def test_variability_or_why_there_is_none(page: Page) -> None:
    figures = ShortTermHrv(sdnn_ms=45.2, rmssd_ms=31.8, pnn50=0.123, intervals=350, nn_s=280.0)
    beds = {"known": {"hrv": figures}, "short": {"hrv": ShortTermHrv(why="needs 60 s more")}, "older": {}}
    with shown(page, list(beds), (), beds, view="bed/0%2Fknown"):
        block = page.locator(".hrv")
        expect(block.locator("dd")).to_have_text(["45 ms", "32 ms", "12 %"])
        page.evaluate("location.hash = '#/bed/0%2Fshort'")
        expect(block.locator("p")).to_have_text("– needs 60 s more")
        expect(block.locator("dl")).to_be_hidden()
        page.evaluate("location.hash = '#/bed/0%2Folder'")
        expect(block).to_be_hidden()


def test_traces_out_of_view_are_not_subscribed(page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 400})
    beds = [f"b{n}" for n in range(1, 101)]
    waves = "() => window.ecgMonitor.connection.view.waves.length"
    with shown(page, beds, ()):
        wait_for(lambda: 0 < page.evaluate(waves) <= 80, "subscriptions of the beds in view")
        page.set_viewport_size({"width": 3000, "height": 2000})
        wait_for(lambda: page.evaluate(waves) == 80, "subscriptions of as many beds as may be drawn")
        expect(page.locator(".tile .cover.untraced:visible")).to_have_count(20)  # the others say so
        page.set_viewport_size({"width": 800, "height": 400})
        page.get_by_role("button", name="Traces").click()
        wait_for(lambda: page.evaluate(waves) == 0, "end of the subscriptions")
        page.get_by_role("button", name="Traces").click()
        page.keyboard.press("l")
        wait_for(lambda: page.evaluate(waves) == 0, "end of the subscriptions")
