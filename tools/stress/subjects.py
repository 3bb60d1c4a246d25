"""The programs under test: a monitor with many alarms, and a subscriber, both killed and started again at will."""

from __future__ import annotations

import json
import random
import socket
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from common.programs import MONITOR, Program, ToolError, Watch, rss_mb, wait_for

from monitor.client.positions import Position, load_position

Given = tuple[str, str, int]
"""A message that a subscriber was given: topic, epoch, seq."""


def free_port() -> int:
    """A port with two free ones after it, below the range that the kernel assigns."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with ExitStack() as stack, suppress(OSError):
            for step in range(3):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + step))
            return port


class Subject(Program):
    """A program whose memory is sampled while it runs."""

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__(command)
        self.memory = Watch(lambda: [self.usage], rss_mb, every_s=0.1)

    def close(self) -> None:
        self.memory.end()
        super().close()


class Programs(ExitStack):
    """All programs of one fault and the folder of their files; they are killed at the end."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def start(self, *command: str) -> Subject:
        return self.enter_context(Subject(command))

    def start_module(self, name: str, *words: str) -> Subject:
        """Start a module of this package."""
        return self.start(sys.executable, "-m", f"stress.{name}", *words)


class Monitor:
    """A monitor of a simulated patient with many alarms, at 20 times real time.

    Each run (`number`) records into a folder of its own; all write one journal.
    """

    SPEED = 20.0
    FS_HZ = 250.0
    SOURCE = "sim:sinus=10,pvc=6,vt=4,asystole=6,leadsoff=3;repeat=yes;fs=250"

    def __init__(self, programs: Programs, listen: str, number: int = 1) -> None:
        self._record = programs.folder / f"record-{number}"
        self.program = programs.start(
            *(*MONITOR, "--source", self.SOURCE, "--speed", f"{self.SPEED:g}", "--no-dashboard", "--bus", listen),
            *("--journal", str(programs.folder / "journal.sqlite"), "--record", str(self._record)),
        )

    def alarms(self) -> list[dict[str, Any]]:
        """Alarm messages that it has recorded so far; whole lines only."""
        try:
            text = (self._record / "p1" / "alarms.jsonl").read_text(encoding="utf-8")
        except OSError:
            if not self.program.alive:
                raise ToolError(f"the monitor has ended: {self.program.output()}") from None
            return []
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def wait_for_alarms(self, count: int) -> None:
        """Wait until it has published `count` more alarm messages."""
        before = len(self.alarms())
        wait_for(lambda: len(self.alarms()) >= before + count, f"{count} more alarm messages")

    def wait_for_onset(self) -> None:
        """Wait until an alarm has just begun."""
        before = len(self.alarms())

        def begun() -> bool:
            alarms = self.alarms()
            return len(alarms) > before and alarms[-1]["alarm"]["state"] == "onset"

        wait_for(begun, "onset of an alarm")


class Subscriber:
    """`stress.subscriber_program` and the files that it writes."""

    def __init__(self, programs: Programs, connect: str, name: str = "subscriber") -> None:
        self.folder = programs.folder / name
        self.folder.mkdir()
        self._start = partial(programs.start_module, "subscriber_program", connect, str(self.folder))
        self._runs = [self._start()]

    @property
    def program(self) -> Subject:
        """The run of now."""
        return self._runs[-1]

    def restart(self) -> None:
        """Start it again after it was killed."""
        self._runs.append(self._start())

    @property
    def most_mb(self) -> float:
        """The most memory of all its runs, MB."""
        return max(program.memory.most_mb for program in self._runs)

    def joined(self) -> Position:
        """Wait until it has joined; the position at which it began."""
        path = self.folder / "joined"
        wait_for(lambda: path.exists() or not self.program.alive, "subscriber that has joined")
        position = load_position(path)
        if position is None:
            raise ToolError(f"the subscriber has ended: {self.program.output()}")
        return position

    def state(self) -> str:
        """State of its client, e.g. `lost`."""
        path = self.folder / f"counts-{self.program.process.pid}"
        return str(json.loads(path.read_text())["state"]) if path.exists() else ""

    def count(self, name: str) -> int:
        """`recovered` or `missed` of its client, over all its runs."""
        return sum(json.loads(path.read_text())[name] for path in self.folder.glob("counts-*"))

    def seen(self) -> list[Given]:
        """All messages that it was given, in order."""
        return self._select("SELECT topic, epoch, seq FROM seen ORDER BY rowid")

    def wait_for_message(self, bed: str, epoch: str, seq: int) -> None:
        """Wait until it was given this alarm message."""
        select = "SELECT 1 FROM seen WHERE topic = ? AND epoch = ? AND seq = ?"
        place = (f"v1/{bed}/alarm/", epoch, seq)
        wait_for(lambda: self._select(select, place), f"alarm message {seq} at the subscriber")

    def _select(self, select: str, values: tuple[str | int, ...] = ()) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "seen.sqlite")) as db:
            return db.execute(select, values).fetchall()

    def wait_for_end(self) -> None:
        """Wait until it was given the goodbye of the monitor, then end it."""
        wait_for(lambda: self.state() == "ended", "goodbye at the subscriber")
        self.program.end()
