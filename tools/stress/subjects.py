"""The programs under test: a monitor with many alarms, and a subscriber, both killed and started again at will."""

from __future__ import annotations

import json
import random
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from common.programs import Program, ToolError, Watch, rss_mb, wait_for

from monitor.client.positions import Position, load_position

__all__ = ["Given", "Monitor", "Programs", "Subject", "Subscriber", "free_port"]

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

    def end(self) -> str:
        """Send SIGTERM and wait.

        Returns:
            Its output.

        Raises:
            ToolError: it did not end, or ended with an error.
        """
        self.process.terminate()
        return self.wait()

    def close(self) -> None:
        self.memory.end()
        super().close()


class Programs:
    """All programs of one fault; as a context manager they are killed at the end.

    Args:
        folder: for their files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all that still run; may be called twice."""
        self._stack.close()

    def start(self, command: Sequence[str]) -> Subject:
        """Start a program."""
        return self._stack.enter_context(Subject(command))

    def start_module(self, name: str, *words: str, prefix: Sequence[str] = ()) -> Subject:
        """Start a module of this package."""
        return self.start([*prefix, sys.executable, "-m", f"stress.{name}", *words])


class Monitor:
    """A monitor of a simulated patient with many alarms, at 20 times real time.

    Args:
        programs: of the fault.
        listen: endpoint.
        number: of the run: each records into a folder of its own; all write one journal.
        prefix: words before the command.
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
    """`stress.subscriber_program` and the files that it writes.

    Args:
        programs: of the fault.
        connect: endpoint of the monitor.
        name: of its folder.
        prefix: words before the command.
    """

    def __init__(self, programs: Programs, connect: str, name: str = "subscriber", prefix: Sequence[str] = ()) -> None:
        self.folder = programs.folder / name
        self.folder.mkdir()
        self._start = lambda: programs.start_module("subscriber_program", connect, str(self.folder), prefix=prefix)
        self.program = self._start()
        self._before = {"recovered": 0, "missed": 0}  # counted by killed runs
        self._most_mb = 0.0
        self._seen: list[Given] = []
        self._seen_once: set[Given] = set()
        self._read_bytes = 0

    def restart(self) -> None:
        """Start it again after it was killed."""
        self._before = {name: self.count(name) for name in self._before}
        (self.folder / "counts").unlink(missing_ok=True)
        self._most_mb = self.most_mb
        self.program = self._start()

    @property
    def most_mb(self) -> float:
        """The most memory of all its runs, MB."""
        return max(self._most_mb, self.program.memory.most_mb)

    def joined(self) -> Position:
        """Wait until it has joined.

        Returns:
            The position at which it began.
        """
        path = self.folder / "joined"
        wait_for(lambda: path.exists() or not self.program.alive, "subscriber that has joined")
        position = load_position(path)
        if position is None:
            raise ToolError(f"the subscriber has ended: {self.program.output()}")
        return position

    def state(self) -> str:
        """State of its client, e.g. `lost`."""
        return str(self._counts().get("state", ""))

    def count(self, name: str) -> int:
        """`recovered` or `missed` of its client, over all its runs."""
        return self._before[name] + int(self._counts().get(name, 0))

    def seen(self) -> list[Given]:
        """All messages that it was given, in order."""
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

    def wait_for_message(self, bed: str, epoch: str, seq: int) -> None:
        """Wait until it was given this alarm message."""

        def given() -> bool:
            self.seen()
            return (f"v1/{bed}/alarm/", epoch, seq) in self._seen_once

        wait_for(given, f"alarm message {seq} at the subscriber")

    def wait_for_end(self) -> None:
        """Wait until it was given the goodbye of the monitor, then end it."""
        wait_for(lambda: self.state() == "ended", "goodbye at the subscriber")
        self.program.end()

    def _counts(self) -> dict[str, Any]:
        try:
            counts: dict[str, Any] = json.loads((self.folder / "counts").read_text())
        except OSError:
            return {}
        return counts
