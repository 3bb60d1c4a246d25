"""Key files: modes, atomic writes, no overwriting; the command `keys`; a monitor with keys."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from monitor.bus.allow_list import CLIENTS_FILE, load_clients
from monitor.bus.endpoints import endpoints_from
from monitor.bus.keys import (
    SERVER_FILE,
    add_client,
    load_client_key,
    load_server_keys,
    make_server_keys,
    remove_client,
)
from monitor.client.client import AlarmClient
from monitor.errors import ConfigError
from monitor.messages import Request
from tests import ROOT
from tests.monitor.bus.helpers import wait_for
from tests.monitor.commands.helpers import COMMAND, ecg_monitor, environment, free_endpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    old = os.umask(0)  # the modes must not depend on it
    try:
        make_server_keys(tmp_path / "keys")
        add_client(tmp_path / "keys", "ward-3", "viewer")
    finally:
        os.umask(old)
    return tmp_path / "keys"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secret_of(path: Path) -> str:
    return str(tomllib.loads(path.read_text())["secret"])


@pytest.mark.posix
def test_only_the_owner_can_read_a_secret(folder):
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        SERVER_FILE: 0o600,
        CLIENTS_FILE: 0o600,
        ".clients.lock": 0o600,
        "ward-3.key": 0o600,
    }
    assert secret_of(folder / SERVER_FILE) not in (folder / "ward-3.key").read_text()
    assert secret_of(folder / "ward-3.key") not in (folder / CLIENTS_FILE).read_text()
    assert secret_of(folder / SERVER_FILE) not in repr(load_server_keys(folder))
    assert secret_of(folder / "ward-3.key") not in repr(load_client_key(folder / "ward-3.key"))


@pytest.mark.parametrize(
    "name", [".", "..", "../x", "a/b", "", "a b", "-x", ".x", "x" * 65, "é", "server", "screen", 'a"b', "ward\n", "\n"]
)
def test_an_invalid_name_writes_nothing(folder, name):
    before = sorted(path.name for path in folder.parent.rglob("*"))
    with pytest.raises(ConfigError) as error:
        add_client(folder, name, "viewer")
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in folder.parent.rglob("*")) == before


def test_no_file_is_overwritten(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError, match="exists already"):
        make_server_keys(folder)
    with pytest.raises(ConfigError, match="has a client ward-3 already"):
        add_client(folder, "ward-3", "operator")
    with pytest.raises(ConfigError, match="exists already and is not overwritten"):
        add_client(folder, "ward-4", "operator", folder / "ward-3.key")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_remove_deletes_the_entry_and_a_key_file_in_the_folder(folder):
    other = add_client(folder, "desk", "operator", folder.parent / "carried.key")
    assert remove_client(folder, "ward-3").name == "ward-3"
    assert [client.name for client in load_clients(folder)] == ["desk"]
    assert not (folder / "ward-3.key").exists()
    remove_client(folder, "desk")
    assert other.exists()  # a key file outside the folder stays
    with pytest.raises(ConfigError, match=r"no client desk.*the clients are: none"):
        remove_client(folder, "desk")
    add_client(folder, "ward-3", "operator")  # the name is free again


@pytest.mark.posix
@pytest.mark.parametrize(
    ("name", "bits", "remedy"),
    [
        (SERVER_FILE, 0o640, "chmod 600"),
        (SERVER_FILE, 0o604, "chmod 600"),
        (CLIENTS_FILE, 0o620, "chmod 600"),
        (".", 0o750, "chmod 700"),
        (".", 0o701, "chmod 700"),
        ("ward-3.key", 0o644, "chmod 600"),
    ],
)
def test_a_mode_that_gives_others_access_is_refused_with_the_remedy(folder, name, bits, remedy):
    path = folder / name
    path.chmod(bits)
    with pytest.raises(ConfigError, match=f"mode {bits:04o}.*{remedy} {path}") as error:
        load_client_key(path) if name == "ward-3.key" else load_server_keys(folder)
    assert "\n" not in str(error.value)


@pytest.mark.posix
def test_no_keys_are_made_in_a_folder_that_others_can_enter(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        make_server_keys(tmp_path / "open")
    assert not list((tmp_path / "open").iterdir())


def damage(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('role = "viewer"', 'role = "boss"', "role"),
        ('role = "viewer"', 'rule = "viewer"', "rule"),
        ('name = "ward-3"', 'name = "screen"', "reserved"),
        ("[[client]]", "[client", "not TOML"),
        ('public = "', 'public = "\x00', "not TOML"),
        ('public = "', 'public = "short', "public"),
        ('name = "ward-3"', 'name = "ward-3\\n"', "name"),
    ],
)
def test_a_damaged_allow_list_is_one_line(folder, old, new, text):
    damage(folder / CLIENTS_FILE, old, new)
    with pytest.raises(ConfigError, match=f"{CLIENTS_FILE}.*{text}") as error:
        load_server_keys(folder)
    assert "\n" not in str(error.value)


def test_a_duplicate_key_is_refused(folder):
    path = folder / CLIENTS_FILE
    path.write_text(path.read_text() + path.read_text().replace("ward-3", "ward-4"))
    with pytest.raises(ConfigError, match=r"public .* occurs twice"):
        load_clients(folder)


def test_the_error_of_a_damaged_key_file_does_not_contain_the_secret(folder):
    path = folder / "ward-3.key"
    secret, key = secret_of(path), load_server_keys(folder)
    for old, new in ((secret, key.public), (f'secret = "{secret}"', f"secret = {secret}"), (secret, secret[1:])):
        text = path.read_text()
        damage(path, old, new)
        with pytest.raises(ConfigError) as error:
            load_client_key(path)
        assert secret not in str(error.value)
        assert secret[1:] not in str(error.value)
        path.write_text(text)
    with pytest.raises(ConfigError, match="is not the key of a client"):
        load_client_key(folder / SERVER_FILE)
    with pytest.raises(ConfigError, match="No such file"):
        load_client_key(folder / "missing.key")


ADD = """
import pathlib, sys
from monitor.bus.keys import add_client
add_client(pathlib.Path(sys.argv[1]), sys.argv[2], "viewer")
"""


def test_clients_that_are_added_at_the_same_time_are_all_kept(folder):
    command = (sys.executable, "-c", ADD, str(folder))
    running = [subprocess.Popen((*command, f"bed-{n}"), cwd=ROOT) for n in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert {client.name for client in load_clients(folder)} == {"ward-3", *(f"bed-{n}" for n in range(4))}
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == [".clients.lock"]


@pytest.mark.slow
def test_the_command_makes_lists_and_removes_clients_and_prints_no_secret(tmp_path):
    keys = str(tmp_path / "k")
    done = [
        ecg_monitor("keys", *words)
        for words in (("new", keys), ("list", keys), ("add", keys, "a"), ("add", keys, "b", "--role", "operator"))
    ]
    secrets = [secret_of(tmp_path / "k" / name) for name in ("server.key", "a.key", "b.key")]
    done += [ecg_monitor("keys", *words) for words in (("list", keys), ("remove", keys, "a"), ("list", keys))]
    assert [one.returncode for one in done] == [0] * 7, [one.stderr for one in done]
    assert "no clients yet" in done[1].stderr
    assert [line.split()[:2] for line in done[4].stdout.splitlines()] == [["a", "viewer"], ["b", "operator"]]
    assert [line.split()[:2] for line in done[6].stdout.splitlines()] == [["b", "operator"]]
    assert not [secret for secret in secrets for one in done if secret in one.stdout + one.stderr]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--keys", "/nowhere"), "ecg-monitor keys new /nowhere"),
        pytest.param(("keys", "add", "/nowhere", "x"), "ecg-monitor keys new /nowhere", marks=pytest.mark.slow),
        pytest.param(("keys", "new", "/proc/nowhere"), "/proc/nowhere", marks=pytest.mark.slow),
        pytest.param(("tail", "--key", "/nowhere.key"), "/nowhere.key", marks=pytest.mark.slow),
        pytest.param(
            ("--bus", "tcp://0.0.0.0:*", "--no-dashboard"), "ecg-monitor keys new DIR", marks=pytest.mark.slow
        ),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(arguments, text):
    done = ecg_monitor(*arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


@contextlib.contextmanager
def running(*arguments: str, key: Path | None = None):
    """Run the command in its own process; end it by SIGTERM."""
    process = subprocess.Popen(
        (*COMMAND, *arguments),
        env=environment(**({"ECG_MONITOR_KEY": str(key)} if key else {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def next_alarm(tail: subprocess.Popen[str], **wanted: str) -> dict[str, Any]:
    """Read the output of `tail` up to an alarm with these fields."""
    assert tail.stdout is not None
    for line in iter(tail.stdout.readline, ""):
        alarm: dict[str, Any] = json.loads(line)["alarm"]
        if all(alarm[key] == value for key, value in wanted.items()):
            return alarm
    raise AssertionError("tail ended")


@pytest.mark.slow
def test_a_monitor_with_keys_serves_a_tail_with_a_key_only(folder):
    endpoint = free_endpoint()
    desk = add_client(folder, "desk", "operator")
    ends = endpoints_from(endpoint)
    everywhere = endpoint.replace("127.0.0.1", "0.0.0.0")
    source = ("--source", "sim:asystole=600", "--speed", "4", "--no-dashboard")
    with (
        running(*source, "--bus", everywhere, "--keys", str(folder)) as monitor,
        running("tail", "--connect", endpoint, key=folder / "ward-3.key") as tail,
        running("tail", "--connect", endpoint) as intruder,
    ):
        alarm = next_alarm(tail, kind="asystole")
        client = AlarmClient(ends.alarms, ends.control, key=load_client_key(desk))
        try:
            wait_for(lambda: client.state == "connected", "the monitor", lambda: client.poll(0.05))
            request = Request(op="acknowledge", alarm_id=alarm["alarm_id"], who="anna")
            assert client.request(request, timeout_s=20).ok
        finally:
            client.close()
        acknowledged = next_alarm(tail, alarm_id=alarm["alarm_id"], state="acknowledged")
        assert acknowledged["acknowledged_by"] == "desk (anna)"
        remove_client(folder, "ward-3")
        assert monitor.stderr is not None
        lines = iter(monitor.stderr.readline, "")
        assert any("allow-list changed: 1 clients, removed ward-3" in line for line in lines)
        assert any("refused unknown key" in line or "no longer allowed" in line for line in lines)
        intruder.send_signal(signal.SIGINT)
        assert intruder.communicate(timeout=60)[0] == ""


@pytest.mark.may_skip
@pytest.mark.posix
@pytest.mark.skipif(sys.platform != "win32" and os.geteuid() != 0, reason="root only can give a file away")
@pytest.mark.parametrize("name", [SERVER_FILE, CLIENTS_FILE, ".", "ward-3.key"])
def test_a_file_of_another_user_is_refused(folder, name):
    os.chown(folder / name, 12_345, -1)
    with pytest.raises(ConfigError, match="belongs to another user \\(uid 12345\\)"):
        load_client_key(folder / name) if name.startswith("ward") else load_server_keys(folder)
