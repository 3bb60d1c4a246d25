"""A subscriber as a program of its own: python -m stress.subscriber_program CONNECT FOLDER

Writes a line for every message that AlarmClient gave (epoch, seq, topic) to FOLDER/seen, its position to
FOLDER/position, from which it continues, and its counts to FOLDER/counts-PID. Ends on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from monitor.atomic_file import replace_file
from monitor.bus.endpoints import endpoints_from
from monitor.client.client import ALL_STREAMS, AlarmClient
from monitor.client.positions import load_position, save_position

TURN_S = 0.1
PATIENCE_S = 15.0  # as `ecg-monitor tail`


def main(connect: str, folder: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    ends = endpoints_from(connect)
    position = load_position(folder / "position")
    client = AlarmClient(ends.alarms, ends.control, streams=ALL_STREAMS, patience_s=PATIENCE_S, resume=position)
    written = ""
    with (folder / "seen").open("a", encoding="utf-8") as seen:
        while True:
            lines = [f"{body.epoch} {body.seq} {topic}\n" for topic, body, _ in client.poll(TURN_S)]
            seen.write("".join(lines))
            seen.flush()
            if client.position is not None and client.position != position:
                if not (folder / "joined").exists():
                    save_position(folder / "joined", client.position)
                position = client.position
                save_position(folder / "position", position)
            counts = json.dumps({"state": client.state, "recovered": client.recovered, "missed": client.missed})
            if counts != written:
                written = counts
                replace_file(folder / f"counts-{os.getpid()}", counts)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
