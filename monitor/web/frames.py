"""Frames of the WebSocket between server and page. Pure.

Server to page:

- a message of the bus: text, `<monitor> <topic>\n<body>`; the body is the JSON of the bus, unchanged. `<monitor>` is
  the number of the monitor, from 0.
- a wave: binary; byte 0 the monitor, byte 1 zero, bytes 2 and 3 the length of the header (little-endian), the JSON
  header of the bus, zeros up to a multiple of 4, then float32 little-endian mV, row by row.
- a message of the server itself: text, `*\n<JSON>` with a field `type`: `hello`; `connection`, at least twice a second
  for each monitor, with the run of the monitor and the time of the server; `current`, after the present state;
  `recovered`, once a page has all alarms that it missed; `position`, up to which it then has them; `reply`.

Page to server: text, one JSON object, see PageRequest.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from monitor.client.positions import Position

__all__ = ["MAX_REQUEST_BYTES", "PageRequest", "decode_request", "own_frame", "text_frame", "wave_frame"]

MAX_REQUEST_BYTES = 524_288  # a position of 4,000 beds
_MAX_BEDS = 4096

Text = Annotated[str, Meta(max_length=256)]
Number = Annotated[int, Meta(ge=0, le=255)]


class PageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request of a page.

    Attributes:
        op: `start`: the first request, once; `view`: beds whose waves, beats and events the page wants from now on;
            `acknowledge`, `pause_audio`, `strip`: as on the control socket of the bus.
        id: comes back with the reply.
        monitor: number of the monitor.
        waves, beats: `view`: `[monitor, bed]` pairs.
        have: `start`: per monitor, the position up to which the page has all alarms.
        bed, alarm_id, seconds, first_sample, n: as on the control socket.
        who: name of the person at the page, for the journal.
    """

    op: Literal["start", "view", "acknowledge", "pause_audio", "strip"]
    id: Annotated[int, Meta(ge=0)] = 0
    monitor: Number = 0
    waves: Annotated[tuple[tuple[Number, Text], ...], Meta(max_length=_MAX_BEDS)] = ()
    beats: Annotated[tuple[tuple[Number, Text], ...], Meta(max_length=_MAX_BEDS)] = ()
    have: dict[Text, Position] = {}
    bed: Text = ""
    alarm_id: Text = ""
    seconds: Annotated[float, Meta(ge=0, le=120)] = 0.0
    first_sample: int | None = None
    n: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    who: Annotated[str, Meta(max_length=64)] = ""


_decoder = msgspec.json.Decoder(PageRequest)


def decode_request(text: str) -> PageRequest:
    """Parse a request of a page.

    Raises:
        ValueError: no such request (msgspec's errors are ValueErrors).
    """
    return _decoder.decode(text)


def text_frame(monitor: int, topic: str, body: bytes) -> str:
    """Frame of a message of the bus."""
    return f"{monitor} {topic}\n{body.decode()}"


def wave_frame(monitor: int, header: bytes, samples: bytes) -> bytes:
    """Frame of a wave."""
    padding = -(4 + len(header)) % 4
    return struct.pack("<BBH", monitor, 0, len(header)) + header + bytes(padding) + samples


def own_frame(kind: str, **fields: Any) -> str:
    """Frame of a message of the server itself."""
    return "*\n" + msgspec.json.encode({"type": kind, **fields}).decode()
