"""A ZMTP 3.1 peer without ZeroMQ (https://rfc.zeromq.org/spec/37/): it sends what no ZeroMQ socket would send."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

__all__ = ["RawPeer", "command", "message"]

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
_LONG, _COMMAND = 2, 4  # flags of a frame


def message(body: bytes) -> bytes:
    """One message of one frame, on the wire."""
    return _frame(0, body)


def command(name: bytes, data: bytes = b"") -> bytes:
    """One command, on the wire."""
    return _frame(_COMMAND, bytes([len(name)]) + name + data)


class RawPeer:
    """Connects without a key as a socket of the type `kind`, e.g. `SUB`; a context manager."""

    def __init__(self, endpoint: str, kind: bytes) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self._tcp = socket.create_connection((host, int(port)), 10.0)
        self._tcp.sendall(_GREETING)
        self._receive(64)
        self._tcp.sendall(command(b"READY", b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind))
        _flags, size = self._receive(2)
        self._receive(size)  # its READY

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._tcp.close()

    def send(self, wire: bytes) -> bool:
        """Send bytes; False if the monitor has closed the connection."""
        try:
            self._tcp.sendall(wire)
        except OSError:
            return False
        return True

    def _receive(self, count: int) -> bytes:
        got = b""
        while len(got) < count and (piece := self._tcp.recv(count - len(got))):
            got += piece
        return got


def _frame(flags: int, body: bytes) -> bytes:
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | _LONG]) + struct.pack(">Q", len(body)) + body
