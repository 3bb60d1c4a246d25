r"""Messages between `ecg-monitor emulate` and `ble:@HOST:PORT`: what Bluetooth carries, in lines of JSON over TCP.

To the emulator: `scan`, or `connect` and then `read`, `write`, `follow`, `unfollow` (each with an `id`), and `got` for
each `value` that was handed on. From it: `seen` (an advertisement), `services`, `done` (to an `id`) and `value`.
The end of the TCP connection is the loss of the Bluetooth connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

__all__ = ["MAX_LINE", "Lines", "Message", "Services", "line_of", "parse_endpoint"]

MAX_LINE: Final = 65_536  # bytes
Services = dict[str, dict[str, list[str]]]  # service -> characteristic -> properties
Kind = Literal["scan", "connect", "read", "write", "follow", "unfollow", "got", "seen", "services", "done", "value"]


class Message(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One message; only what its kind needs is set.

    Attributes:
        kind: see above.
        id: of a request and its answer.
        uuid: characteristic.
        value: bytes written, read or sent.
        error: of `done`: error code of the attribute protocol; 0 = done.
        name, address: of `seen`.
        services: of `services`.
    """

    kind: Kind
    id: int = 0
    uuid: str = ""
    value: bytes = b""
    error: int = 0
    name: str = ""
    address: str = ""
    services: Services = {}


class Lines:
    """Messages from bytes in any pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._decoder = msgspec.json.Decoder(Message)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that `data` completes.

        Raises:
            ValueError: a line is no message, or has more than MAX_LINE bytes.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield self._decoder.decode(line)  # msgspec's errors are ValueErrors
        if len(self._rest) > MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE} bytes")


def line_of(message: Message) -> bytes:
    r"""A message as a line.

    >>> line_of(Message("value", uuid="2a19", value=b"P"))
    b'{"kind":"value","uuid":"2a19","value":"UA=="}\n'
    """
    return msgspec.json.encode(message) + b"\n"


def parse_endpoint(text: str) -> tuple[str, int] | None:
    """Host and port of `HOST:PORT` or `tcp://HOST:PORT`; None for another text.

    >>> [parse_endpoint(text) for text in ("127.0.0.1:7000", "tcp://localhost:0", "[::1]:7000", "Polar H10", "x:70000")]
    [('127.0.0.1', 7000), ('localhost', 0), ('::1', 7000), None, None]
    """
    host, colon, port = text.strip().removeprefix("tcp://").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        return None
    return host, int(port)
