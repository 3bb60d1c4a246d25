"""ProtoCentral's OpenView packets: boards, parser, encoder. Pure.

Source of the layouts: github.com/Protocentral/protocentral_openview, lib/boards/decoders/*.dart and docs, and the
firmware named at each payload.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.sources.serial.packets import FixedPacket, rows_of

__all__ = ["ADS1292R", "HEALTHYPI5_BATCH", "MAX30003", "OPENVIEW", "Field", "OpenView", "Payload", "foreign_openview"]


class Field(NamedTuple):
    """A signed little-endian number in a payload: its first byte, and its width in bytes (2 or 4)."""

    at: int
    width: int


class Payload(NamedTuple):
    """Payload of a device's OpenView packet.

    Attributes:
        size: bytes.
        fields: its channels, ECG first.
        type: packet type.
        batch: samples of the first channel in a packet, one after the other.
        between: (size, type) of packets of another signal that the device sends between, which hold no ECG.
        newer: payload by which newer firmware sends the same channels; None = there is none.
    """

    size: int
    fields: tuple[Field, ...]
    type: int = 2
    batch: int = 1
    between: tuple[tuple[int, int], ...] = ()
    newer: Payload | None = None


ADS1292R: Final = Payload(9, (Field(0, 2), Field(2, 2)))  # ECG, respiration; then rates, not read
MAX30003: Final = Payload(17, (Field(5, 4),))  # its sketch fills bytes 5 to 16: ECG, RR interval, heart rate
# github.com/Protocentral/protocentral_healthypi_v4, Healthypiv4_Arduino.ino (also v3): ECG and respiration int16, PPG
# infrared and red int32, temperature, rates, SpO2, status.
HEALTHYPI4: Final = Payload(20, (Field(0, 2), Field(2, 2), Field(4, 4), Field(8, 4)))
# github.com/Protocentral/protocentral_healthypi5_zephyr, data_module.c, from firmware 1.0 on: 8 ECG and 4 respiration
# values and two rates (type 3), PPG packets between (type 4).
HEALTHYPI5_BATCH: Final = Payload(50, (Field(0, 4),), 3, 8, ((19, 4),))
# The same file before: ECG, respiration, a flag, PPG red and infrared, temperature, rates.
HEALTHYPI5: Final = Payload(22, (Field(0, 4),), newer=HEALTHYPI5_BATCH)

OPENVIEW: Final[dict[str, Payload]] = {
    "openview": ADS1292R,
    "openview-max30003": MAX30003,
    "healthypi4": HEALTHYPI4,
    "healthypi5": HEALTHYPI5,
}


class OpenView(FixedPacket):
    """0A FA, payload length (little-endian uint16), type, payload, 00 0B.

    No counter and no checksum: a lost packet cannot be detected here. Leads off is a row of zeros. Packets of another
    type or length than the device's are skipped.

    Source: github.com/Protocentral/protocentral-ads1292r-arduino, examples/02-ecg-plot-openview, and
    github.com/Protocentral/protocentral_max30003, examples/Example1-ECG-stream-Openview; for the others see above.

    Args:
        payload: payload of the device, one of OPENVIEW.
    """

    def __init__(self, payload: Payload = ADS1292R) -> None:
        self._payload = payload
        super().__init__(len(payload.fields), payload.size + 7, b"\x0a\xfa", (range(1), range(0x0B, 0x0C)), None)
        known = [payload] if payload.newer is None else [payload, payload.newer]
        self._start = _start(payload.size, payload.type)
        self._read = {_start(each.size, each.type): each for each in known}
        between = {_start(size, kind): size + 7 for each in known for size, kind in each.between}
        self._sizes = {start: each.size + 7 for start, each in self._read.items()} | between

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the bytes for `samples`, (n, channels) ADC counts, n a multiple of the batch; there is no counter."""
        del counter
        layout = self._payload
        packets = bytearray()
        rows = rows_of(samples, self.channels, -(2**31), 2**31 - 1).tolist()
        if len(rows) % layout.batch:
            raise ValueError(f"{len(rows)} samples: a packet holds {layout.batch}")
        for first in range(0, len(rows), layout.batch):
            payload = bytearray(layout.size)
            for place, row in enumerate(rows[first : first + layout.batch]):
                for (at, width), value in zip(layout.fields, row, strict=True):
                    if not -(1 << 8 * width - 1) <= value < 1 << 8 * width - 1:
                        raise ValueError(f"sample {value} does not fit {width} bytes")
                    begin = at + place * width
                    payload[begin : begin + width] = value.to_bytes(width, "little", signed=True)
            packets += self._start + payload + b"\x00\x0b"
        return bytes(packets)

    def _size_at(self, stream: bytes, at: int) -> int | None:
        start = stream[at : at + len(self._start)]
        if len(start) < len(self._start):
            return None
        return self._sizes.get(start, 0)

    def _is_read(self, packet: bytes) -> bool:
        return packet[:5] in self._read

    def _decode(self, packets: list[bytes]) -> NDArray[np.int64]:
        decoded = [np.empty((0, self.channels), dtype=np.int64)]
        for start, group in itertools.groupby(packets, lambda packet: packet[:5]):
            layout = self._read[start]
            rows = np.frombuffer(b"".join(group), dtype=np.uint8).reshape(-1, layout.size + 7)
            columns = []
            for at, width in layout.fields:
                span = rows[:, 5 + at : 5 + at + width * layout.batch]
                columns.append(np.ascontiguousarray(span).view(f"<i{width}").astype(np.int64).ravel())
            decoded.append(np.stack(columns, axis=1))
        return np.concatenate(decoded)


def foreign_openview(data: bytes) -> str:
    """Name the payload of packets in this frame that are none of OPENVIEW; empty where there are none."""
    found = Counter(re.findall(rb"\x0a\xfa(..)(.)", data, re.DOTALL))
    if not found:
        return ""
    ((length, kind), n), size = found.most_common(1)[0], 0
    size = int.from_bytes(length, "little")
    if n < 3 or not 0 < size < 512 or n * (size + 7) < 0.5 * len(data):
        return ""
    return f"ProtoCentral packets of type {kind[0]} with {size} bytes, a board whose ECG is not known"


def _start(size: int, kind: int) -> bytes:
    return b"\x0a\xfa" + size.to_bytes(2, "little") + bytes([kind])
