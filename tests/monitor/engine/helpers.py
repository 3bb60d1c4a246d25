"""Pipelines in this process: sources fed by the test, clocks moved by the test, runs in a thread."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from numpy.typing import NDArray

from detector.scorer import Scorer
from monitor.client.client import AlarmClient, Received
from monitor.config import Config, merge
from monitor.engine.assembly import build_pipeline
from monitor.errors import SourceError
from monitor.messages import AlarmMessage, BeatMessage, HeartbeatMessage, StatusMessage
from monitor.sources import Chunk, EndOfStream, Notice, Source, SourceOptions, open_source

FS_HZ = 250.0
PATIENCE_S = 60.0


def ecg(scenario: str, fs_hz: float = FS_HZ) -> NDArray[np.float64]:
    """The signal of a scenario, mV, NaN where the electrode is off."""
    source = open_source(f"sim:{scenario}", SourceOptions(fs_hz=fs_hz))
    pieces: list[NDArray[np.float64]] = []
    while True:
        try:
            chunk = source.read(100_000)
        except EndOfStream:
            return np.concatenate(pieces)
        assert chunk is not None
        pieces.append(chunk.samples)


def sim(scenario: str, fs_hz: float = FS_HZ) -> Source:
    return open_source(f"sim:{scenario}", SourceOptions(fs_hz=fs_hz))


def breaking_record(folder: Path) -> Path:
    """A WFDB record too long for one read: after its .dat is deleted, the next read fails."""
    folder.mkdir()
    wfdb.wrsamp(
        "rec", fs=1000, units=["mV"], sig_name=["II"], p_signal=ecg("sinus=140", 1000.0)[:, None], fmt=["16"],
        write_dir=str(folder),
    )  # fmt: skip
    return folder / "rec"


class FedSource:
    """A source fed by the test: samples, silence, notices, an error, the end."""

    lead = "II"
    rails_mv: tuple[float, float] | None = None
    start_time: str | None = None
    total_samples: int | None = None

    def __init__(self, name: str = "fed", *, live: bool = True, fs_hz: float = FS_HZ) -> None:
        self.name = name
        self.live = live
        self.fs_hz = fs_hz
        self.closed = False
        self.next = 0
        self._lock = threading.Lock()
        self._waiting: deque[Chunk | Exception] = deque()

    def feed(self, samples: NDArray[np.float64], *, lost: int = 0, second: NDArray[np.float64] | None = None) -> None:
        """Add samples, after `lost` missing ones; `second`: those of the second lead."""
        self.next += lost
        self._put(Chunk(self.next, np.asarray(samples), second=second))
        self.next += len(samples)

    def notice(self, kind: str, text: str, count: int = 1) -> None:
        self._put(Chunk(self.next, np.empty(0), notices=(Notice(kind, text, count),)))

    def end(self) -> None:
        self._put(EndOfStream())

    def fail(self, text: str) -> None:
        self._put(SourceError(text))

    def read(self, max_samples: int) -> Chunk | None:
        with self._lock:
            if not self._waiting:
                return None if self.live else Chunk(self.next, np.empty(0))
            chunk = self._waiting[0]
            if isinstance(chunk, Exception):
                raise chunk
            self._waiting.popleft()
            if chunk.samples.size > max_samples:
                self._waiting.appendleft(replace(chunk.part(max_samples), notices=()))
                chunk = chunk.part(0, max_samples)
            return chunk

    def close(self) -> None:
        self.closed = True

    def _put(self, what: Chunk | Exception) -> None:
        with self._lock:
            self._waiting.append(what)


class Script:
    """A clock moved by the test; as the `stop` of `run` it is called once in each turn of the loop.

    Args:
        acts: (time, action), in order; the run stops at the last one.
        step_s: step of the clock in each turn.
    """

    def __init__(self, acts: Sequence[tuple[float, Callable[[], object]]], step_s: float = 0.25) -> None:
        self.now_s = 0.0
        self._acts = deque(acts)
        self._step_s = step_s

    def clock(self) -> float:
        return self.now_s

    def __call__(self) -> bool:
        self.now_s = round(self.now_s + self._step_s, 6)
        while self._acts and self.now_s >= self._acts[0][0]:
            self._acts.popleft()[1]()
        return not self._acts


def settings(**sections: dict[str, Any]) -> Config:
    """A configuration on free ports, by default at full speed."""
    sections = {"bus": {"listen": "tcp://127.0.0.1:*"}} | sections
    sections["source"] = {"speed": 0.0} | sections.get("source", {})
    return merge(Config(), sections, "test")


class Run:
    """A pipeline in this thread, with its alarms and notices.

    With a clock of the test, the loop does not wait in real time.
    """

    def __init__(self, sources: dict[str, Source], scorer: Scorer, config: Config | None = None, **options: Any):
        self.alarms: list[AlarmMessage] = []
        self.notices: list[str] = []
        self.pipeline = build_pipeline(
            sources, config or settings(), scorer, on_alarm=self.alarms.append, on_notice=self.notices.append, **options
        )
        if "clock" in options:
            service = self.pipeline.bus.service
            self.pipeline.bus.service = lambda timeout_s=0.0: service(0.0)  # type: ignore[method-assign]

    def onsets(self, bed: str = "p1") -> list[str]:
        return [m.alarm.kind for m in self.alarms if m.alarm.bed == bed and m.alarm.state == "onset"]

    def states(self, kind: str, bed: str = "p1") -> list[str]:
        return [m.alarm.state for m in self.alarms if m.alarm.bed == bed and m.alarm.kind == kind]

    def status(self, bed: str = "p1") -> StatusMessage:
        return self.pipeline.beds[bed].status()


class Watched:
    """A pipeline in a thread, and a client on its sockets.

    Attributes:
        got: everything the client received.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.stop = threading.Event()
        self.failed: list[BaseException] = []
        self.got: list[Received] = []
        ends = run.pipeline.bus.endpoints
        self.client = AlarmClient(ends.alarms, ends.control, waves_endpoint=ends.waves)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            self.run.pipeline.run(self.stop.is_set)
        except BaseException as error:
            self.failed.append(error)

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"waited {PATIENCE_S} s for {what}; {self.failed}"
            self.got += self.client.poll(0.02)

    def joined(self) -> None:
        """Wait until the client misses no later message."""
        self.until(lambda: self.client.counters["snapshots"], "the snapshot")

    def finished(self) -> None:
        """Wait for the goodbye and the end of the thread."""
        self.until(lambda: self.client.state == "ended", "the goodbye")
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def alarms(self, kind: str, bed: str = "p1") -> list[AlarmMessage]:
        return [m for _, m, _ in self.got if isinstance(m, AlarmMessage) and (m.alarm.kind, m.alarm.bed) == (kind, bed)]

    def beats(self, bed: str = "p1") -> list[BeatMessage]:
        return [m for _, m, _ in self.got if isinstance(m, BeatMessage) and m.bed == bed]

    def statuses(self, bed: str = "p1") -> list[StatusMessage]:
        return [m for _, m, _ in self.got if isinstance(m, StatusMessage) and m.bed == bed]

    def heartbeats(self) -> list[HeartbeatMessage]:
        return [m for _, m, _ in self.got if isinstance(m, HeartbeatMessage)]

    def close(self) -> None:
        self.stop.set()
        self._thread.join(PATIENCE_S)
        self.client.close()


@contextmanager
def watched(sources: dict[str, Source], scorer: Scorer, config: Config | None = None) -> Iterator[Watched]:
    """A client on a running pipeline; both are closed at the end."""
    watching = Watched(Run(sources, scorer, config))
    try:
        yield watching
    finally:
        watching.close()


def kept(folder: Path, bed: str = "p1") -> tuple[str, list[dict[str, Any]]]:
    """beats.csv and alarms.jsonl of a bed, without the names of bed and run and without wall times."""
    alarms = [json.loads(line) for line in (folder / bed / "alarms.jsonl").read_text().splitlines()]
    for message in alarms:
        for key in ("epoch", "time", "latency_ms"):
            message.pop(key)
        message["alarm"]["alarm_id"] = message["alarm"]["alarm_id"].partition("/")[2]
        message["alarm"].pop("bed")
    return (folder / bed / "beats.csv").read_text(), alarms
