"""Binary packets of serial ECG devices: parsers from bytes to ADC counts, and the encoders. Pure.

The result of a parser does not depend on the pieces in which it gets the stream. It never raises on bytes. Bytes
outside packets are skipped and counted. The device's counter is returned unchanged: `SampleClock` finds losses from it
and the time. `encode` returns the bytes that a device sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ADS1292R", "MAX30003", "Chords", "Cyton", "Field", "OpenView", "PacketParser", "Parsed", "Payload", "Raw16"]


@dataclass(frozen=True)
class Parsed:
    """Packets completed by one piece of the stream.

    Attributes:
        samples: ADC counts, (n, channels) int64; one row a packet.
        counters: the device's counter, (n,) int64 from 0 to 255; None if the format has none.
        skipped: bytes that belong to no packet.
    """

    samples: NDArray[np.int64]
    counters: NDArray[np.int64] | None
    skipped: int


class PacketParser:
    """Base class of all parsers.

    Args:
        channels: number of channels in a packet.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._rest = b""

    @property
    def pending(self) -> int:
        """Number of bytes kept as a possible beginning of a packet, fewer than two packets."""
        return len(self._rest)

    def restart(self) -> int:
        """Drop the kept bytes after a break of the stream; return their number."""
        kept, self._rest = len(self._rest), b""
        return kept

    def feed(self, data: bytes) -> Parsed:
        """Parse the next bytes of the stream, any number of them."""
        raise NotImplementedError

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the bytes for `samples`, (n, channels) ADC counts, the first with this counter.

        Raises:
            ValueError: a sample out of range.
        """
        raise NotImplementedError


class _Fixed(PacketParser):
    """Packets of one length that begin and end with known bytes.

    Args:
        channels: channels of a packet.
        size: bytes of a packet.
        head: its first bytes.
        tail: byte values allowed at its end, last byte last.
        counter_at: position of its counter; None without one.
        confirm: while out of step, accept a packet only if the next one follows it with the next counter. For formats
            whose few fixed bytes are common inside samples and could keep a parser out of step.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        head: bytes,
        tail: tuple[range, ...],
        counter_at: int | None,
        confirm: bool = False,
    ) -> None:
        super().__init__(channels)
        self._size, self._head, self._tail, self._counter_at, self._confirm = size, head, tail, counter_at, confirm
        self._in_step = False  # the last packet ended where the next must begin

    def restart(self) -> int:
        """Drop the kept bytes after a break of the stream; return their number."""
        self._in_step = False
        return super().restart()

    def feed(self, data: bytes) -> Parsed:
        """Parse the next bytes of the stream, any number of them."""
        stream, at, skipped, packets = self._rest + data, 0, 0, []
        while True:
            found = self._candidate(stream, at)
            skipped += found - at
            self._in_step = self._in_step and found == at
            at = found
            confirm = self._confirm and not self._in_step
            if len(stream) - at < self._size:
                break
            good = self._is_packet(stream, at)
            if good and confirm:
                if len(stream) - at < 2 * self._size:
                    break
                good = self._is_packet(stream, at + self._size) and self._follows(stream, at)
            self._in_step = good
            if good:
                packets.append(stream[at : at + self._size])
                at += self._size
            else:
                skipped += 1
                at += 1
        self._rest = stream[at:]
        rows = np.frombuffer(b"".join(packets), dtype=np.uint8).reshape(-1, self._size)
        counters = None if self._counter_at is None else rows[:, self._counter_at].astype(np.int64)
        return Parsed(self._decode(rows), counters, skipped)

    def _candidate(self, stream: bytes, at: int) -> int:
        """Return the first position from `at` on where a packet may begin."""
        found = stream.find(self._head, at)
        if found >= 0:
            return found
        for kept in range(min(len(self._head) - 1, len(stream) - at), 0, -1):  # a head may be cut
            if stream.endswith(self._head[:kept]):
                return len(stream) - kept
        return len(stream)

    def _is_packet(self, stream: bytes, at: int) -> bool:
        end = at + self._size
        tail = stream[end - len(self._tail) : end]
        return stream.startswith(self._head, at) and all(b in ok for b, ok in zip(tail, self._tail, strict=True))

    def _follows(self, stream: bytes, at: int) -> bool:
        if self._counter_at is None:
            return True
        at += self._counter_at
        return stream[at + self._size] == (stream[at] + 1) % 256

    def _decode(self, rows: NDArray[np.uint8]) -> NDArray[np.int64]:
        raise NotImplementedError


class Field(NamedTuple):
    """A signed little-endian number in a payload: its first byte, and its width in bytes (2 or 4)."""

    at: int
    width: int


class Payload(NamedTuple):
    """Payload of a device's OpenView packet: its size in bytes, and its channels, ECG first."""

    size: int
    fields: tuple[Field, ...]


ADS1292R = Payload(9, (Field(0, 2), Field(2, 2)))  # ECG, respiration; then rates, not read
MAX30003 = Payload(17, (Field(5, 4),))  # its sketch fills bytes 5 to 16: ECG, RR interval, heart rate


