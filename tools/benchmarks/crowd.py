"""A bus with many beds and nothing behind it: status, beats, waves and alarms at the pace of real ones, made up.

python tools/benchmarks/crowd.py 1000 60 [tcp://127.0.0.1:5556]
"""

from __future__ import annotations

import random
import sys
import time

import numpy as np

from monitor.bus.endpoints import endpoints_from
from monitor.bus.server import Bus
from monitor.journal import Journal, RetentionLimits
from monitor.messages import (
    Alarm,
    AlarmMessage,
    BeatMessage,
    HeartbeatMessage,
    ModelInfo,
    Reply,
    StatusMessage,
    WaveHeader,
    bed_topic,
)

FS_HZ = 250.0
WAVES_HZ = 20.0
ALARMED = 0.1  # of the beds; a tenth of those changes every second
KINDS = (("asystole", "high"), ("tachycardia", "medium"), ("leads_off", "medium"), ("anomalous_beat", "low"))
MODEL = ModelInfo("crowd", "00" * 32)
_WAVES = ((0.32, 0.12, 0.025), (0.48, -0.1, 0.008), (0.5, 1.2, 0.01), (0.53, -0.25, 0.01), (0.78, 0.3, 0.05))
_PHASE = np.arange(round(FS_HZ)) / FS_HZ
_ECG = sum(h * np.exp(-0.5 * ((_PHASE - at) / w) ** 2) for at, h, w in _WAVES).astype(np.float32)  # mV, one beat


class Crowd:
    """Many beds on one bus."""

    def __init__(self, beds: int, endpoint: str, seed: int = 1) -> None:
        self.names = [f"bed-{number + 1}" for number in range(beds)]
        limits = RetentionLimits(max_mb=0, alarm_rows=1_000, beat_rows=200, status_rows=100, strips=10, actions=100)
        self.bus = Bus(endpoints_from(endpoint), epoch="crowd", journal=Journal(":memory:", limits=limits))
        self.alarms: dict[str, Alarm] = {}
        self._random = random.Random(seed)
        self._began_s = time.monotonic()
        self._sent = 0
        self._second = -1

    def turn(self) -> None:
        """Send what is due, answer who asks, sleep until the next piece."""
        now = int((time.monotonic() - self._began_s) * FS_HZ)
        n = now - self._sent
        if n > 0:
            at = (np.arange(self._sent, now)) % len(_ECG)
            rows = np.stack([_ECG[at], _ECG[at]])
            for name in self.names:
                header = WaveHeader(sample=now, bed=name, first_sample=self._sent, n=n, fs_hz=FS_HZ)
                self.bus.publish_wave(header, rows)
            self._sent = now
        second = int(now / FS_HZ)
        if second > self._second:
            self._second = second
            self._each_second(now)
        due_s = self._began_s + self._sent / FS_HZ + 1 / WAVES_HZ
        while (left_s := due_s - time.monotonic()) > 0:
            for request in self.bus.service(left_s):
                op, bed = request.request.op, request.request.bed
                if op == "acknowledge":
                    self._acknowledge(request.request.alarm_id)
                request.reply(self.bus.snapshot(bed) if op == "snapshot" else Reply(ok=True))

    def _each_second(self, now: int) -> None:
        for name in self.names:
            self.bus.publish(
                bed_topic(name, "status"),
                StatusMessage(
                    sample=now, bed=name, state="running", source="crowd", lead="II", fs_hz=FS_HZ, speed=1.0,
                    quality="good", scorable=True, heart_rate_bpm=self._random.uniform(58, 62), beats=self._second,
                    model=MODEL,
                ),
            )  # fmt: skip
            for _ in range(1 + (self._random.random() < 0.2)):
                self.bus.publish(
                    bed_topic(name, "beat"),
                    BeatMessage(
                        sample=now, bed=name, r_sample=now - 375, rr_s=1.0, log_prob=-12.0, score=1.5, p_value=0.4,
                        threshold=4.5, anomalous=False, quality="good", heart_rate_bpm=60.0,
                    ),
                )  # fmt: skip
        most = round(ALARMED * len(self.names))
        for _ in range(max(1, most // 10)):
            if len(self.alarms) >= most:
                self._change(self.alarms.pop(self._random.choice(list(self.alarms))), now, state="cleared")
            name, (kind, priority) = self._random.choice(self.names), self._random.choice(KINDS)
            category = "technical" if kind == "leads_off" else "physiological"
            alarm = Alarm(f"{name}/{kind}/{now}", name, kind, category, priority, "onset", now, now, f"made up: {kind}")  # type: ignore[arg-type]
            self.alarms[alarm.alarm_id] = alarm
            self._change(alarm, now)
        self.bus.heartbeat(
            HeartbeatMessage(state="running", beds=tuple(self.names), uptime_s=float(self._second), version="0")
        )

    def _acknowledge(self, alarm_id: str) -> None:
        if alarm_id in self.alarms:
            self._change(self.alarms[alarm_id], self._sent, state="acknowledged", acknowledged_by="crowd")

    def _change(self, alarm: Alarm, now: int, **changes: object) -> None:
        import msgspec

        alarm = msgspec.structs.replace(alarm, decided_sample=now, **changes)
        if alarm.alarm_id in self.alarms:
            self.alarms[alarm.alarm_id] = alarm
        self.bus.publish(bed_topic(alarm.bed, "alarm"), AlarmMessage(sample=now, alarm=alarm, model=MODEL))


def main(beds: int, seconds: float, endpoint: str) -> None:
    """Run so long; the endpoint is printed first."""
    crowd = Crowd(beds, endpoint)
    print(f"alarms on {crowd.bus.endpoints.alarms}", flush=True)
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        crowd.turn()
    crowd.bus.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "tcp://127.0.0.1:*")
