"""Container, service and workflow files agree with the program: its options, addresses and files."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from monitor.commands.app import app
from monitor.config import BusConfig
from tests import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
DOCKER = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
UNIT = ROOT / "deploy" / "ecg-monitor.service"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CLASSIFIERS = PROJECT["project"]["classifiers"]


def instructions(name: str) -> list[str]:
    return re.findall(rf"^(?:HEALTHCHECK .* )?{name} (.*)$", DOCKER, re.MULTILINE)


def check_command(words: list[str]) -> dict[str, str]:
    """Check the options of a command line; returns their values."""
    chosen: Any = typer.main.get_command(app)
    while words and not words[0].startswith("-"):
        chosen, words = chosen.commands[words[0]], words[1:]
    known = {option: parameter for parameter in chosen.params for option in parameter.opts + parameter.secondary_opts}
    values = {}
    while words:
        option, *words = words
        assert option in known, option
        if not getattr(known[option], "is_flag", False):
            values[option], *words = words
    return values


def unit() -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_the_image_has_what_the_package_needs_and_its_files_exist() -> None:
    copied = shlex.split(" ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKER, re.MULTILINE)))
    assert [name for name in copied if not (ROOT / name).exists()] == []
    packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    files = {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml"}
    assert packages | files == set(copied)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == set(copied), "the build sees what it copies, and no more"


def test_the_image_runs_the_program_as_another_user() -> None:
    final = DOCKER.rpartition("\nFROM ")[2]
    user = re.search(r"^USER ([1-9]\d*)$", final, re.MULTILINE)
    assert user, "by number: a host can tell that it is not root"
    assert f"--uid {user[1]} " in final
    assert not re.search(r"\b(apt|apt-get|pip|gcc)\b", final)
    (entry,), (health, command) = ([json.loads(text) for text in instructions(name)] for name in ("ENTRYPOINT", "CMD"))
    assert entry == ["ecg-monitor"]
    assert "ecg-monitor" in PROJECT["project"]["scripts"]
    journal = Path(check_command(command)["--journal"])
    assert instructions("VOLUME") == instructions("WORKDIR")[-1:] == [str(journal.parent)]
    assert f" HOME={journal.parent} " in final, "records that `fetch` downloads are kept, also with compose's read_only"
    assert health[0] == "ecg-monitor"
    assert check_command(health[1:]) == {"--connect": BusConfig().listen}


def test_compose_names_files_volumes_and_options_that_exist() -> None:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    for service in COMPOSE.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in document["volumes"], volume
    check_command(COMPOSE["monitor"]["command"])
    assert "monitor:/data" in COMPOSE["monitor"]["volumes"]


def test_compose_has_no_service_that_other_machines_reach() -> None:
    values = check_command(COMPOSE["monitor"]["command"])
    prometheus = dict(word[2:].split("=") for word in COMPOSE["prometheus"]["command"])
    grafana = COMPOSE["grafana"]["environment"]
    addresses = [
        values["--web"],
        prometheus["web.listen-address"],
        f"{grafana['GF_SERVER_HTTP_ADDR']}:{grafana['GF_SERVER_HTTP_PORT']}",
        f"127.0.0.1:{values['--metrics']}",
    ]
    assert {address.partition(":")[0] for address in addresses} == {"127.0.0.1"}
    assert len(set(addresses)) == len(addresses)
    assert all(service["network_mode"] == "host" for service in COMPOSE.values())


def test_prometheus_and_grafana_find_each_other() -> None:
    metrics = check_command(COMPOSE["monitor"]["command"])["--metrics"]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    assert scraped["scrape_configs"][0]["static_configs"] == [{"targets": [f"127.0.0.1:{metrics}"]}]
    inside = [volume.split(":")[1] for service in COMPOSE.values() for volume in service["volumes"]]
    assert [f"/etc/prometheus/{file}" in inside for file in scraped["rule_files"]] == [True]
    (source,) = yaml.safe_load((ROOT / "deploy/grafana/datasource.yml").read_text())["datasources"]
    assert f"--web.listen-address={source['url'].removeprefix('http://')}" in COMPOSE["prometheus"]["command"]
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/dashboards.yml").read_text())["providers"]
    assert any(path.startswith(f"{provider['options']['path']}/") for path in inside)
    rules = yaml.safe_load((ROOT / "docs/grafana/alerts.yml").read_text())["groups"][0]["rules"]
    assert f'job="{scraped["scrape_configs"][0]["job_name"]}"' in rules[0]["expr"]


def test_the_unit_starts_the_program_and_waits_for_its_notifications() -> None:
    service = unit()["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name in PROJECT["project"]["scripts"]
    journal = Path(check_command(words)["--journal"])
    assert journal.parent == Path("/var/lib") / service["StateDirectory"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) >= 10, "ten heartbeats"
    assert "AF_UNIX" in service["RestrictAddressFamilies"].split(), "the notifications"


@pytest.mark.may_skip("systemd-analyze")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze; install systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """With a program that exists in place of ours."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/ecg-monitor/bin/ecg-monitor", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, [line for line in checked.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_the_workflow_runs_on_every_supported_system_and_python() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]["quick"]
    versions = job["strategy"]["matrix"]["python"]
    assert versions == re.findall(r"Python :: (3\.\d+)$", "\n".join(CLASSIFIERS), re.MULTILINE)
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"
    systems = {name.partition("-")[0] for name in job["strategy"]["matrix"]["os"]}
    assert systems == {"ubuntu", "macos", "windows"}
    named = {"POSIX :: Linux": "ubuntu", "MacOS": "macos", "Microsoft :: Windows": "windows"}
    assert systems == {named[one.removeprefix("Operating System :: ")] for one in CLASSIFIERS if "System ::" in one}
    assert all(re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", step["uses"]) for step in job["steps"] if "uses" in step)
    commands = [step["run"] for step in job["steps"] if "run" in step]
    extras = set(re.findall(r"\[([\w,]+)\]", commands[0])[0].split(","))
    assert extras <= PROJECT["project"]["optional-dependencies"].keys()