class OpenView(_Fixed):
    """ProtoCentral's packets: 0A FA, payload length (little-endian uint16), type 02, payload, 00 0B.

    No counter and no checksum: a lost packet cannot be detected here. Leads off is a row of zeros. Packets of another
    type or length than the device's are skipped.

    Source: github.com/Protocentral/protocentral-ads1292r-arduino, examples/02-ecg-plot-openview, and
    github.com/Protocentral/protocentral_max30003, examples/Example1-ECG-stream-Openview.

    Args:
        payload: payload of the device, `ADS1292R` or `MAX30003`.
    """

    def __init__(self, payload: Payload = ADS1292R) -> None:
        self._payload = payload
        head = b"\x0a\xfa" + payload.size.to_bytes(2, "little") + b"\x02"
        super().__init__(len(payload.fields), payload.size + 7, head, (range(1), range(0x0B, 0x0C)), None)

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the bytes for `samples`, (n, channels) ADC counts; the format has no counter."""
        del counter
        packets = bytearray()
        for row in _rows(samples, self.channels, -(2**31), 2**31 - 1).tolist():
            payload = bytearray(self._payload.size)
            for (at, width), value in zip(self._payload.fields, row, strict=True):
                if not -(1 << 8 * width - 1) <= value < 1 << 8 * width - 1:
                    raise ValueError(f"sample {value} does not fit {width} bytes")
                payload[at : at + width] = value.to_bytes(width, "little", signed=True)
            packets += self._head + payload + b"\x00\x0b"
        return bytes(packets)

    def _decode(self, rows: NDArray[np.uint8]) -> NDArray[np.int64]:
        columns = [
            np.ascontiguousarray(rows[:, 5 + at : 5 + at + width]).view(f"<i{width}")[:, 0].astype(np.int64)
            for at, width in self._payload.fields
        ]
        return np.stack(columns, axis=1)


class Chords(_Fixed):
    """Upside Down Labs' packets: C7 7C, counter, a big-endian uint16 a channel, 01.

    Source: github.com/CIumsy/Chords-Arduino-Firmware, UNO-R4/UNO-R4.ino (6 channels, 14 bits) and the other boards
    there; the packet does not contain the number of channels.

    Args:
        channels: channels of the board, 1 to 16 (3 NPG Lite, 6 Uno, 8 Nano, 16 Mega).

    Raises:
        ValueError: another number of channels.
    """

    def __init__(self, channels: int = 6) -> None:
        if not 1 <= channels <= 16:
            raise ValueError(f"channels {channels}: a Chords board has 1 to 16")
        super().__init__(channels, 2 * channels + 4, b"\xc7\x7c", (range(1, 2),), 2)

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the bytes for `samples`, (n, channels) from 0 to 65535, the first with this counter."""
        rows = _rows(samples, self.channels, 0, 65_535)
        return b"".join(
            self._head + bytes([(counter + i) % 256]) + row.astype(">u2").tobytes() + b"\x01"
            for i, row in enumerate(rows)
        )

    def _decode(self, rows: NDArray[np.uint8]) -> NDArray[np.int64]:
        return np.ascontiguousarray(rows[:, 3:-1]).view(">u2").astype(np.int64)


class Cyton(_Fixed):
    """OpenBCI Cyton's packets of 33 bytes: A0, counter, 8 big-endian int24, 6 auxiliary bytes, C0 to CF.

    Two fixed bytes are few, and A0 is common in samples: while out of step, two packets in a row must agree. So the
    last packet of a stream is returned only in step. The auxiliary bytes are not read. With the Daisy module, odd and
    even packets hold different channels; this class does not separate them.

    Source: docs.openbci.com/Cyton/CytonDataFormat.
    """

    def __init__(self) -> None:
        super().__init__(8, 33, b"\xa0", (range(0xC0, 0xD0),), 1, confirm=True)

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the bytes for `samples`, (n, 8) from -8388608 to 8388607, the first with this counter."""
        rows = _rows(samples, self.channels, -(2**23), 2**23 - 1)
        return b"".join(
            self._head
            + bytes([(counter + i) % 256])
            + b"".join(value.to_bytes(3, "big", signed=True) for value in row)
            + bytes(6)
            + b"\xc0"
            for i, row in enumerate(rows.tolist())
        )

    def _decode(self, rows: NDArray[np.uint8]) -> NDArray[np.int64]:
        parts = rows[:, 2:26].reshape(-1, 8, 3).astype(np.int64)
        counts = parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2]
        return (counts ^ 1 << 23) - (1 << 23)  # sign of 24 bits


class Raw16(PacketParser):
    """Little-endian int16 numbers with nothing between them, channel after channel.

    Nothing marks the beginning of a number: after one lost or added byte every number is wrong, which no parser can
    detect. All bytes are read as numbers, none is skipped. Only `restart` synchronises again.

    Args:
        channels: numbers in a sample, at least 1.

    Raises:
        ValueError: no channel.
    """

    def __init__(self, channels: int = 1) -> None:
        if channels < 1:
            raise ValueError(f"channels {channels}: at least 1")
        super().__init__(channels)

    def feed(self, data: bytes) -> Parsed:
        """Parse the next bytes of the stream, any number of them."""
        stream = self._rest + data
        whole = len(stream) - len(stream) % (2 * self.channels)
        self._rest = stream[whole:]
        samples = np.frombuffer(stream[:whole], dtype="<i2").astype(np.int64).reshape(-1, self.channels)
        return Parsed(samples, None, 0)

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the bytes for `samples`, (n, channels) from -32768 to 32767; the format has no counter."""
        del counter
        return _rows(samples, self.channels, -32_768, 32_767).astype("<i2").tobytes()


def _rows(samples: NDArray[np.int64], channels: int, low: int, high: int) -> NDArray[np.int64]:
    """Return `samples` as (n, channels), all from `low` to `high`; ValueError otherwise."""
    rows = np.asarray(samples, dtype=np.int64)
    if rows.ndim != 2 or rows.shape[1] != channels:
        raise ValueError(f"samples of shape {rows.shape}: (n, {channels}) wanted")
    if rows.size and (rows.min() < low or rows.max() > high):
        raise ValueError(f"samples from {rows.min()} to {rows.max()}: the format takes {low} to {high}")
    return rows
