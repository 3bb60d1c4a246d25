"""Every fault of tools/web_faults.py at small size: real processes, a page in Chromium, the monitor's journal."""

from __future__ import annotations

import json

import pytest
from common.browser import started_browser
from common.pages import page_with
from stress.web_faults import FAULTS, SHORT, run_fault
from stress.web_verdict import faults_table

from tests import ROOT


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_alarm_is_lost_or_doubled(fault):
    with started_browser() as browser:
        outcomes = run_fault(fault, browser, SHORT)
    assert all(outcome.good for outcome in outcomes), outcomes


def test_the_page_has_the_table_of_the_recorded_results():
    """Else: python tools/web_faults.py --write."""
    kept = json.loads((ROOT / "docs" / "results" / "web_faults.json").read_text("utf-8"))
    assert {outcome["fault"] for outcome in kept["outcomes"]}
    page = ROOT / "docs" / "web.md"
    assert page_with(page, "faults", faults_table(kept)) == page.read_text("utf-8")
