"""Run the real command as its users do."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["COMMAND", "FREE_BUS", "ecg_monitor", "environment", "free_endpoint"]

COMMAND = (sys.executable, "-W", "error::UserWarning:monitor", "-m", "monitor")
FREE_BUS = ("--bus", "tcp://127.0.0.1:*")  # tests run side by side


def environment(**extra: str) -> dict[str, str]:
    """The caller's environment without any ECG_MONITOR_ setting but the data folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ECG_MONITOR_") or k == "ECG_MONITOR_DATA"}
    return kept | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | extra


def ecg_monitor(*arguments: str, timeout_s: float = 120, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    command: Sequence[str] = (*COMMAND, *arguments)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, env=environment(**extra), stdin=subprocess.DEVNULL
    )


def free_endpoint() -> str:
    """An alarm endpoint whose two following ports (waves, control) are free as well."""
    while True:
        port = random.SystemRandom().randrange(20_000, 60_000)
        sockets = []
        try:
            for step in range(3):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port + step))
            return f"tcp://127.0.0.1:{port}"
        except OSError:
            continue
        finally:
            for held in sockets:
                held.close()
