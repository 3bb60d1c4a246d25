"""Access to the page in a real browser: the link, the cookie, roles, removal, logout, the CSP, hostile names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from monitor.bus.keys import remove_client
from monitor.journal import JournalReader
from tests.monitor.web.conftest import Complaints
from tests.monitor.web.helpers import WebMonitor, keys_in, wait_for

pytestmark = pytest.mark.slow

WAIT_MS = 30_000
expect.set_options(timeout=WAIT_MS)


class Ward(WebMonitor):
    """A monitor with keys, a page, a journal, and an alarm that waits for a person."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys"
        self.tokens = keys_in(self.keys)
        self.journal = folder / "journal.sqlite"
        super().__init__(
            "--keys", str(self.keys), "--journal", str(self.journal), source="sim:sinus=3,asystole=8;repeat=yes"
        )

    def link(self, name: str) -> str:
        return f"{self.address}#token={self.tokens[name]}"


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with Ward(tmp_path) as started:
        yield started


def test_a_link_is_exchanged_for_a_cookie(ward: Ward, page: Page, complaints: Complaints) -> None:
    page.goto(ward.link("desk"))
    expect(page.locator("#link")).to_have_text("● connected")
    assert "token" not in page.url
    page.go_back()  # nor is it in the history
    assert "token" not in page.url
    page.goto(ward.address)  # the cookie alone
    expect(page.locator("#link")).to_have_text("● connected")
    assert page.evaluate("document.cookie") == ""
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert ward.tokens["desk"] not in cookie["value"]
    assert complaints == []


def test_an_operator_acknowledges_under_the_name_of_the_token(ward: Ward, page: Page) -> None:
    page.goto(ward.link("desk"))
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(page.locator(".alarm .state").filter(has_text="acknowledged by desk").first).to_be_visible()
    ward.end()
    with contextlib.closing(JournalReader(ward.journal)) as journal:
        assert {action.who for action in journal.actions()} == {"desk"}


def test_a_viewer_only_views(ward: Ward, page: Page) -> None:
    page.goto(ward.link("ward"))
    expect(page.locator(".alarm").first).to_be_visible()
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    for op in ("acknowledge", "pause_audio"):
        reply = page.evaluate(
            "async (op) => { const { store, connection } = window.ecgMonitor; const alarm = store.beds[0].topAlarm();"
            " return connection.request({ op, bed: 'p1', alarm_id: alarm ? alarm.alarm_id : '', seconds: 60 }); }",
            op,
        )
        assert not reply["ok"]
        assert reply["error"] == f"{op}: needs an operator; ward is a viewer"


def test_a_removed_token_closes_the_page(ward: Ward, page: Page) -> None:
    page.goto(ward.link("desk"))
    expect(page.locator("#link")).to_have_text("● connected")
    remove_client(ward.keys, "desk")
    expect(page.locator("#banner")).to_have_text("NO ACCESS: access was removed or has ended. Ask for a new link.")
    expect(page.locator("#link")).to_have_text("✕ NO ACCESS")
    page.goto(ward.address)
    expect(page.locator("#link")).to_have_text("✕ NO ACCESS")


def test_logout_ends_all_tabs_of_the_browser(ward: Ward, page: Page) -> None:
    page.goto(ward.link("desk"))
    other = page.context.new_page()
    other.goto(ward.address)
    expect(other.locator("#link")).to_have_text("● connected")
    page.get_by_role("button", name="Log out").click()
    for tab in (page, other):
        expect(tab.locator("#link")).to_have_text("✕ NO ACCESS")
    assert page.context.cookies() == []


def test_an_open_page_outlives_the_web_server(ward: Ward, page: Page) -> None:
    """The sessions are in its memory: the page logs in again."""
    page.goto(ward.link("desk"))
    expect(page.locator("#link")).to_have_text("● connected")
    (server,) = ward.usage.children()
    server.kill()
    expect(page.locator("#link")).to_have_text("✕ SERVER LOST")
    expect(page.locator("#link")).to_have_text("● connected")
    wait_for(lambda: "started again" in ward.output(), "the report")


def test_no_violation_of_the_csp_in_any_view(ward: Ward, page: Page, complaints: Complaints) -> None:
    page.goto(ward.link("desk"))
    expect(page.locator(".alarm").first).to_be_visible()
    for key in ("w", "l", "h", "b", "Escape", "Enter", "t", "t", "s", "?"):
        page.keyboard.press(key)
        page.wait_for_timeout(300)  # what a view loads after it is shown
    assert complaints == []
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.bad=1'}))"
    )
    assert page.evaluate("window.bad") is None
    assert any("Content Security Policy" in line for line in complaints)  # so this test can fail
