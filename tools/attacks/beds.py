"""Attacks on a monitor through a source of one of its beds, and on its files."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import zmq
from common.programs import wait_for
from stress.subjects import free_port

from attacks.attack import Outcome
from attacks.target import SOURCE, Target, client_socket
from monitor.journal import JournalReader
from monitor.messages import bed_topic

__all__ = ["flooding_sender", "journal_locked", "journal_moved", "jumping_sender", "lying_sender"]

ATTACK_S = 15.0
FS_HZ = 250
MOST_MB = 20.0  # on the disk, of both beds
LIES: tuple[dict[str, object], ...] = (
    {"first_sample": 2**53}, {"time": "9999-12-31T23:59:59"}, {"time": "\ud83d"}, {"n": 10**15}, {"fs_hz": 1e300},
    {"lead": "x" * 500_000}, {"epoch": "\u202e\x1b[2J"}, {"first_sample": -1},
)  # fmt: skip


@contextlib.contextmanager
def _with_sender(folder: Path) -> Iterator[tuple[Target, zmq.Socket[bytes]]]:
    """A monitor with an honest bed and one that reads from the attacker; it records both."""
    address = f"tcp://127.0.0.1:{free_port()}"
    beds = f'[beds.p1]\nsource = "{SOURCE}"\n[beds.bad]\nsource = "zmq:{address}"\nfs_hz = {FS_HZ}\n'
    (folder / "beds.toml").write_text(beds)
    with Target(folder, "--record", str(folder / "out"), beds=folder / "beds.toml") as target:
        push = client_socket(zmq.PUSH, address)
        push.setsockopt(zmq.SNDHWM, 100)
        push.setsockopt(zmq.SNDTIMEO, 200)
        try:
            yield target, push
        finally:
            push.close(0)


def _send(push: zmq.Socket[bytes], first_sample: int, n: int, lie: Mapping[str, object] | None = None) -> bool:
    """Send a message; False where the monitor takes no more."""
    header = {"schema": "samples/1", "fs_hz": FS_HZ, "first_sample": first_sample, "n": n} | dict(lie or {})
    try:
        push.send_multipart([json.dumps(header).encode(), np.zeros(n, "<f4").tobytes()])
    except zmq.Again:
        return False
    return True


def _written_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _disk_outcome(target: Target, what: str, sent: int) -> Outcome:
    written_mb = _written_mb(target.folder / "out")
    now = f"{sent:,} messages sent, {written_mb:.1f} MB written"
    return target.outcome(what, now, good=written_mb < MOST_MB)


def jumping_sender(folder: Path) -> Outcome:
    """Messages of one sample, each 23 hours after the one before."""
    with _with_sender(folder) as (target, push):
        sent = 0
        while time.monotonic() < target.began_s + ATTACK_S and target.program.alive:
            sent += _send(push, sent * 23 * 3600 * FS_HZ, 1)
        return _disk_outcome(target, f"a sender whose samples jump by 23 h at each message, {ATTACK_S:.0f} s", sent)


def flooding_sender(folder: Path) -> Outcome:
    """Samples as fast as the monitor takes them."""
    with _with_sender(folder) as (target, push):
        sent = 0
        while time.monotonic() < target.began_s + ATTACK_S and target.program.alive:
            sent += _send(push, sent * 100 * FS_HZ, 100 * FS_HZ)
        return _disk_outcome(target, f"a sender that sends as fast as it can, {ATTACK_S:.0f} s", sent)


def lying_sender(folder: Path) -> Outcome:
    """Headers with impossible numbers, times and texts."""
    with _with_sender(folder) as (target, push):
        sent = sum(_send(push, 0, 1, lie) for lie in LIES)
        _send(push, 0, FS_HZ)
        return _disk_outcome(target, f"{len(LIES)} messages with impossible numbers, times and texts", sent)


def journal_locked(folder: Path) -> Outcome:
    """Another program holds the write lock of the journal, again and again."""
    path, locks = folder / "j.sqlite", 10
    with Target(folder, "--journal", str(path), "--speed", "5") as target:
        other = sqlite3.connect(path, isolation_level=None, timeout=10)
        for _ in range(locks):
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.3)
            other.execute("ROLLBACK")
            time.sleep(0.2)
        other.close()
        target.wait_for_beats(5)
        with contextlib.closing(JournalReader(path)) as reader:
            pages = [page for stream in ("alarm", "beat") for page in reader.pages(bed_topic("p1", stream), "", 0)]
        lost = not all(page.complete for page in pages)
        rows = sum(len(page.bodies) for page in pages)
        now = f"{rows} alarms and beats in the journal, {'some' if lost else 'none'} missing"
        return target.outcome(f"a program locks the journal {locks} times for 0.3 s", now, good=not lost)


def journal_moved(folder: Path) -> Outcome:
    """The folder of the journal is deleted."""
    place = folder / "journals"
    place.mkdir()
    with Target(folder, "--journal", str(place / "j.sqlite")) as target:
        before = "journal_failed" in target.program.output()
        began_s = time.monotonic()
        shutil.rmtree(place)
        wait_for(lambda: "journal_failed" in target.program.output() or not target.program.alive, "alarm")
        after_s = time.monotonic() - began_s
        return target.outcome(
            "the folder of the journal is deleted", f"alarm after {after_s:.1f} s", good=after_s < 5.0 and not before
        )
