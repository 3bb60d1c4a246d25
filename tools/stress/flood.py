"""A bus without a monitor, which publishes at full speed: python -m stress.flood CONNECT JOURNAL COUNT

Waits for the line `go` on standard input, publishes COUNT messages (alarms and beats in turn), prints `done`, and
serves requests until any other line or the end of standard input.
"""

from __future__ import annotations

import select
import sys
import time
from typing import Literal

from monitor.bus.endpoints import endpoints_from
from monitor.bus.server import Bus
from monitor.journal import Journal
from monitor.messages import Alarm, AlarmMessage, BeatMessage, Evidence, HeartbeatMessage, ModelInfo, Reply, bed_topic

BED = "p1"
SERVE_EVERY = 100  # messages


def alarm(n: int) -> AlarmMessage:
    """Onset (even n) or end (odd n) of an alarm."""
    onset = n // 2
    evidence = Evidence(r_samples=(onset,), log_prob=(-12.5,), score=(3.5,), p_value=(0.001,), quality="good")
    state: Literal["onset", "cleared"] = "cleared" if n % 2 else "onset"
    body = Alarm(
        f"{BED}/anomaly_run/{onset}", BED, "anomaly_run", "physiological", "medium", state, onset, n, "", evidence
    )
    return AlarmMessage(sample=n, time="2020-01-01T00:00:00.000Z", alarm=body, model=ModelInfo("none", ""))


def beat(n: int) -> BeatMessage:
    return BeatMessage(
        sample=n, time="2020-01-01T00:00:00.000Z", bed=BED, r_sample=n, rr_s=0.8, log_prob=-3.25, score=1.25,
        p_value=0.5, threshold=4.5, anomalous=False, quality="good",
    )  # fmt: skip


def main(connect: str, journal_path: str, count: int) -> None:
    journal = Journal(journal_path)
    bus = Bus(endpoints_from(connect), epoch=f"flood-{time.time_ns()}", journal=journal)
    heartbeat_s = 0.0

    def serve(timeout_s: float) -> None:
        nonlocal heartbeat_s
        for request in bus.service(timeout_s):
            request.reply(bus.snapshot(request.request.bed) if request.request.op == "snapshot" else Reply(ok=False))
        if time.monotonic() - heartbeat_s >= 1.0:
            heartbeat_s = time.monotonic()
            bus.heartbeat(HeartbeatMessage(state="running", beds=(BED,), uptime_s=0.0, version="flood"))

    while True:
        serve(0.02)
        if select.select([sys.stdin], [], [], 0)[0]:
            if sys.stdin.readline().strip() != "go":
                break
            for n in range(count // 2):
                bus.publish(bed_topic(BED, "alarm"), alarm(n))
                bus.publish(bed_topic(BED, "beat"), beat(n))
                if n % SERVE_EVERY == 0:
                    serve(0.0)
            print("done", flush=True)
    bus.heartbeat(HeartbeatMessage(state="goodbye", beds=(BED,), uptime_s=0.0, version="flood"))
    bus.close()
    journal.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
