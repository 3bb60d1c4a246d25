"""A subscriber as a program of its own: python -m stress.subscriber_program CONNECT FOLDER

Writes every message that AlarmClient gave (topic, epoch, seq) and its position, from which it continues, to
FOLDER/seen.sqlite, in one transaction: after a kill -9 the two still agree, so a message that is there twice was given
twice. Writes its first position to FOLDER/joined and its counts to FOLDER/counts-PID. Ends on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import msgspec

from monitor.atomic_file import replace_file
from monitor.bus.endpoints import endpoints_from
from monitor.client.client import ALL_STREAMS, AlarmClient
from monitor.client.positions import Position, save_position

TURN_S = 0.1
PATIENCE_S = 15.0  # as `ecg-monitor tail`


def main(connect: str, folder: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    ends = endpoints_from(connect)
    with closing(sqlite3.connect(folder / "seen.sqlite")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE IF NOT EXISTS seen (topic TEXT, epoch TEXT, seq INTEGER)")
        db.execute("CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY, body BLOB)")
        row = db.execute("SELECT body FROM position").fetchone()
        position = msgspec.json.decode(row[0], type=Position) if row else None
        client = AlarmClient(ends.alarms, ends.control, streams=ALL_STREAMS, patience_s=PATIENCE_S, resume=position)
        written = ""
        while True:
            given = [(topic, body.epoch, body.seq) for topic, body, _ in client.poll(TURN_S)]
            with db:
                db.executemany("INSERT INTO seen VALUES (?, ?, ?)", given)
                if client.position is not None and client.position != position:
                    position = client.position
                    db.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (msgspec.json.encode(position),))
            if position is not None and not (folder / "joined").exists():
                save_position(folder / "joined", position)
            counts = json.dumps({"state": client.state, "recovered": client.recovered, "missed": client.missed})
            if counts != written:
                written = counts
                replace_file(folder / f"counts-{os.getpid()}", counts)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
