"""Two programs: the emulator plays a strap in real time, the monitor watches it; lost notifications move no beat."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.alarms.kinds import TECHNICAL
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment

SIGNAL = "sim:sinus@72=60"


@contextlib.contextmanager
def strap(*arguments: str) -> Iterator[list[str]]:
    """Play a strap; gives the options with which to watch it."""
    process = subprocess.Popen(
        [*COMMAND, "emulate", "--source", SIGNAL, "--json", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield shlex.split(process.stdout.readline().removeprefix("watch it: ecg-monitor "))
    finally:
        process.send_signal(signal.SIGINT)
        last = process.communicate(timeout=60)[0].splitlines()[-1]
    counts = json.loads(last)
    assert process.returncode == 0
    assert counts["received"] > 0


def watched(folder: Path, options: list[str]) -> subprocess.Popen[bytes]:
    more = ["--duration", "20", "--no-dashboard", *FREE_BUS, "--record", str(folder)]
    return subprocess.Popen(
        [*COMMAND, *options, *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    )


def beats_of(folder: Path) -> np.ndarray:
    return np.genfromtxt(folder / "p1" / "beats.csv", delimiter=",", names=True, usecols=(0, 1))["r_sample"].astype(int)


def seen(folder: Path) -> tuple[dict[str, Any], set[str]]:
    alarms = (folder / "p1" / "alarms.jsonl").read_text().splitlines()
    session = json.loads((folder / "p1" / "session.json").read_text())
    return session["session"], {json.loads(line)["alarm"]["kind"] for line in alarms}


@pytest.mark.slow
def test_beats_rate_and_lead_are_right_also_with_losses_and_bursts(tmp_path: Path) -> None:
    faults = {"clean": "", "lossy": "drop=5%,late=5%,twice=5%,hiccup@6s for 1s"}
    with contextlib.ExitStack() as stack:
        options = {
            "clean": stack.enter_context(strap("--format", "polar")),
            "lossy": stack.enter_context(strap("--format", "polar", "--faults", faults["lossy"])),
            "movesense": stack.enter_context(strap("--format", "movesense")),
            "ble": stack.enter_context(strap("--format", "ble")),
        }
        runs = {name: watched(tmp_path / name, given) for name, given in options.items()}
        for process in runs.values():
            errors = process.communicate(timeout=200)[1].decode()
            assert process.returncode == 0, errors
    for name, fs_hz in (("clean", 130.0), ("movesense", 250.0), ("ble", 250.0)):
        session, kinds = seen(tmp_path / name)
        assert (session["lead"], session["fs_hz"], session["samples_lost"]) == ("ECG", fs_hz, 0)
        assert not kinds & TECHNICAL
        beats = beats_of(tmp_path / name)
        assert 22 <= beats.size <= 25
        assert 60 * fs_hz / np.diff(beats).mean() == pytest.approx(72, abs=1)
    session, kinds = seen(tmp_path / "lossy")
    assert session["samples_lost"] > 0
    assert "gap" in kinds
    assert not kinds - TECHNICAL, "no alarm on the heart by a loss"
    found, beats = beats_of(tmp_path / "lossy"), beats_of(tmp_path / "clean")
    assert found.size > 14
    assert all(np.abs(beats - beat).min() <= 2 for beat in found if beat <= beats[-1] + 2), "no beat has moved"
