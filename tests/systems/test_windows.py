"""The Windows parts of our code, run on a POSIX system; `windows/sitecustomize.py` says what this shows."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.journal.reader import JournalReader
from tests import ROOT
from tests.monitor.commands.helpers import environment
from tests.monitor.sources.helpers import wait_for

pytestmark = pytest.mark.posix
WINDOWS = Path(__file__).parent / "windows"
BUS = ("--bus", "tcp://127.0.0.1:*")
PATIENT = ("--source", "sim:sinus=20,pvc=5,sinus=10", "--seed", "3", "--speed", "max", "--no-dashboard", *BUS)


def as_windows() -> dict[str, str]:
    """Environment of a process; its standard streams have the character set of a Windows in Western Europe."""
    paths = os.pathsep.join((str(WINDOWS), str(ROOT)))
    return environment() | {"PYTHONPATH": paths, "PYTHONIOENCODING": "cp1252", "AS_WINDOWS": "1"}


def python(program: str, *, rows: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], input=rows, env=as_windows(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ecg_monitor(*words: str, code: int = 0, rows: str | None = None) -> str:
    """Run a command; what it printed, which is UTF-8 in a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "monitor", *words], env=as_windows(), capture_output=True, timeout=120, cwd=WINDOWS,
        input=None if rows is None else rows.encode(),
    )  # fmt: skip
    text = (done.stdout + done.stderr).decode()
    assert done.returncode == code, text
    assert "Traceback" not in text
    return text


@contextlib.contextmanager
def running(*words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A monitor in real time, and the addresses that it printed: `alarms`, `page`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", "--no-dashboard", *BUS, *words], env=as_windows(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        places: dict[str, str] = {}
        wanted = {"alarms", "page"} if "--web" in words else {"alarms"}
        for line in process.stdout:
            name, on, rest = line.partition(" on ")
            if on:
                places[name] = rest.split()[0]
            if wanted <= places.keys():
                break
        assert wanted <= places.keys(), places
        yield process, places
    finally:
        process.kill()
        process.communicate()


def test_every_module_can_be_imported() -> None:
    """But the one of pseudo-terminals, which `emulate` does not import there."""
    program = (
        "import importlib, pkgutil, detector, monitor\n"
        "names = [m.name for p in (detector, monitor) for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')]\n"
        "wanted = set(names) - {'monitor.emulator.pty_port'}\n"
        "for name in wanted: importlib.import_module(name)\n"
        "print(len(wanted))"
    )
    assert int(python(program)) > 300


def test_the_stand_in_refuses_what_windows_lacks(tmp_path: Path) -> None:
    """Else the other tests would show nothing."""
    program = (
        "import os, sys\n"
        "space = {'__name__': 'monitor.trial', '__package__': 'monitor'}\n"
        "def fails(code, error):\n"
        "    try: exec(code, space)\n"
        "    except error as got: return type(got) is error\n"
        "assert fails('import fcntl', ModuleNotFoundError)\n"
        "assert fails('import os; os.pwrite', AttributeError)\n"
        "assert fails('from signal import SIGHUP', ImportError)\n"
        "assert fails('import signal; signal.signal(1, None)', ValueError)\n"
        "assert fails('import select; select.select([0], [], [], 0)', OSError)\n"
        f"os.chdir({str(tmp_path)!r})\n"
        'assert fails(\'open("12:30.csv", "w")\', OSError)\n'
        "with open('held', 'w') as held: assert fails('import os; os.remove(\"held\")', PermissionError)\n"
        "exec('import sys; assert sys.platform == \"win32\"', space)\n"
        "assert sys.platform != 'win32'"
    )
    python(program, rows="")


def test_a_recording_is_that_of_other_systems(tmp_path: Path) -> None:
    ecg_monitor(*PATIENT, "--record", str(tmp_path / "windows"), "--journal", str(tmp_path / "j.sqlite"))
    words = [sys.executable, "-m", "monitor", *PATIENT, "--record", str(tmp_path / "posix")]
    subprocess.run(words, env=environment(), check=True, timeout=120, capture_output=True)
    for name in ("signal.dat", "signal.ecg", "beats.csv"):
        here, there = ((tmp_path / system / "p1" / name).read_bytes() for system in ("windows", "posix"))
        assert here == there, name
        assert here
    with contextlib.closing(JournalReader(str(tmp_path / "j.sqlite"))) as journal:
        assert any(journal.alarms())
    listed = ecg_monitor("inspect", str(tmp_path / "windows" / "p1" / "signal.hea"))
    assert "250 Hz" in listed


def test_a_killed_monitor_resumes_and_its_page_picture_and_tail_work(tmp_path: Path) -> None:
    journal, picture, lines = (str(tmp_path / name) for name in ("j.sqlite", "ward.svg", "alarms.jsonl"))
    scene = ("--source", "sim:vt=60", "--journal", journal)
    with running(*scene, "--record", str(tmp_path / "out"), "--web", "127.0.0.1:0") as (process, places):
        with urllib.request.urlopen(places["page"], timeout=30) as reply:
            assert b"<title>" in reply.read()
        host, _, port = places["page"].split("/")[2].partition(":")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((host, int(port)))
        refused = ecg_monitor(*PATIENT, "--journal", journal, code=2)
        assert "is in use by another program" in refused
        ecg_monitor("watch", "--connect", places["alarms"], "--svg", picture, "--after", "8")
        with Path(lines).open("w", encoding="utf-8") as out:
            tail = subprocess.Popen(
                [sys.executable, "-m", "monitor", "tail", "--connect", places["alarms"]], env=as_windows(), stdout=out
            )
            with contextlib.closing(JournalReader(journal)) as reader:
                wait_for(lambda: any(reader.alarms()), "an alarm in the journal")
            wait_for(lambda: "ventricular_run" in Path(lines).read_text(encoding="utf-8"), "the alarm as a line")
            tail.send_signal(signal.SIGINT)
            assert tail.wait(30) == 0
        process.kill()
        process.wait(30)
    assert "ventricular" in Path(picture).read_text(encoding="utf-8")
    with running(*scene) as (process, _):
        with contextlib.closing(JournalReader(journal)) as reader:
            wait_for(lambda: len(reader.epochs()) == 2, "a second run in the journal")
        process.send_signal(signal.SIGQUIT)  # Ctrl-Break, see sitecustomize
        assert process.wait(30) == 0


def test_keys_are_made_once_and_need_no_modes(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    ecg_monitor("keys", "new", str(folder))
    assert "exists already" in ecg_monitor("keys", "new", str(folder), code=2)
    folder.chmod(0o777)  # as Windows reports the mode of any folder
    for name in ("ann", "bob"):
        ecg_monitor("keys", "add", str(folder), name)
    assert "bob  viewer" in ecg_monitor("keys", "list", str(folder))
    assert sorted(path.name for path in folder.iterdir()) == [
        ".clients.lock", "ann.key", "bob.key", "clients.toml", "server.key",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("emulate",), "Windows has no pseudo-terminals that are serial ports; give --port COM5"),
        (("--bus", "ipc://ecg", "--no-dashboard"), "endpoint 'ipc://ecg': Windows has no ipc://; give a TCP port"),
        (("--source", "zmq:ipc://ecg", "--no-dashboard"), "Windows has no ipc://"),
        (("--source", r"C:\records\100.edf", "--no-dashboard"), r"C:\records\100.edf"),
    ],
)
def test_what_windows_lacks_is_said_in_one_line(words: tuple[str, ...], why: str) -> None:
    text = ecg_monitor(*words, code=2)
    assert why.replace("\\", "") in text.replace("\\", "")
    assert len(text.splitlines()) == 1


