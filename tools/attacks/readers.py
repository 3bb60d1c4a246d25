"""A client that does not read."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from common.programs import ROOT

from attacks.attack import Outcome
from attacks.target import Target

__all__ = ["silent_reader"]

READER = """
import sys, time
import monitor.client.client as client_module
from monitor.client.client import AlarmClient
client = AlarmClient(*sys.argv[1:3], receive_hwm=50)
deadline = time.monotonic() + 60
while client.state != "connected" and time.monotonic() < deadline:
    client.poll(0.1)
print("joined", flush=True)
sys.stdin.readline()
got, until = 0, time.monotonic() + 15.0
while time.monotonic() < until:
    got += len(client.poll(0.1))
    time.sleep(0.01)
print(client.state, client.missed, flush=True)
"""
"""A client with a short queue, which does not read until a line comes, and then reads."""


def silent_reader(folder: Path) -> Outcome:
    """A client whose queue is full does not read for longer than any timeout, and then reads (`tail` into `less`)."""
    with Target(folder, "--speed", "20") as target:
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, target.ends.alarms, target.ends.control],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        )  # fmt: skip
        if reader.stdin is None or reader.stdout is None:
            raise RuntimeError("subprocess.Popen made no pipe for stdin or stdout, though both are PIPE")
        try:
            reader.stdout.readline()
            time.sleep(50.0)
            reader.stdin.write("go\n")
            reader.stdin.flush()
            end = reader.communicate(timeout=60)[0].strip().splitlines()
        finally:
            reader.kill()
        good = reader.returncode == 0 and end[-1] == "connected 0"
        now = "it recovers every message" if good else f"it ends with {reader.returncode}: {end[-1] if end else ''}"
        return target.outcome(
            "a client with a full queue does not read for 50 s, then reads (`tail` into `less`)", now, good=good
        )
