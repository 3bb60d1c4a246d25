"""The emulator and the monitor as two programs at real speed: a device without faults raises no technical alarm."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from monitor.alarms.kinds import TECHNICAL
from monitor.sources.serial.formats import FORMATS
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment

# Example of docs/sources.md or of the README -> (options of the device, options of the monitor).
SCALE = "--adc-bits 10 --vref 5 --gain 1100"
PAIRS = {
    **{form: (f"--format {form}", "") for form in FORMATS},
    "Arduino": (f"--format lines {SCALE}", SCALE),
    "chords": ("--format chords", "--gain 500"),
    "olimex": ("--format olimex", "--adc-bits 10 --vref 5 --gain 1424"),
    "raw16": ("--format raw16", "--format raw16 --unit adc --mv-per-unit 0.001"),
    "cyton at once": ("--format cyton", "--format cyton --fs 250"),
}


class Seen(NamedTuple):
    """Output of a monitor that has ended, and its alarms."""

    code: int
    errors: str
    kinds: set[str]
    watched: dict[str, float]


@pytest.fixture(scope="module")
def monitors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    """All pairs at the same time: each lasts as long in the real world."""
    folder = tmp_path_factory.mktemp("pairs")
    devices, running = [], {}
    for at, (name, (device, monitor)) in enumerate(PAIRS.items()):
        port = folder / f"port{at}"
        arguments = ("emulate", "--source", "sim:sinus=600", *device.split(), "--link", str(port))
        devices.append(subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env=environment()))
        lines = devices[-1].stdout
        assert lines is not None
        while "it begins when the port is opened" not in lines.readline():
            assert devices[-1].poll() is None
        watch = ("--source", "serial", "--port", str(port), *monitor.split(), "--duration", "30")
        outputs = ("--no-dashboard", *FREE_BUS, "--record", str(folder / name))
        command = [*COMMAND, *watch, *outputs]
        running[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
    seen = {}
    for name, process in running.items():
        errors = process.communicate(timeout=120)[1].decode()
        text = (folder / name / "p1" / "alarms.jsonl").read_text() if process.returncode == 0 else ""
        session = json.loads((folder / name / "p1" / "session.json").read_text()) if process.returncode == 0 else {}
        kinds = {json.loads(line)["alarm"]["kind"] for line in text.splitlines()}
        seen[name] = Seen(process.returncode, errors, kinds, session)
    yield seen
    for process in devices:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_a_device_without_faults_raises_no_technical_alarm(monitors: dict[str, Seen], name: str) -> None:
    code, errors, kinds, session = monitors[name]
    assert code == 0, errors
    assert not kinds & TECHNICAL, errors
    assert session["fs_hz"] == 250
    assert session["session"]["samples_in"] > 20 * 250
