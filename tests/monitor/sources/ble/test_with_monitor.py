"""The whole monitor on a fake strap in real time: beats, rate and lead; lost notifications move no beat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.alarms.kinds import TECHNICAL
from tests.monitor.commands.helpers import FREE_BUS, environment

pytest.importorskip("bleak", reason="pip install '.[ble]'")


def monitored(folder: Path, lost: str, jitter_s: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "tests.monitor.sources.ble.monitored", lost, jitter_s]
    watch = ["--source", "ble:polar h10", "--duration", "30", "--no-dashboard", *FREE_BUS, "--record", str(folder)]
    return subprocess.Popen(
        [*program, *watch], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), cwd=Path.cwd()
    )


def beats_of(folder: Path) -> np.ndarray:
    return np.genfromtxt(folder / "p1" / "beats.csv", delimiter=",", names=True, usecols=(0, 1))["r_sample"].astype(int)


def seen(folder: Path) -> tuple[dict[str, Any], set[str]]:
    alarms = (folder / "p1" / "alarms.jsonl").read_text().splitlines()
    session = json.loads((folder / "p1" / "session.json").read_text())
    return session["session"], {json.loads(line)["alarm"]["kind"] for line in alarms}


@pytest.mark.slow
def test_beats_rate_and_lead_are_right_also_with_lost_notifications_and_jitter(tmp_path: Path) -> None:
    runs = {lost: monitored(tmp_path / lost, lost, jitter_s) for lost, jitter_s in (("0", "0"), ("0.05", "0.2"))}
    for process in runs.values():
        errors = process.communicate(timeout=200)[1].decode()
        assert process.returncode == 0, errors
    session, kinds = seen(tmp_path / "0")
    assert (session["lead"], session["fs_hz"], session["samples_lost"]) == ("ECG", 130.0, 0)
    assert not kinds & TECHNICAL
    beats = beats_of(tmp_path / "0")
    assert 34 <= beats.size <= 37
    assert 60 * 130 / np.diff(beats).mean() == pytest.approx(72, abs=1)
    session, kinds = seen(tmp_path / "0.05")
    assert session["samples_lost"] > 0
    assert "gap" in kinds
    assert not kinds - TECHNICAL, "no alarm on the heart by a loss"
    found = beats_of(tmp_path / "0.05")
    assert found.size > 25
    assert all(np.abs(beats - beat).min() <= 2 for beat in found), "no beat has moved"
