"""Messages, waiting, and a bus in its own process, for the tests of bus, journal and client."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from unittest import mock

import msgspec
import zmq

from monitor.bus.endpoints import BusEndpoints, endpoints_from
from monitor.bus.server import Bus
from monitor.bus.sockets import BusSockets
from monitor.client.client import AlarmClient, Received
from monitor.journal import Journal
from monitor.messages import (
    Alarm,
    AlarmMessage,
    AlarmState,
    BeatMessage,
    Evidence,
    HeartbeatMessage,
    ModelInfo,
    Reply,
    Request,
    StatusMessage,
    bed_topic,
    encode,
)

ANY = "tcp://127.0.0.1:*"
ANY_ENDPOINTS = endpoints_from(ANY)
MODEL = ModelInfo("test", "00" * 32)
TIMEOUT_S = 30.0


def alarm(onset: int, state: AlarmState = "onset", bed: str = "p1", kind: str = "asystole") -> AlarmMessage:
    return AlarmMessage(
        sample=onset,
        time="2020-01-01T00:00:00.000Z",
        alarm=Alarm(
            alarm_id=f"{bed}/{kind}/{onset}",
            bed=bed,
            kind=kind,
            category="physiological",
            priority="high",
            state=state,
            onset_sample=onset,
            decided_sample=onset + 4,
            text="no QRS for 4 s",
            evidence=Evidence(r_samples=(onset - 360,), log_prob=(-12.5,), score=(3.5,), p_value=(None,), limit=4.0),
        ),
        model=MODEL,
    )


def beat(r_sample: int, bed: str = "p1") -> BeatMessage:
    return BeatMessage(
        sample=r_sample + 124,
        time="2020-01-01T00:00:00.000Z",
        bed=bed,
        r_sample=r_sample,
        rr_s=0.8,
        log_prob=-3.25,
        score=1.25,
        p_value=0.5,
        threshold=4.5,
        anomalous=False,
        quality="good",
        heart_rate_bpm=75.0,
    )


def status(sample: int, bed: str = "p1") -> StatusMessage:
    return StatusMessage(
        sample=sample,
        time="2020-01-01T00:00:00.000Z",
        bed=bed,
        state="running",
        source="sim",
        lead="MLII",
        fs_hz=360.0,
        speed=1.0,
        quality="good",
        scorable=True,
        rate_low_bpm=45.0,
        rate_high_bpm=120.0,
    )


def heartbeat(state: str = "running") -> HeartbeatMessage:
    return HeartbeatMessage(
        state="goodbye" if state == "goodbye" else "running", beds=("p1",), uptime_s=1.0, version="0"
    )


def make_bus(journal: Journal | None = None, epoch: str = "run-1", endpoints: BusEndpoints = ANY_ENDPOINTS) -> Bus:
    return Bus(endpoints, epoch=epoch, journal=journal or Journal(":memory:"))


@contextlib.contextmanager
def dropped() -> Iterator[None]:
    """Drop every message that a bus sends inside, as ZeroMQ does for a full queue."""
    with mock.patch.object(BusSockets, "send"):
        yield


def serve(bus: Bus, timeout_s: float = 0.002) -> None:
    """Run one turn of the loop as the pipeline does."""
    for request in bus.service(timeout_s):
        if request.request.op == "snapshot":
            request.reply(bus.snapshot(request.request.bed))
        else:
            request.reply(Reply(ok=True, data={"op": request.request.op}))


class Sockets:
    """Makes plain ZeroMQ sockets and closes them at the end of the test."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self._made: list[zmq.Socket[bytes]] = []  # pyzmq warns of a socket that is not closed

    def socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        sock = self.context.socket(kind)
        self._made.append(sock)
        sock.connect(endpoint)
        return sock

    def subscribe(self, bus: Bus, *prefixes: str) -> zmq.Socket[bytes]:
        sub = self.socket(zmq.SUB, bus.endpoints.alarms)
        for prefix in prefixes:
            sub.subscribe(prefix)
        return sub

    def ask(self, bus: Bus, request: Request | bytes) -> Reply:
        """Send a request while the bus serves; returns the reply."""
        req = self.socket(zmq.REQ, bus.endpoints.control)
        req.send(request if isinstance(request, bytes) else encode(request))
        wait_for(lambda: req.poll(0), "a reply", lambda: serve(bus))
        reply = msgspec.json.decode(req.recv(), type=Reply)
        req.close(0)
        return reply

    def close(self) -> None:
        self.context.destroy(linger=0)


def wait_for(
    condition: Callable[[], object], what: str, turn: Callable[[], object] = lambda: time.sleep(0.005)
) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"timed out waiting for {what}"
        turn()


def pump(
    bus: Bus | None, *clients: AlarmClient, until: Callable[[], object], got: list[list[Received]], what: str
) -> None:
    """Run the bus and the clients by turns until a condition holds; append what each client returns to `got`."""

    def turn() -> None:
        if bus is not None:
            serve(bus)
        for client, received in zip(clients, got, strict=True):
            received += client.poll(0.0 if bus is not None else 0.01)

    wait_for(until, what, turn)


def join(bus: Bus, *clients: AlarmClient) -> list[list[Received]]:
    """Run until each client has its snapshot; returns what each client received."""
    got: list[list[Received]] = [[] for _ in clients]
    bus.heartbeat(heartbeat())
    pump(bus, *clients, until=lambda: all(c.counters["snapshots"] for c in clients), got=got, what="snapshots")
    return got


def connect(bus: Bus, **options: object) -> AlarmClient:
    return AlarmClient(bus.endpoints.alarms, bus.endpoints.control, **{"patience_s": TIMEOUT_S, **options})  # type: ignore[arg-type]


def of(received: list[Received], kind: type) -> list[Received]:
    return [item for item in received if isinstance(item[1], kind)]


class BusProcess:
    """A monitor without a pipeline in its own process; it executes one command per line of its input."""

    def __init__(self, journal: Path | str, epoch: str, connect: str = ANY) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(journal), epoch, connect],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        self.endpoints = BusEndpoints(*json.loads(self._line()))

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the bus process has ended"
        return line

    def execute(self, command: str) -> None:
        """Execute `alarm N`, `beat N` or `heartbeat`, and wait until it is published."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self._line().strip() == command

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def _main(journal_path: str, epoch: str, connect: str, commands: IO[str]) -> None:
    import select

    journal = Journal(journal_path)
    bus = Bus(endpoints_from(connect), epoch=epoch, journal=journal)
    print(json.dumps([bus.endpoints.alarms, bus.endpoints.waves, bus.endpoints.control]), flush=True)
    onset = 0
    while True:
        serve(bus, 0.01)
        if not select.select([commands], [], [], 0)[0]:
            continue
        command = commands.readline().strip()
        if not command:
            return
        what, _, number = command.partition(" ")
        for _ in range(int(number or 1)):
            onset += 1
            if what == "alarm":
                bus.publish(bed_topic("p1", "alarm"), alarm(onset))
            elif what == "beat":
                bus.publish(bed_topic("p1", "beat"), beat(onset))
            elif what == "heartbeat":
                bus.heartbeat(heartbeat())
        print(command, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:4], sys.stdin)
