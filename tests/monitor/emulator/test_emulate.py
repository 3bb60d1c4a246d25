"""`ecg-monitor emulate` as a process, and the options that it refuses."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
import serial

from monitor.emulator.emulate import run_emulator
from monitor.emulator.faults import GRAMMAR
from monitor.emulator.options import EmulateOptions
from monitor.errors import ConfigError, SourceError
from tests.monitor.commands.helpers import COMMAND, ecg_monitor, environment
from tests.monitor.sources.helpers import wait_for


def emulator(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (*COMMAND, "emulate", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )


@pytest.mark.slow
def test_a_record_is_played_to_its_end(tmp_path: Path, data_folder: Path) -> None:
    link = tmp_path / "port"
    faults = "drop=1%,unplug@3s for 4s,leadsoff@10s for 5s"
    options = ("--source", "mitdb:208", "--format", "cyton", "--duration", "20", "--speed", "10")
    process = emulator(*options, "--faults", faults, "--link", str(link), "--json")
    assert process.stdout is not None
    assert process.stdout.readline() == f"port {link}: mitdb:208, lead MLII, 360 Hz, as cyton\n"
    watch = process.stdout.readline().removeprefix("watch it: ")
    assert shlex.split(watch) == shlex.split(
        f"ecg-monitor --source serial --port {link} --format cyton --fs 3600"  # ten times as fast
    )
    received = bytearray()
    lost = 0
    while process.poll() is None:
        try:
            with serial.Serial(str(link), timeout=0.01, exclusive=True) as reader:
                while True:
                    received += reader.read(reader.in_waiting or 1)
        except OSError:  # SerialException is one
            lost += 1
    with process:
        *lines, last = process.stdout.read().splitlines()
    assert process.returncode == 0
    counts = json.loads(last)
    assert counts["taken"] == 20 * 360
    assert counts["unplugged"] == 4 * 360
    assert counts["leads_off"] + counts["dropped"] > 5 * 360
    assert counts["intact"] + counts["dropped"] + counts["unplugged"] == counts["taken"]
    assert counts["bytes_out"] == 33 * counts["intact"] + 16
    assert len(received) <= counts["bytes_out"] - counts["bytes_unread"]
    assert len(received) > 33 * 360 * 4
    assert [re.sub(r".*: ", "", line) for line in lines[1:]] == [
        f"{fault} {what}" for fault in ("unplug@3s for 4s", "leadsoff@10s for 5s") for what in ("begins", "ends")
    ]
    assert lost > 1
    assert not link.is_symlink()


def test_ctrl_c_prints_the_counts_and_removes_the_port(tmp_path: Path) -> None:
    process = emulator("--link", str(tmp_path / "port"))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    with process:
        assert process.stdout.read().splitlines()[-1].startswith("0 taken, ")
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_help_names_every_fault() -> None:
    done = ecg_monitor("emulate", "--help")
    assert done.returncode == 0
    assert " ".join(GRAMMAR.split()) in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_wrong_option_is_one_line_and_exit_code_2() -> None:
    done = ecg_monitor("emulate", "--faults", "unplug@5s")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "unplug@5s" in done.stderr


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (EmulateOptions(speed=0), "--speed 0"),
        (EmulateOptions(speed=float("nan")), "--speed nan"),
        (EmulateOptions(seed=-1), "--seed -1"),
        (EmulateOptions(form="morse"), "--format morse"),
        (EmulateOptions(source="-"), "--source -"),
        (EmulateOptions(source="serial"), "--source serial"),
        (EmulateOptions(source="sim:sinus"), "sinus"),
        (EmulateOptions(duration_s=-1), "duration -1"),
        (EmulateOptions(baud=9600), "--baud"),
        (EmulateOptions(port="/dev/nowhere", baud=921_600), "/dev/nowhere"),
        (EmulateOptions(port="/dev/nowhere", form="cyton", baud=9600), "--baud 115200"),
        (EmulateOptions(port="/dev/nowhere", link=Path("here")), "--link"),
        (EmulateOptions(link=Path("/nowhere/port")), "/nowhere/port"),
    ],
)
def test_unusable_options_are_refused_in_one_line(options: EmulateOptions, error: str) -> None:
    with pytest.raises((ConfigError, SourceError)) as refused:
        run_emulator(options, print, lambda: True, lambda: 0.0)
    assert error in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("form", "reading"),
    [
        ("lines", ""),
        ("openview", ""),
        ("cyton", ""),
        ("chords", "--adc-bits 14 --vref 5 --gain 500"),
        ("olimex", "--adc-bits 10 --vref 5 --gain 1424"),
        ("cyton-daisy", ""),
        ("raw16", "--adc-bits 16 --vref 3.2767 --gain 100"),
    ],
)
def test_the_command_to_read_the_device_is_printed(form: str, reading: str) -> None:
    lines: list[str] = []
    assert run_emulator(EmulateOptions(form=form), lines.append, lambda: True, lambda: 0.0) == 0
    port = lines[0].split()[1].rstrip(":")
    command = f"watch it: ecg-monitor --source serial --port {port} --format {form} --fs 250 {reading}"
    assert lines[1] == command.rstrip()


def test_the_device_waits_until_its_port_is_opened() -> None:
    lines: list[str] = []
    asked = iter([False] * 20 + [True])
    assert run_emulator(EmulateOptions(as_json=True), lines.append, lambda: next(asked), lambda: 1e6) == 0
    assert json.loads(lines[-1])["taken"] == 0
    wait_for(lambda: not Path(lines[0].split()[1].rstrip(":")).parent.exists(), "its folder to be removed")
