"""Commands for alarms: real processes that work, fail, hang with children, and flood."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from monitor.config import NotifyConfig
from monitor.errors import ConfigError, NotifyError
from monitor.messages import encode
from monitor.notify.command import CommandReceiver
from tests.monitor.notify.helpers import alarm_message
from tests.monitor.sources.helpers import wait_for

pytestmark = pytest.mark.posix  # its commands are scripts of a shell


def send(command: str, timeout_s: float = 20.0, **fields: object) -> None:
    message = alarm_message(**fields)  # type: ignore[arg-type]
    CommandReceiver(NotifyConfig(command=command, timeout_s=timeout_s)).send(message, encode(message))


def test_it_gets_the_alarm_on_its_input_and_in_variables(tmp_path: Path) -> None:
    out = tmp_path / "out"
    send(f"""sh -c 'cat > {out}; echo "$ALARM_BED $ALARM_PRIORITY $ALARM_TEXT" >> {out}'""", text="a\x1b\nb\x00c")
    body, words = out.read_text().splitlines()
    assert json.loads(body)["alarm"]["text"] == "a\x1b\nb\x00c"
    assert words == "p1 high a b c"


def test_a_text_is_never_run_by_a_shell(tmp_path: Path) -> None:
    send("sh -c 'true \"$ALARM_TEXT\"'", text=f"$(touch {tmp_path / 'pwned'})`touch {tmp_path / 'pwned'}`")
    assert not (tmp_path / "pwned").exists()


def test_it_need_not_read_its_input() -> None:
    send("true", text="x" * 1_000_000)


def test_a_failure_names_code_and_last_words() -> None:
    with pytest.raises(NotifyError, match=r"sh: ended with code 3: no\s+route\Z"):
        send("sh -c 'echo no route >&2; exit 3'")


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(NotifyError, match=r"killed, not finished after 0.5 s"):
        send(f"sh -c 'sleep 600 & echo $! $$ > {pids}; wait'", timeout_s=0.5)

    def gone(pid: int) -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    found = [int(word) for word in pids.read_text().split()]
    assert len(found) == 2
    wait_for(lambda: all(gone(pid) for pid in found), "the end of the children")


def test_a_flood_on_standard_error_is_not_kept() -> None:
    before = psutil.Process().memory_info().rss
    program = "import os; b = b'x' * 65536; [os.write(2, b) for _ in range(2000)]; raise SystemExit(1)"
    with pytest.raises(NotifyError, match="ended with code 1") as error:
        send(f'{sys.executable} -c "{program}"')
    assert len(str(error.value)) < 400
    assert psutil.Process().memory_info().rss - before < 60e6


def test_a_child_in_the_background_does_not_hold_the_delivery(tmp_path: Path) -> None:
    send(f"sh -c 'sleep 600 & echo $! > {tmp_path / 'pid'}'")
    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid), "a program shown in the background, e.g. a player, is left alone"
    os.kill(pid, 9)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sh -c 'x", "close every quotation mark"),
        ("no-such-program-x y", "no program 'no-such-program-x'"),
        (" ", "no program"),
    ],
)
def test_a_wrong_command_is_refused_at_the_start(command: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        CommandReceiver(NotifyConfig(command=command))
