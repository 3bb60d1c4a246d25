"""One browser for all tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; `.ci/run` installs it."""
    found = shutil.which("chromium")
    assert found, "no chromium; install it: apt-get install chromium"
    with sync_playwright() as playwright:
        # Without a sandbox, because root cannot have one.
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


class Complaints(list[str]):
    """Errors and warnings of the console, violations of the CSP among them."""


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def page(browser: Browser, complaints: Complaints) -> Iterator[Page]:
    """A page of its own context: no cookie, no storage; `complaints` collects the console."""
    context = browser.new_context()
    made = context.new_page()
    made.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    yield made
    context.close()
