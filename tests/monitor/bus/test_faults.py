"""Every fault of tools/bus_faults.py in its short form, with real processes; and the table of the tool."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from common.pages import page_with
from stress.faults import FAULTS, SHORT, run_fault
from stress.verdict import Outcome, faults_table

from tests import ROOT

MEMORY_GROWTH_MB = 100.0  # the queue of 10,000 messages to a subscriber that does not read is about 6 MB


@pytest.fixture(scope="module")
def running_faults(request):
    """Run the selected faults, three at a time, because each mostly waits."""
    wanted = [
        item.callspec.params["fault"]
        for item in request.session.items
        if getattr(item, "originalname", "") == test_no_alarm_is_lost_or_doubled.__name__
    ]
    with ThreadPoolExecutor(3) as pool:
        yield {fault: pool.submit(run_fault, fault, SHORT) for fault in wanted}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_no_alarm_is_lost_or_doubled(fault, running_faults):
    first = running_faults.pop(fault, None)
    outcomes = first.result() if first else run_fault(fault, SHORT)  # a repeated test breaks it again
    for outcome in outcomes:
        assert outcome.alarms_sent > 0
        assert outcome.alarms_seen == outcome.alarms_sent, outcome
        assert outcome.good, outcome
        for before_mb, most_mb in outcome.memory_mb.values():
            assert 0 < before_mb <= most_mb < before_mb + MEMORY_GROWTH_MB, outcome
        if fault in ("network-cut", "subscriber-killed", "monitor-killed"):
            assert outcome.recovered > 0, "no message was lost, so the test proves nothing"


def outcome(**changes: object) -> Outcome:
    values = {
        "fault": "x", "detail": "y", "alarms_sent": 3, "alarms_seen": 3, "alarms_strange": 0, "duplicates": 0,
        "out_of_order": 0, "recovered": 1, "missed": 0, "latency_ms": (1.0, None), "memory_mb": {"monitor": (1.0, 2.0)},
    }  # fmt: skip
    return Outcome(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"alarms_seen": 2}, {"alarms_strange": 1}, {"duplicates": 1}, {"out_of_order": 1}, {"alarms_sent": 0}],
)  # fmt: skip
def test_an_outcome_with_any_fault_is_not_good(wrong):
    assert outcome().good
    assert not outcome(**wrong).good


def test_the_page_has_the_table_of_the_recorded_results():
    """Else: python tools/bus_faults.py --write."""
    kept = json.loads((ROOT / "docs" / "results" / "bus_faults.json").read_text("utf-8"))
    page = ROOT / "docs" / "bus.md"
    assert page.read_text("utf-8") == page_with(page, "faults", faults_table(kept))
    for row in kept["outcomes"]:
        assert row["alarms_seen"] == row["alarms_sent"] > 0
        assert row["duplicates"] == row["out_of_order"] == row["alarms_strange"] == 0


def test_an_unknown_fault_is_one_line():
    tool = subprocess.run(
        [sys.executable, ROOT / "tools" / "bus_faults.py", "--only", "flood"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tool.returncode == 2
    assert tool.stderr.startswith("bus_faults: --only flood: there are subscriber-killed,")
    assert tool.stderr.count("\n") == 1
