"""`ecg-monitor doctor` as a process: good machines, bad ones, a monitor that runs, stands still, has ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.commands import checks
from monitor.commands.checks import EXTRAS, PACKAGES, Check, run_checks
from monitor.config import Config, merge
from tests import ROOT
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, ecg_monitor, environment, free_endpoint

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def of(name: str, **sections: dict[str, object]) -> list[Check]:
    """Results of one check."""
    settings = merge(Config(), {"bus": {"listen": "tcp://127.0.0.1:*"}, **sections}, "test")
    return [check for check in run_checks(settings) if check.name == name]


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks of addresses, disk and clock only: packages take seconds to import."""
    monkeypatch.setattr(checks, "CHECKS", (checks._addresses, checks._disk, checks._clock))


def test_it_knows_every_package_of_pyproject() -> None:
    assert list(PACKAGES) == [line.partition(">")[0] for line in PROJECT["dependencies"]]
    extras = PROJECT["optional-dependencies"]
    assert EXTRAS.keys() | {"train", "test"} == extras.keys(), "train and test are for a checkout"
    for extra, (requirements, _, _) in EXTRAS.items():
        assert list(requirements) == [line.partition(";")[0] for line in extras[extra]], "but for which system"


def test_a_good_machine_is_ok(tmp_path: Path) -> None:
    ended = ecg_monitor(
        "doctor", *FREE_BUS, "--journal", str(tmp_path / "j.sqlite"), "--web", "127.0.0.1:0", "--metrics", "*"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}
    for name in (
        "ecg-monitor",
        "packages",
        "model",
        "time to score a beat",
        "bus",
        "page",
        "metrics",
        "journal",
        "clock",
    ):
        assert any(line[6:].startswith(name) for line in lines), name
    assert list(tmp_path.iterdir()) == []


def test_json_has_one_object_a_line_and_a_fail_is_exit_code_2() -> None:
    ended = ecg_monitor("doctor", "--json", "--model", "/nowhere.onnx", *FREE_BUS)
    assert ended.returncode == 2
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {tuple(check) for check in found} == {("name", "state", "text", "remedy")}
    (failed,) = [check for check in found if check["state"] == "fail"]
    assert failed["name"] == "model"
    assert "/nowhere.onnx" in failed["text"]
    assert "--model" in failed["remedy"]


@pytest.mark.usefixtures("no_packages")
def test_an_address_in_use_fails_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name, sections in {
            "metrics": {"metrics": {"port": port}},
            "page": {"web": {"listen": f"127.0.0.1:{port}"}},
            "bus": {"bus": {"listen": f"tcp://127.0.0.1:{port}"}},
        }.items():
            (check,) = of(name, **sections)
            assert check.state == "fail", name
            assert "in use" in check.text
            assert "give" in check.remedy
    (check,) = of("bus", bus={"listen": "tcp://0.0.0.0:*"})
    assert (check.state, "--keys" in check.remedy) == ("fail", True)


@pytest.mark.usefixtures("no_packages")
def test_a_folder_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (check,) = of("journal", journal={"path": str(tmp_path / "none" / "j.sqlite")})
    assert (check.state, "none" in check.text) == ("fail", True)
    (check,) = of("recording", record={"folder": str(tmp_path / "new" / "run")})
    assert check.state == "ok"
    assert list(tmp_path.iterdir()) == []
    (check,) = of("recording", record={"folder": "/proc/1"})
    assert check.state == "fail"


@pytest.mark.usefixtures("no_packages")
def test_too_little_space_is_a_warning_before_it_is_a_failure(tmp_path: Path) -> None:
    (check,) = of("journal", journal={"path": str(tmp_path / "j.sqlite"), "max_mb": 1e9})
    assert (check.state, "free some space" in check.remedy) == ("warn", True)


def test_a_missing_package_or_extra_has_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", (checks._versions, checks._extras))
    monkeypatch.setitem(PACKAGES, "ecg-missing", "ecg_missing")
    monkeypatch.setitem(EXTRAS, "lsl", (("pylsl>=1.18.6",), "ecg_missing", "the source lsl:"))
    found = list(run_checks(Config()))
    assert [(check.state, check.remedy) for check in found if check.state != "ok"] == [
        ("fail", "python -m pip install --force-reinstall ecg-missing"),
        ("warn", "python -m pip install 'pylsl>=1.18.6' (for the source lsl:)"),
    ]


def test_an_error_in_a_check_is_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def _broken_thing(_: Config) -> Iterator[Check]:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(checks, "CHECKS", (_broken_thing, checks._clock))
    broken, clock = run_checks(Config())
    assert (broken.name, broken.state, broken.text) == ("broken thing", "fail", "RuntimeError: two lines")
    assert clock.name == "clock"


def test_the_heartbeat_of_a_monitor() -> None:
    """The health check of the container: exit code 0 while the loop runs, 2 when it stands still or has ended."""
    endpoint = free_endpoint()
    command = [*COMMAND, "--no-dashboard", "--bus", endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            assert any(line.startswith("alarms on ") for line in process.stdout)
            alive = ecg_monitor("doctor", "--connect", endpoint)
            assert (alive.returncode, alive.stdout[:16]) == (0, "ok    heartbeat ")
            os.kill(process.pid, signal.SIGSTOP)
            still = ecg_monitor("doctor", "--connect", endpoint)
            assert (still.returncode, still.stdout[:16]) == (2, "fail  heartbeat ")
        finally:
            process.kill()
    ended = ecg_monitor("doctor", "--connect", endpoint, "--json")
    assert (ended.returncode, json.loads(ended.stdout)["state"]) == (2, "fail")


@pytest.mark.parametrize("endpoint", ["5556", "tcp://127.0.0.1:*", "tcp://127.0.0.1:99999"])
def test_an_endpoint_that_is_none_is_one_line(endpoint: str) -> None:
    ended = ecg_monitor("doctor", "--connect", endpoint)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    script = ecg_monitor(_ECG_MONITOR_COMPLETE=f"source_{shell}").stdout
    assert f"complete_{shell}" in script
    assert "ecg-monitor" in script
    words = {"COMP_WORDS": "ecg-monitor doc", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "ecg-monitor doc"}
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "doctor" in ecg_monitor(_ECG_MONITOR_COMPLETE=f"complete_{shell}", **words, **action).stdout


@pytest.mark.parametrize("command", [("doctor",), ("--duration", "5", "--speed", "max", "--no-dashboard")])
def test_no_library_stores_an_identifier_of_the_machine(tmp_path: Path, command: tuple[str, ...]) -> None:
    """onnxruntime's telemetry keeps one under HOME, or warns on standard error where it cannot."""
    home = environment(HOME=str(tmp_path))
    for name in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"):
        home.pop(name, None)
    ended = subprocess.run([*COMMAND, *command, *FREE_BUS], capture_output=True, timeout=120, env=home, check=True)
    assert b"telemetry" not in ended.stderr
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name] == []
