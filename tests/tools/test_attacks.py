"""Every attack of tools/attacks.py on a real monitor; and the table of the tool."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from attacks.attack import Outcome, attacks_table
from attacks.catalogue import ATTACKS, PAGE_ATTACKS
from common.pages import page_with

from tests import ROOT

ALL = ATTACKS | PAGE_ATTACKS


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """Run the selected attacks, two at a time, because each mostly waits."""
    wanted = [
        item.callspec.params["attack"]
        for item in request.session.items
        if getattr(item, "originalname", "") == test_the_monitor_withstands.__name__
    ]
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(ALL[name], tmp_path_factory.mktemp(name)) for name in wanted}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("attack", ALL)
def test_the_monitor_withstands(attack, outcomes, tmp_path):
    first = outcomes.pop(attack, None)
    outcome = first.result() if first else ALL[attack](tmp_path)  # a repeated test attacks again
    assert outcome.good, outcome


@pytest.mark.parametrize(
    ("results", "document", "command"),
    [
        ("attacks.json", "bus.md", "python tools/attacks.py"),
        ("page_attacks.json", "web.md", "python tools/attacks.py --page"),
    ],
)
def test_the_document_has_the_table_of_the_recorded_results(results, document, command):
    """Else: the command with --write."""
    kept = json.loads((ROOT / "docs" / "results" / results).read_text("utf-8"))
    page = ROOT / "docs" / document
    assert page.read_text("utf-8") == page_with(page, "attacks", attacks_table(kept, command))
    assert all(row["good"] for row in kept["outcomes"])


def test_a_bad_outcome_is_bold():
    figures = {
        "machine": "m",
        "outcomes": [vars(Outcome("a", "it goes on", good=True)), vars(Outcome("b", "it died", good=False))],
    }
    assert "| a | it goes on |\n| b | **it died** |" in attacks_table(figures)


def test_an_unknown_attack_is_one_line():
    tool = subprocess.run(
        [sys.executable, ROOT / "tools" / "attacks.py", "--only", "x"], capture_output=True, text=True, check=False
    )
    assert tool.returncode == 2
    assert tool.stderr.startswith("attacks: --only x: there are strip-flood,")
    assert tool.stderr.count("\n") == 1
