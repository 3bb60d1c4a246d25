"""Check of a running monitor for `ecg-monitor doctor --connect`: whether it sends its heartbeat."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec

from monitor.commands.checks import Check
from monitor.errors import ClientError

__all__ = ["check_heartbeat"]

_PATIENCE_S: Final = 5.0  # wait for a heartbeat


def check_heartbeat(endpoint: str, key_file: Path | None) -> Check:
    """Whether the monitor at `endpoint` sends its heartbeat."""
    import zmq

    from monitor.bus.endpoints import endpoints_from
    from monitor.bus.keys import load_client_key
    from monitor.client.sockets import ClientSockets
    from monitor.messages import HeartbeatMessage

    endpoints = endpoints_from(endpoint)
    if "*" in endpoints.alarms:
        raise ClientError(f"--connect {endpoint}: give the port that the monitor prints when it starts")
    key = load_client_key(key_file) if key_file is not None else None
    sockets = ClientSockets(endpoints.alarms, endpoints.control, None, 1_000, key)
    try:
        sockets.alarms.setsockopt(zmq.SUBSCRIBE, b"v1/monitor/heartbeat/")
        until_s = time.monotonic() + _PATIENCE_S
        while (left_s := until_s - time.monotonic()) > 0:
            if sockets.alarms.poll(round(left_s * 1e3)) and len(frames := sockets.alarms.recv_multipart()) == 2:
                beat = msgspec.json.decode(frames[1], type=HeartbeatMessage)
                # The last one of a monitor that runs may be up to 1 s old; a goodbye is that of an ended one.
                if beat.state == "running":
                    beds = f"{len(beat.beds)} bed{'s' if len(beat.beds) != 1 else ''}"
                    return Check(
                        "heartbeat", "ok", f"{endpoint}: version {beat.version}, {beds}, {beat.uptime_s:.0f} s"
                    )
    except msgspec.DecodeError:
        return Check("heartbeat", "fail", f"{endpoint}: another program sends there", "give the --bus of the monitor")
    finally:
        sockets.close()
    return Check(
        "heartbeat",
        "fail",
        f"{endpoint}: none in {_PATIENCE_S:g} s",
        "start the monitor, give the --bus that it has, and --key FILE if it has --keys",
    )
