"""The programs of a fault: started, looked at, ended; none is left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from monitor.client.positions import Position, load_position

__all__ = ["FaultError", "Monitor", "Program", "Programs", "Subscriber", "free_port", "wait_for"]

ROOT = Path(__file__).resolve().parents[2]
Given = tuple[str, str, int]
"""A message that a subscriber was given: topic, epoch, seq."""
LONG_S = 120.0  # nothing here takes so long on any machine
MB = 1e6


class FaultError(Exception):
    """A fault could not be carried out, or what must happen after it did not. One line."""


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = LONG_S) -> None:
    """Look again until it holds.

    Raises:
        FaultError: not in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise FaultError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(0.02)


def free_port() -> int:
    """A port with two free ones after it, below those that the kernel gives away."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with ExitStack() as stack, suppress(OSError):
            for step in range(3):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + step))
            return port


class Program:
    """A program under test.

    Args:
        command: with its words.
        folder: for what it says on standard error.
        listens: it is told lines, and what it says is read; else it says it to nobody.
    """

    def __init__(self, command: Sequence[str], folder: Path, *, listens: bool) -> None:
        self._errors = (folder / f"errors-{random.SystemRandom().randrange(1 << 40):x}").open("w+")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ECG_MONITOR_") or k == "ECG_MONITOR_DATA"}
        paths = f"{ROOT}{os.pathsep}{ROOT / 'tools'}"
        pipe = subprocess.PIPE if listens else subprocess.DEVNULL  # a pipe that nobody reads stops who writes
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True, cwd=ROOT,
            env=kept | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self.most_mb = 0.0

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """At once and without a word."""
        self.look()
        self.process.kill()
        self.process.wait()

    def end(self) -> str:
        """In order.

        Returns:
            What it said on standard output.

        Raises:
            FaultError: it does not end, or does with an error.
        """
        self.look()
        self.signal(signal.SIGTERM)
        try:
            said, _ = self.process.communicate(timeout=LONG_S)
        except subprocess.TimeoutExpired:
            raise FaultError(f"{self.process.args!r} does not end") from None
        if self.process.returncode:
            raise FaultError(f"{self.process.args!r} ended with {self.process.returncode}: {self.errors()}")
        return said or ""

    def errors(self) -> str:
        """What it said on standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def tell(self, line: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def look(self) -> float:
        """Memory it holds now, MB; the most it ever held is in `most_mb`."""
        now = 0.0
        with suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                key, _, value = line.partition(":")
                if key == "VmRSS":
                    now = int(value.split()[0]) * 1024 / MB
                elif key == "VmHWM":
                    self.most_mb = max(self.most_mb, int(value.split()[0]) * 1024 / MB)
        return now

    def close(self) -> None:
        """Whatever state it is in."""
        self.process.kill()
        self.process.communicate()
        self._errors.close()


class Programs:
    """All programs of one fault.

    Args:
        folder: of their files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all that still run; may be called twice."""
        self._stack.close()

    def start(self, command: Sequence[str], *, listens: bool = False) -> Program:
        """As Program."""
        program = Program(command, self.folder, listens=listens)
        self._stack.callback(program.close)
        return program

    def module(self, name: str, *words: str, prefix: Sequence[str] = ()) -> Program:
        """One of this package."""
        return self.start([*prefix, sys.executable, "-m", f"faulting.{name}", *words], listens=True)


class Monitor:
    """A monitor that watches a simulated patient with many alarms, at many times real time.

    Args:
        listen: endpoint.
        number: of the run: each records into a folder of its own; all write one journal.
    """

    SPEED = 20.0
    FS_HZ = 250.0
    SOURCE = "sim:sinus=10,pvc=6,vt=4,asystole=6,leadsoff=3;repeat=yes;fs=250"

    def __init__(self, programs: Programs, listen: str, number: int = 1, prefix: Sequence[str] = ()) -> None:
        self._record = programs.folder / f"record-{number}"
        self.program = programs.start(
            [
                *prefix, sys.executable, "-m", "monitor", "--source", self.SOURCE, "--speed", f"{self.SPEED:g}",
                "--no-dashboard", "--bus", listen, "--journal", str(programs.folder / "journal.sqlite"),
                "--record", str(self._record),
            ]
        )  # fmt: skip

    def alarms(self) -> list[dict[str, Any]]:
        """What it has recorded: alarm messages as published, whole lines only."""
        try:
            text = (self._record / "p1" / "alarms.jsonl").read_text(encoding="utf-8")
        except OSError:
            if not self.program.alive:
                raise FaultError(f"the monitor has ended: {self.program.errors()}") from None
            return []
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def said_more(self, count: int) -> None:
        """Wait for so many more alarm messages."""
        before = len(self.alarms())
        wait_for(lambda: len(self.alarms()) >= before + count, f"{count} more alarm messages of the monitor")

    def in_the_middle(self) -> None:
        """Wait until an alarm has just begun and lasts."""
        before = len(self.alarms())

        def begun() -> bool:
            alarms = self.alarms()
            return len(alarms) > before and alarms[-1]["alarm"]["state"] == "onset"

        wait_for(begun, "an alarm that lasts")


class Subscriber:
    """`faulting.subscriber`, killed and started anew at will."""

    def __init__(self, programs: Programs, connect: str, name: str = "subscriber", prefix: Sequence[str] = ()) -> None:
        self.folder = programs.folder / name
        self.folder.mkdir()
        self._start = lambda: programs.module("subscriber", connect, str(self.folder), prefix=prefix)
        self.program = self._start()
        self._recovered = self._missed = 0
        self._most_mb = 0.0  # of its lives before
        self._seen: list[Given] = []
        self._seen_once: set[Given] = set()
        self._read_bytes = 0

    def again(self) -> None:
        """Start it anew after it was killed; what it counted before is kept."""
        counts = self.counts()
        self._recovered += counts.get("recovered", 0)
        self._missed += counts.get("missed", 0)
        (self.folder / "counts").unlink(missing_ok=True)
        self._most_mb = self.most_mb
        self.program = self._start()

    @property
    def most_mb(self) -> float:
        """The most memory it ever held, in any of its lives, MB."""
        return max(self._most_mb, self.program.most_mb)

    def joined(self) -> Position:
        """Where it began, once it has."""
        path = self.folder / "joined"
        wait_for(lambda: path.exists() or not self.program.alive, "a subscriber that has joined")
        position = load_position(path)
        if position is None:
            raise FaultError(f"the subscriber has ended: {self.program.errors()}")
        return position

    def counts(self) -> dict[str, Any]:
        """What its client counts."""
        try:
            return json.loads((self.folder / "counts").read_text())
        except OSError:
            return {}

    @property
    def recovered(self) -> int:
        return self._recovered + int(self.counts().get("recovered", 0))

    @property
    def missed(self) -> int:
        return self._missed + int(self.counts().get("missed", 0))

    def seen(self) -> list[Given]:
        """All it was given, in order."""
        with suppress(OSError), (self.folder / "seen").open("rb") as file:
            file.seek(self._read_bytes)
            text = file.read()
            text = text[: text.rfind(b"\n") + 1]  # whole lines only
            self._read_bytes += len(text)
            for line in text.decode().splitlines():
                epoch, seq, topic = line.split(" ", 2)
                self._seen.append((topic, epoch, int(seq)))
                self._seen_once.add(self._seen[-1])
        return self._seen

    def has(self, bed: str, epoch: str, seq: int) -> bool:
        """Whether it was given this alarm message."""
        self.seen()
        return (f"v1/{bed}/alarm/", epoch, seq) in self._seen_once

    def caught_up(self, monitor: Monitor) -> None:
        """Wait until it has the newest alarm that the monitor has recorded by now."""
        newest = monitor.alarms()[-1]
        place = newest["alarm"]["bed"], newest["epoch"], newest["seq"]
        wait_for(lambda: self.has(*place), f"alarm message {newest['seq']} at the subscriber")
