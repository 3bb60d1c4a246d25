"""OpenBCI Cyton's packets, with and without the Daisy module: parsers, encoders, and which of the two it is. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.sources.serial.packets import FixedPacket, rows_of

__all__ = ["Cyton", "CytonDaisy", "is_interleaved"]


class Cyton(FixedPacket):
    """OpenBCI Cyton's packets of 33 bytes: A0, counter, 8 big-endian int24, 6 auxiliary bytes, C0 to CF.

    Two fixed bytes are few, and A0 is common in samples: while out of step, two packets in a row must agree. So the
    last packet of a stream is returned only in step. The auxiliary bytes are not read. With the Daisy module, see
    CytonDaisy.

    Source: docs.openbci.com/Cyton/CytonDataFormat.
    """

    def __init__(self) -> None:
        super().__init__(8, 33, b"\xa0", (range(0xC0, 0xD0),), 1, confirm=True)

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the bytes for `samples`, (n, 8) from -8388608 to 8388607, the first with this counter."""
        rows = rows_of(samples, self.channels, -(2**23), 2**23 - 1)
        return b"".join(
            self._head
            + bytes([(counter + i) % 256])
            + b"".join(value.to_bytes(3, "big", signed=True) for value in row)
            + bytes(6)
            + b"\xc0"
            for i, row in enumerate(rows.tolist())
        )

    def _decode(self, packets: list[bytes]) -> NDArray[np.int64]:
        parts = self._bytes(packets)[:, 2:26].reshape(-1, 8, 3).astype(np.int64)
        counts = parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2]
        return (counts ^ 1 << 23) - (1 << 23)  # sign of 24 bits


class CytonDaisy(Cyton):
    """Cyton with the Daisy module: packets of two boards in turn, 16 channels, each board at half the packets' rate.

    Packets with an odd counter hold channels 0 to 7 (Cyton), those with an even one 8 to 15 (Daisy); only those of the
    selected channels' board are returned, with 0 in the channels of the other one. The counter of a board's samples has
    7 bits.

    Source: docs.openbci.com/Cyton/CytonDataFormat, section 16 channels; BrainFlow's cyton_daisy.cpp reads it likewise.
    """

    counter_values = 128

    def __init__(self) -> None:
        super().__init__()
        self.channels = 16
        self._is_daisy = False

    def select(self, *channels: int) -> None:
        """Announce the channels that are read, from 0.

        Raises:
            ValueError: they are of both boards, which send in turn.
        """
        boards = {channel >= 8 for channel in channels}
        if len(boards) > 1:
            raise ValueError("channels 0 to 7 and 8 to 15 are of two boards, which send in turn; give two of one board")
        self._is_daisy = boards == {True}

    def encode(self, samples: NDArray[np.int64], counter: int = 0) -> bytes:
        """Return the two packets of each of `samples`, (n, 16); the first pair has the counters 2 * counter and + 1."""
        rows = rows_of(samples, 16, -(2**23), 2**23 - 1)
        boards = np.stack((rows[:, 8:], rows[:, :8]), axis=1).reshape(-1, 8)  # Daisy, Cyton, Daisy, ...
        return Cyton().encode(boards, 2 * counter % 256)

    def _is_read(self, packet: bytes) -> bool:
        return packet[1] % 2 == (0 if self._is_daisy else 1)

    def _counters(self, packets: list[bytes]) -> NDArray[np.int64]:
        return np.array([packet[1] // 2 for packet in packets], dtype=np.int64)

    def _decode(self, packets: list[bytes]) -> NDArray[np.int64]:
        samples = np.zeros((len(packets), 16), dtype=np.int64)  # channels of the other board stay 0
        samples[:, 8 if self._is_daisy else 0 :][:, :8] = super()._decode(packets)
        return samples


def is_interleaved(samples: NDArray[np.int64], counters: NDArray[np.int64]) -> bool:
    """Whether packets of a Cyton alternate between two boards.

    The electrode offsets of the boards differ, so a channel jumps from packet to packet and is smooth over two.

    Args:
        samples: (n, 8) counts.
        counters: (n,) counters of the packets.
    """
    follows = (np.diff(counters[:-1]) % 256 == 1) & (np.diff(counters[1:]) % 256 == 1)
    if follows.sum() < 20:
        return False
    near = np.median(np.abs(np.diff(samples, axis=0))[:-1][follows], axis=0)
    far = np.median(np.abs(samples[2:] - samples[:-2])[follows], axis=0)
    return bool(np.sum(near > 2 * far + 1) >= 4)
