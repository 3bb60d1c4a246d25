"""Debian's Chromium without a window, driven by playwright."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from common.programs import ToolError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["started_browser"]


@contextlib.contextmanager
def started_browser(*arguments: str) -> Iterator[Browser]:
    """Start Chromium; it ends with the block.

    Raises:
        ToolError: playwright or Chromium is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ToolError("playwright is missing; install it: pip install -e .[test]") from None
    found = shutil.which("chromium")
    if found is None:
        raise ToolError("no chromium; install it: apt-get install chromium")
    with sync_playwright() as playwright:
        # Without a sandbox, because root cannot have one.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", *arguments])
        try:
            yield browser
        finally:
            browser.close()
