"""One browser for the tests of a module.

Playwright keeps an event loop running in the main thread, in which `asyncio.run` fails: so not one for all modules.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from common.browser import started_browser
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; `.ci/run` installs it."""
    with started_browser() as started:
        yield started


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
