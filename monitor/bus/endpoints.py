"""Endpoints of the bus: three ZeroMQ endpoints derived from one, and errors of `bind`."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import zmq

from monitor.errors import BusError, PortInUse

__all__ = [
    "BusEndpoints",
    "bind_error",
    "check_ipc",
    "endpoints_from",
    "is_loopback",
    "listen_alone",
    "refuse_live_ipc",
]

EXAMPLES = "e.g. tcp://127.0.0.1:5556 or ipc:///run/user/1000/ecg"
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class BusEndpoints:
    """The three endpoints of one monitor; for their content see BusSockets."""

    alarms: str
    waves: str
    control: str


def endpoints_from(connect: str) -> BusEndpoints:
    """Derive all three endpoints from that of the alarms, the only one that a user gives.

    TCP: waves and control are the two ports after it; port `0` or `*` gives three free ports (only to bind).
    IPC: the same path with `.waves` and `.control` added.

    Args:
        connect: `tcp://HOST:PORT` or `ipc://PATH`.

    Raises:
        BusError: not of that form, or no two ports after it; `ipc://` on Windows.

    >>> endpoints_from("tcp://127.0.0.1:7000").control
    'tcp://127.0.0.1:7002'
    >>> endpoints_from("ipc:///run/ecg").waves
    'ipc:///run/ecg.waves'
    """
    check_ipc(connect)
    if connect.startswith("ipc://") and len(connect) > len("ipc://"):
        return BusEndpoints(connect, f"{connect}.waves", f"{connect}.control")
    host, port = _split_tcp(connect)
    if port in ("*", "0"):
        return BusEndpoints(*(f"tcp://{host}:*",) * 3)
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= len(str(LAST_PORT)) else 0
    if not 1 <= number <= LAST_PORT - 2:
        raise BusError(
            f"endpoint {connect!r}: port {port!r} must be 1 to {LAST_PORT - 2} "
            f"(the two ports after it carry waves and control)"
        )
    return BusEndpoints(*(f"tcp://{host}:{number + step}" for step in range(3)))


def check_ipc(endpoint: str) -> None:
    """Check that this system has `ipc://`; Python has no Unix sockets on Windows.

    Raises:
        BusError: it has not.
    """
    if sys.platform == "win32" and endpoint.startswith("ipc://"):
        raise BusError(f"endpoint {endpoint!r}: Windows has no ipc://; give a TCP port, e.g. tcp://127.0.0.1:5556")


def listen_alone(sock: socket.socket) -> None:
    """Set, before `bind`, that no other program shares the port, and that a port just closed can be used again.

    The option for the second is SO_REUSEADDR; on Windows it would let two programs listen on one port.
    """
    if sys.platform == "win32":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def is_loopback(endpoint: str) -> bool:
    """Whether only this machine can connect to an endpoint; always true of `ipc://` and `inproc://`.

    Raises:
        BusError: not an endpoint.
    """
    if endpoint.startswith(("ipc://", "inproc://")):
        return True
    host, _ = _split_tcp(endpoint)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a host name, an interface or `*`: other machines may reach it
        return False


def refuse_live_ipc(endpoint: str) -> None:
    """Check that no program listens on an `ipc://` path; ZeroMQ would silently take the path away from it.

    Raises:
        OSError: EADDRINUSE, a program listens there.
    """
    if sys.platform == "win32":
        return
    path = Path(endpoint.removeprefix("ipc://"))
    if not endpoint.startswith("ipc://") or not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return  # the socket file of a process that died
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def bind_error(place: str, error: Exception, remedy: str) -> BusError:
    """Explain in one line why `place`, the address as the user knows it, cannot be bound; PortInUse if it is in use.

    `remedy` says what the user can do, e.g. `give another port`.
    """
    code = getattr(error, "errno", None)
    # On Windows the numbers of libzmq are those of the C library, those of Python's sockets are others.
    if code in (errno.EADDRINUSE, zmq.EADDRINUSE):
        return PortInUse(f"{place} is in use by another program; {remedy}")
    why = f"cannot be bound ({error})"
    if code in (errno.EADDRNOTAVAIL, zmq.EADDRNOTAVAIL):
        why = "is not an address of this machine"
    elif code == errno.EACCES:
        why = "is not permitted"
    return BusError(f"{place} {why}; {remedy}")


def _split_tcp(endpoint: str) -> tuple[str, str]:
    """Split a TCP endpoint into host and port, both as written."""
    scheme, _, address = endpoint.partition("://")
    host, colon, port = address.rpartition(":")
    if scheme != "tcp" or not colon or not host or not port or any(c.isspace() or c == "/" for c in address):
        raise BusError(f"endpoint {endpoint!r} is not understood; give {EXAMPLES}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise BusError(f"endpoint {endpoint!r}: write an IPv6 address in brackets, e.g. tcp://[::1]:5556")
    return host, port
