"""Binary packets of serial ECG devices: parsers from bytes to ADC counts, and the encoders. Pure.

The result of a parser does not depend on the pieces in which it gets the stream. It never raises on bytes. Bytes
outside packets are skipped and counted. The device's counter is returned unchanged: `SampleClock` finds losses from it
and the time. `encode` returns the bytes that a device sends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Chords",
    "FixedPacket",
    "Olimex",
    "PacketParser",
    "Parsed",
    "Raw16",
    "rows_of",
]


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

    counter_values = 256  # the counter starts again after this number of samples

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._rest = b""

    def select(self, *channels: int) -> None:
        """Announce the channels that are read, from 0: where packets differ, only those with them are returned.

        Raises:
            ValueError: no packet has all of them; part of a sentence.
        """

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


class FixedPacket(PacketParser):
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
            size = self._size_at(stream, at)
            if size is None or len(stream) - at < size:
                break
            good = size > 0 and self._is_packet(stream, at, size)
            if good and confirm:
                if len(stream) - at < 2 * size:
                    break
                good = self._is_packet(stream, at + size, size) and self._follows(stream, at)
            self._in_step = good
            if good:
                packet = stream[at : at + size]
                packets += [packet] if self._is_read(packet) else []
                at += size
            else:
                skipped += 1
                at += 1
        self._rest = stream[at:]
        return Parsed(self._decode(packets), self._counters(packets), skipped)

    def _counters(self, packets: list[bytes]) -> NDArray[np.int64] | None:
        """The device's counter of each packet, (n,); None if the format has none."""
        place = self._counter_at
        return None if place is None else np.array([packet[place] for packet in packets], dtype=np.int64)

    def _candidate(self, stream: bytes, at: int) -> int:
        """Return the first position from `at` on where a packet may begin."""
        found = stream.find(self._head, at)
        if found >= 0:
            return found
        for kept in range(min(len(self._head) - 1, len(stream) - at), 0, -1):  # a head may be cut
            if stream.endswith(self._head[:kept]):
                return len(stream) - kept
        return len(stream)

    def _size_at(self, stream: bytes, at: int) -> int | None:
        """Bytes of the packet that may begin at `at`; 0 = none begins, None = too few bytes to know."""
        return None if at >= len(stream) else self._size

    def _is_read(self, packet: bytes) -> bool:
        """Whether a valid packet holds samples; False: it is skipped, and not counted."""
        del packet
        return True

    def _is_packet(self, stream: bytes, at: int, size: int) -> bool:
        end = at + size
        tail = stream[end - len(self._tail) : end]
        return stream.startswith(self._head, at) and all(b in ok for b, ok in zip(tail, self._tail, strict=True))

    def _follows(self, stream: bytes, at: int) -> bool:
        if self._counter_at is None:
            return True
        at += self._counter_at
        return stream[at + self._size] == (stream[at] + 1) % 256

    def _bytes(self, packets: list[bytes]) -> NDArray[np.uint8]:
        """Packets of one size as (n, size) uint8."""
        return np.frombuffer(b"".join(packets), dtype=np.uint8).reshape(-1, self._size)

    def _decode(self, packets: list[bytes]) -> NDArray[np.int64]:
        raise NotImplementedError


class Chords(FixedPacket):
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
        rows = rows_of(samples, self.channels, 0, 65_535)
        return b"".join(
            self._head + bytes([(counter + i) % 256]) + row.astype(">u2").tobytes() + b"\x01"
            for i, row in enumerate(rows)
        )

    def _decode(self, packets: list[bytes]) -> NDArray[np.int64]:
        return np.ascontiguousarray(self._bytes(packets)[:, 3:-1]).view(">u2").astype(np.int64)


class Olimex(FixedPacket):
    """Packets of the Olimex EKG-EMG shield's sketch and of OpenEEG's P2 protocol, 17 bytes.

    A5 5A, version 2, counter, 6 big-endian uint16 (10 bits), switches. The last byte is the state of four pins; only
    its lower half is used.

    Source: github.com/OLIMEX/SHIELD-EKG-EMG, ShieldEkgEmgDemo.ino (struct Olimexino328_packet, 256 Hz, 57600 baud);
    github.com/logston/olimex-ekg-emg, olimex/exg.py, reads it likewise.
    """

    def __init__(self) -> None:
        super().__init__(6, 17, b"\xa5\x5a\x02", (range(16),), 3)

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the bytes for `samples`, (n, 6) from 0 to 65535, the first with this counter."""
        rows = rows_of(samples, self.channels, 0, 65_535)
        return b"".join(
            self._head + bytes([(counter + i) % 256]) + row.astype(">u2").tobytes() + b"\x01"
            for i, row in enumerate(rows)
        )

    def _decode(self, packets: list[bytes]) -> NDArray[np.int64]:
        return np.ascontiguousarray(self._bytes(packets)[:, 4:-1]).view(">u2").astype(np.int64)


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
        return rows_of(samples, self.channels, -32_768, 32_767).astype("<i2").tobytes()


def rows_of(samples: NDArray[np.int64], channels: int, low: int, high: int) -> NDArray[np.int64]:
    """Return `samples` as (n, channels), all from `low` to `high`; ValueError otherwise."""
    rows = np.asarray(samples, dtype=np.int64)
    if rows.ndim != 2 or rows.shape[1] != channels:
        raise ValueError(f"samples of shape {rows.shape}: (n, {channels}) wanted")
    if rows.size and (rows.min() < low or rows.max() > high):
        raise ValueError(f"samples from {rows.min()} to {rows.max()}: the format takes {low} to {high}")
    return rows