def test_rows_on_standard_input_are_read_to_their_end() -> None:
    rows = "".join(f"{1.0 if n % 250 == 100 else 0.0}\n" for n in range(40_000))  # more than a pipe holds
    assert "160.0 s watched" in ecg_monitor("--source", "-", "--fs", "250", "--no-dashboard", *BUS, rows=rows)


def test_keys_of_the_console() -> None:
    """`à` is the letter that begins a special key as well."""
    program = (
        "import os, pty, sitecustomize\n"
        "from monitor.dashboard.keyboard import Keyboard\n"
        "far, near = pty.openpty()\n"
        "with Keyboard(near) as keyboard:\n"
        "    assert not keyboard.wait(0.0)\n"
        "    sitecustomize.KEYS += ['a', '\\xe0', 'H', '\\0', 'Q', '\\0', ';', '\\r', '\\xe0']\n"
        "    assert keyboard.wait(1.0)\n"
        "    print(*map(ascii, keyboard.read()))\n"
        "    sitecustomize.KEYS += ['q']\n"
        "assert not sitecustomize.KEYS, 'the shell would receive it'"
    )
    assert python(program).split() == ["'a'", "'up'", "'page", "down'", "'enter'", r"'\xe0'"]


def test_a_command_of_notify_is_killed_with_its_children(tmp_path: Path) -> None:
    """By taskkill, whose place a script takes."""
    kill = tmp_path / "taskkill"
    kill.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked; kill -KILL "-$4"\n', encoding="utf-8")
    kill.chmod(0o755)
    command = tmp_path / "no tice.sh"
    command.write_text(f"#!/bin/sh\nsleep 300 & echo $! > {tmp_path}/child; wait\n", encoding="utf-8")
    command.chmod(0o755)
    program = (
        "import os, sys\n"
        f"os.environ['PATH'] = {str(tmp_path)!r} + os.pathsep + os.environ['PATH']\n"
        "from monitor.config import NotifyConfig\n"
        "from monitor.errors import NotifyError\n"
        "from monitor.notify.command import CommandReceiver\n"
        "from tests.monitor.notify.helpers import alarm_message\n"
        f"receiver = CommandReceiver(NotifyConfig(command='\"{command}\" one', timeout_s=1.0))\n"
        "try: receiver.send(alarm_message(), b'{}')\n"
        "except NotifyError as error: print(error)"
    )
    assert "killed, not finished after 1 s" in python(program)
    assert (tmp_path / "asked").read_text(encoding="utf-8").split()[:3] == ["/F", "/T", "/PID"]
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    wait_for(lambda: not _runs(child), "the end of the child")


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
