"""What noise does to the whole bed has a floor, in small; the page of figures is what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detector import Scorer

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from noise_study.study import Job, Study, jobs_of, measure  # noqa: E402
from noise_study.tell import put, tables  # noqa: E402
from studies.command import command_line  # noqa: E402
from studies.kept import StudyError  # noqa: E402


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


def high(counts: dict[str, Any]) -> int:
    parts = counts["noisy"], counts["clean"]
    return sum(n for part in parts for name, n in part["alarms"].items() if name.startswith("high"))


@pytest.mark.parametrize("noise", ["em", "ma"])
def test_noise_of_6_db_raises_no_high_alarm_and_is_hardly_scored(noise: str, scorer: Scorer, data_folder: Path) -> None:
    assert (data_folder / "nstdb").is_dir()
    counts = measure(Job("100", noise, 6, 8.0), scorer)
    assert high(counts) == 0
    assert counts["noisy"]["unscorable"] > 0.65 * (counts["noisy"]["found"] + counts["noisy"]["false_detections"])
    assert counts["noisy"]["normal_called"] < 0.1 * counts["noisy"]["normal"]  # a third and more, before


@pytest.mark.parametrize("noise", ["em", "ma"])
def test_noise_of_minus_6_db_is_told_within_five_seconds(noise: str, scorer: Scorer, data_folder: Path) -> None:
    assert (data_folder / "nstdb").is_dir()
    counts = measure(Job("103", noise, -6, 7.0), scorer)
    (after_s,) = counts["noisy"]["poor_signal_after_s"]
    assert after_s is not None
    assert 0 < after_s <= 5.0
    assert high(counts) == 0


def test_a_study_is_kept_goes_on_and_tells_its_goals(tmp_path: Path) -> None:
    part = {
        "seconds": 120.0,
        **dict.fromkeys(("annotated", "found", "normal", "normal_scored"), 100),
        **dict.fromkeys(("false_detections", "unscorable", "abnormal", "abnormal_scored", "abnormal_called"), 0),
        "normal_called": 3,
        "alarms": {"high asystole": 1, "low anomalous_beat": 2},
        "poor_signal_after_s": [3.0, None],
    }
    study = Study(tmp_path / "noise.json")
    study.command = "python tools/noise.py"
    job = Job("100", "em", 6, 8.0)
    study.keep(job.key, {"record": "100", "noise": "em", "snr_db": 6, "minutes": 8.0, "noisy": part, "clean": part})
    again = Study(tmp_path / "noise.json")
    assert again.runs == study.runs
    told = tables(again)
    assert (
        "| 6 dB | 0.00 % / 0.00 % | 100.00 % | 100.00 % | 3.00 % | 3.00 % | 30.0, 0.0, 60.0 | never / never | 1 of 2 |"
        in told
    )
    assert "in noise at 6 dB and better: 1." in told
    assert "asystole (em 6 dB, 100): 1" in told
    assert put("a <!-- noise -->old<!-- /noise --> b", "new") == "a <!-- noise -->\nnew\n<!-- /noise --> b"
    with pytest.raises(ValueError, match="put the two lines"):
        put("no markers", "new")
    (tmp_path / "noise.json").write_text(json.dumps({"runs": {}}))
    with pytest.raises(StudyError, match="move it away"):
        Study(tmp_path / "noise.json")


def test_the_command_is_told_without_how_it_was_run() -> None:
    words = ["--processes", "1", "--minutes", "13", "--again", "--processes=2", "--snr", "6"]
    assert command_line("tools/noise.py", words) == "python tools/noise.py --minutes 13 --snr 6"


def test_bad_lists_are_refused() -> None:
    with pytest.raises(StudyError, match="no noise hiss"):
        jobs_of("", "em,hiss", "6", 30.0)
    with pytest.raises(StudyError, match="--snr six"):
        jobs_of("", "em", "six", 30.0)
    assert len(jobs_of("", "em,nstdb", "6,-6", 30.0)) == 2 * 22 + 2 * 2


def test_the_page_is_what_was_measured() -> None:
    """Else: python tools/noise.py --write."""
    check = [sys.executable, "tools/noise.py", "--check"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
