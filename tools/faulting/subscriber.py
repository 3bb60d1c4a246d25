"""A subscriber as a program of its own: python -m faulting.subscriber CONNECT FOLDER

Writes a line for every message that AlarmClient gave (epoch, seq, topic) into FOLDER/seen, keeps its position in
FOLDER/position and goes on from it, and tells its counts in FOLDER/counts. Ends on SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from monitor.bus.endpoints import endpoints_from
from monitor.client.client import ALL_STREAMS, AlarmClient
from monitor.client.positions import load_position, save_position

TURN_S = 0.1
PATIENCE_S = 15.0  # as `ecg-monitor tail`


def main(connect: str, folder: Path) -> None:
    ends = endpoints_from(connect)
    position = load_position(folder / "position")
    client = AlarmClient(ends.alarms, ends.control, streams=ALL_STREAMS, patience_s=PATIENCE_S, resume=position)
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    told = ""
    with (folder / "seen").open("a", encoding="utf-8") as seen:
        while not ended:
            lines = [f"{body.epoch} {body.seq} {topic}\n" for topic, body, _ in client.poll(TURN_S)]
            seen.write("".join(lines))
            seen.flush()
            if client.position is not None and client.position != position:
                if not (folder / "joined").exists():
                    save_position(folder / "joined", client.position)
                position = client.position
                save_position(folder / "position", position)
            counts = {
                "state": client.state,
                "recovered": client.recovered,
                "missed": client.missed,
                **{key: client.counters[key] for key in ("late", "incomplete", "refused", "undecodable")},
            }
            if (telling := json.dumps(counts)) != told:
                told = telling
                (folder / "counts.new").write_text(told)
                (folder / "counts.new").replace(folder / "counts")
    client.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
