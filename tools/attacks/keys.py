"""What a client with a removed key still receives."""

from __future__ import annotations

import time
from pathlib import Path

import zmq

from attacks.attack import Outcome
from attacks.target import Target, client_socket
from monitor.bus.keys import remove_client

__all__ = ["removed_key"]


def removed_key(folder: Path) -> Outcome:
    """A connection that was silent until its key had been removed subscribes then."""
    with Target(folder, keys=True) as target:
        silent = client_socket(zmq.SUB, target.ends.alarms, target.viewer)
        connected = silent.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        silent.disconnect(target.ends.alarms)
        silent.connect(target.ends.alarms)
        connected.poll(10_000)
        remove_client(target.keys, "ward-3")
        time.sleep(3.0)
        silent.subscribe(b"v1/")
        received = 0
        end_s = time.monotonic() + 5.0
        while time.monotonic() < end_s:
            if silent.poll(100):
                silent.recv_multipart()
                received += 1
        silent.disable_monitor()
        connected.close(0)
        silent.close(0)
        what = "a connection that was silent until its key had been removed subscribes"
        return target.outcome(what, f"it receives {received} messages", good=not received)
