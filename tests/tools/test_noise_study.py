"""The noise study: floors on two records, the table, and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detector import Scorer
from tests.tools.helpers import ROOT

from common.pages import write_page  # isort: skip
from common.programs import ToolError  # isort: skip
from studies.noise import Job, jobs_of, measure  # isort: skip
from studies.noise_table import noise_table  # isort: skip
from studies.runs import Runs, command_line  # isort: skip

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
    counts = measure(Job("100", noise, 6, 8.0), scorer)
    assert high(counts) == 0
    assert counts["noisy"]["unscorable"] > 0.65 * (counts["noisy"]["found"] + counts["noisy"]["false_detections"])
    assert counts["noisy"]["normal_called"] < 0.1 * counts["noisy"]["normal"]  # over a third before the rules for noise


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["em", "ma"])
def test_noise_of_minus_6_db_raises_poor_signal_within_five_seconds(
    noise: str, scorer: Scorer, data_folder: Path
) -> None:
    assert (data_folder / "nstdb").is_dir()
    counts = measure(Job("103", noise, -6, 7.0), scorer)
    (after_s,) = counts["noisy"]["poor_signal_after_s"]
    assert after_s is not None
    assert 0 < after_s <= 5.0
    assert high(counts) == 0


def test_a_study_is_kept_and_continued_and_its_table_has_the_counts(tmp_path: Path) -> None:
    part = {
        "seconds": 120.0,
        **dict.fromkeys(("annotated", "found", "normal", "normal_scored"), 100),
        **dict.fromkeys(("false_detections", "unscorable", "abnormal", "abnormal_scored", "abnormal_called"), 0),
        "normal_called": 3,
        "alarms": {"high asystole": 1, "low anomalous_beat": 2},
        "poor_signal_after_s": [3.0, None],
    }
    study = Runs(tmp_path / "noise.json", TOOL, {})
    study.command = f"python {TOOL}"
    job = Job("100", "em", 6, 8.0)
    study.keep(job.key, {"record": "100", "noise": "em", "snr_db": 6, "minutes": 8.0, "noisy": part, "clean": part})
    again = Runs(tmp_path / "noise.json", TOOL, {})
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
        Runs(tmp_path / "noise.json", TOOL, {})


def test_the_command_line_leaves_out_options_without_influence() -> None:
    words = ["noise", "--processes", "1", "--minutes", "13", "--again", "--processes=2", "--snr", "6"]
    assert command_line("tools/study.py", words) == "python tools/study.py noise --minutes 13 --snr 6"


def test_bad_lists_are_refused() -> None:
    with pytest.raises(ToolError, match="no noise hiss"):
        jobs_of("", "em,hiss", "6", 30.0)
    with pytest.raises(ToolError, match="--snr six"):
        jobs_of("", "em", "six", 30.0)
    assert len(jobs_of("", "em,nstdb", "6,-6", 30.0)) == 2 * 22 + 2 * 2


def test_the_page_has_the_measured_figures() -> None:
    """Else: python tools/study.py noise --write."""
    runs = Runs(ROOT / "train" / "results" / "noise.json", TOOL, {})
    assert write_page("docs/quality.md", "noise", noise_table(runs), check=True)
