"""The noise study: floors on two records, the table, and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from common.pages import page_with
from common.programs import ToolError
from studies.noise import jobs, measure, noise_table
from studies.runs import Runs

from detector import Scorer
from tests import ROOT

TOOL = "tools/study.py noise"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


def high(counts: dict[str, Any]) -> int:
    parts = counts["noisy"], counts["clean"]
    return sum(n for part in parts for name, n in part["alarms"].items() if name.startswith("high"))


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["em", "ma"])
def test_noise_of_6_db_raises_no_high_alarm_and_few_beats_are_scored(
    noise: str, scorer: Scorer, data_folder: Path
) -> None:
    assert (data_folder / "nstdb").is_dir()
    counts = measure("100", noise, 6, 8.0, scorer)
    assert high(counts) == 0
    assert counts["noisy"]["unscorable"] > 0.65 * (counts["noisy"]["found"] + counts["noisy"]["false_detections"])
    assert counts["noisy"]["normal_called"] < 0.1 * counts["noisy"]["normal"]  # over a third before the rules for noise


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["em", "ma"])
def test_noise_of_minus_6_db_raises_poor_signal_within_five_seconds(
    noise: str, scorer: Scorer, data_folder: Path
) -> None:
    assert (data_folder / "nstdb").is_dir()
    counts = measure("103", noise, -6, 7.0, scorer)
    (after_s,) = counts["noisy"]["poor_signal_after_s"]
    assert after_s is not None
    assert 0 < after_s <= 5.0
    assert high(counts) == 0


@pytest.mark.slow
def test_a_second_lead_keeps_beats_that_one_lead_loses_to_noise(scorer: Scorer, data_folder: Path) -> None:
    assert (data_folder / "nstdb").is_dir()
    one, two = (measure("100", noise, 12, 8.0, scorer) for noise in ("em", "em, two leads"))
    assert one["noisy"]["unscorable"] > 20 > 2 * two["noisy"]["unscorable"]
    assert two["noisy"]["normal_called"] <= one["noisy"]["normal_called"]
    assert two["noisy"]["found"] >= one["noisy"]["found"]
    assert high(two) == 0


def test_a_study_is_kept_and_continued_and_its_table_has_the_counts(tmp_path: Path) -> None:
    part = {
        "seconds": 120.0,
        **dict.fromkeys(("annotated", "found", "normal", "normal_scored"), 100),
        **dict.fromkeys(("false_detections", "unscorable"), 0),
        "normal_called": 3,
        "alarms": {"high asystole": 1, "low anomalous_beat": 2},
        "poor_signal_after_s": [3.0, None],
    }
    study = Runs(tmp_path / "noise.json", TOOL)
    study.command = f"python {TOOL}"
    study.keep(
        "em +6 dB 100 8 min",
        {"record": "100", "noise": "em", "snr_db": 6, "minutes": 8.0, "noisy": part, "clean": part},
    )
    again = Runs(tmp_path / "noise.json", TOOL)
    assert again.runs == study.runs
    table = noise_table(again)
    assert (
        "| 6 dB | 0.00 % / 0.00 % | 100.00 % | 100.00 % | 3.00 % | 3.00 % | 30.0, 0.0, 60.0 | never / never | 1 of 2 |"
        in table
    )
    assert "in noise at 6 dB and better: 1." in table
    assert "asystole (em 6 dB, 100): 1" in table
    (tmp_path / "noise.json").write_text(json.dumps({"runs": {}}))
    with pytest.raises(ToolError, match=r"tools/study\.py noise.*move it away"):
        Runs(tmp_path / "noise.json", TOOL)


def test_every_noise_comes_at_every_ratio() -> None:
    assert len(jobs(13.0)) == 6 * (5 * 22 + 2)
    assert jobs(13.0)["ma -6 dB 234 13 min"] == ("234", "ma", -6, 13.0)


def test_the_page_has_the_measured_figures() -> None:
    """Else: python tools/study.py noise --write."""
    page = ROOT / "docs" / "quality.md"
    table = noise_table(Runs(ROOT / "train" / "results" / "noise.json", TOOL))
    assert page.read_text("utf-8") == page_with(page, "noise", table)
