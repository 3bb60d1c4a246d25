"""Every fault of tools/web_faults.py at small size: real processes, a page in Chromium, the monitor's journal."""

from __future__ import annotations

import pytest
from common.browser import started_browser
from stress.web_faults import FAULTS, SHORT, run_fault


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_alarm_is_lost_or_doubled(fault):
    with started_browser() as browser:
        outcomes = run_fault(fault, browser, SHORT)
    assert all(outcome.good for outcome in outcomes), outcomes
