"""A monitor of many beds without a pipeline (a real bus in a thread), and states in memory for tests that draw.

`python -m tests.monitor.dashboard.ward_helpers run | crash | stop` runs the dashboard of such a monitor.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console

from monitor.bus.endpoints import endpoints_from
from monitor.bus.server import Bus
from monitor.client.client import WARD, AlarmClient
from monitor.dashboard.bed_order import BedOrder
from monitor.dashboard.live import run_dashboard
from monitor.dashboard.state import DashboardState
from monitor.journal import Journal
from monitor.messages import AlarmMessage, Reply, Request, StatusMessage, WaveHeader, bed_topic
from tests.monitor.commands.helpers import free_endpoint
from tests.monitor.dashboard.helpers import FS_HZ, MODEL, alarm, ecg, heartbeat, status

TIMEOUT_S = 60.0


def ward_state(
    names: Sequence[str], alarms: Iterable[tuple[str, str, str, str]] = (), *, epoch: str = "e1", now_s: float = 20.0
) -> DashboardState:
    """Running beds without subscribed waves; alarms are (bed, kind, priority, state)."""
    state = DashboardState()
    state.set_detail((), (), 0.0)
    state.set_connection("connected", now_s)
    state.apply(heartbeat(1, beds=tuple(names), epoch=epoch), now_s=now_s)
    for name in names:
        state.apply(status(round(now_s * FS_HZ), bed=name, epoch=epoch), now_s=now_s)
    for bed, kind, priority, word in alarms:
        category = "technical" if kind in ("leads_off", "no_data") else "physiological"
        message = alarm(kind, priority, word, bed=bed, category=category)
        state.apply(msgspec.structs.replace(message, epoch=epoch), now_s=now_s)
    return state


def ordered(now_s: float = 20.0, **states: DashboardState) -> BedOrder:
    """An updated order of beds; the keywords are addresses."""
    order = BedOrder(states)
    order.update(now_s)
    return order


class WardMonitor(threading.Thread):
    """Publishes beds with waves ten times a second until it is stopped; carries out acknowledgements.

    Args:
        beds: names.
        alarms: (bed, kind, priority), active from the start.
        epoch: of the run.
        conditions: bed -> fields of its status.

    Attributes:
        endpoint: of its alarms.
        acknowledged, paused: (alarm id or bed, who), in order.
        silent: beds without waves and with a still sample clock; tests may add to it.
    """

    def __init__(
        self,
        beds: Sequence[str],
        alarms: Iterable[tuple[str, str, str]] = (),
        epoch: str = "e1",
        conditions: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.endpoint = ""
        self.acknowledged: list[tuple[str, str]] = []
        self.paused: list[tuple[str, str]] = []
        self.silent: set[str] = set()
        self._beds = tuple(beds)
        self._alarms = {
            body.alarm_id: body for body in (alarm(kind, priority, bed=bed).alarm for bed, kind, priority in alarms)
        }
        self._epoch = epoch
        self._conditions = conditions or {}
        self._listens = threading.Event()
        self._halt = threading.Event()
        self._clocks = dict.fromkeys(beds, 0)
        self.start()
        assert self._listens.wait(TIMEOUT_S)

    def stop(self) -> None:
        """End without a goodbye, like a killed monitor."""
        self._halt.set()
        self.join(TIMEOUT_S)

    def run(self) -> None:
        endpoint = free_endpoint()
        bus = Bus(endpoints_from(endpoint), epoch=self._epoch, journal=Journal(":memory:"))
        self.endpoint = endpoint
        self._listens.set()
        try:
            for body in self._alarms.values():
                bus.publish(bed_topic(body.bed, "alarm"), AlarmMessage(alarm=body, model=MODEL))
            turn = 0
            while not self._halt.is_set():
                self._turn(bus, turn)
                turn += 1
        finally:
            bus.close()

    def _turn(self, bus: Bus, turn: int) -> None:
        for name in self._beds:
            if name not in self.silent:
                first, n = self._clocks[name], round(FS_HZ / 10)
                rows = ecg(first, n)[None, :].repeat(2, axis=0)
                bus.publish_wave(WaveHeader(sample=first, bed=name, first_sample=first, n=n, fs_hz=FS_HZ), rows)
                self._clocks[name] += n
            if turn % 5 == 0:
                bus.publish(bed_topic(name, "status"), self._status(name, turn))
        if turn % 5 == 0:
            bus.heartbeat(heartbeat(1, beds=self._beds))
        until_s = time.monotonic() + 0.1
        while (left_s := until_s - time.monotonic()) > 0:
            for waiting in bus.service(left_s):
                waiting.reply(self._answer(bus, waiting.request))

    def _status(self, name: str, turn: int) -> StatusMessage:
        return status(self._clocks[name], bed=name, **{"beats": turn} | self._conditions.get(name, {}))

    def _answer(self, bus: Bus, request: Request) -> Reply:
        if request.op == "snapshot":
            return bus.snapshot(request.bed)
        if request.op == "acknowledge":
            self.acknowledged.append((request.alarm_id, request.who))
            body = msgspec.structs.replace(
                self._alarms[request.alarm_id], state="acknowledged", acknowledged_by=request.who
            )
            self._alarms[body.alarm_id] = body
            bus.publish(bed_topic(body.bed, "alarm"), AlarmMessage(alarm=body, model=MODEL))
        elif request.op == "pause_audio":
            self.paused.append((request.bed, request.who))
        return Reply(ok=True)


def main(mode: str) -> int:
    monitor = WardMonitor(("p1",), [("p1", "asystole", "high")])
    ends = endpoints_from(monitor.endpoint)
    client = AlarmClient(ends.alarms, ends.control, streams=WARD, waves_endpoint=ends.waves)
    end_s = time.monotonic() + {"run": 3600.0, "crash": 4.0, "stop": 1.0}[mode]

    def should_stop() -> bool:
        if time.monotonic() > end_s and mode == "crash":
            raise RuntimeError("the dashboard broke")
        return time.monotonic() > end_s

    with contextlib.closing(client):
        try:
            return run_dashboard(client, Console(), time.monotonic, should_stop=should_stop)
        finally:
            monitor.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
