"""Sample formats of WFDB signal files, by signal(5) of the WFDB manual (https://wfdb.io/spec/signal-files.html).

Any range of samples is read without the samples before it, except in format 8, which stores differences: it is summed
up from the start of the file. wfdb (4.3) and the C library begin each piece at the initial value, a step in the signal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import first_line

__all__ = ["FLAC_BITS", "FORMATS", "DifferenceReader", "FlacFile", "PlainFile"]

Counts = NDArray[np.int64]
Octets = NDArray[np.uint8]

BLOCK_BYTES = 1_048_576  # read at once: a frame may hold thousands of samples of other signals


def _little(dtype: str, middle: int = 0) -> Callable[[Octets], Counts]:
    """Decoder of whole numbers of a numpy dtype, whose 0 is stored as `middle`."""
    return lambda octets: octets.view(dtype).astype(np.int64) - middle


def _bits_24(octets: Octets) -> Counts:
    low, middle, high = (octets[i::3].astype(np.int64) for i in range(3))
    return _signed(low | middle << 8 | high << 16, 24)


def _bits_12(octets: Octets) -> Counts:
    """Two samples in three bytes."""
    first, shared, second = (octets[i::3].astype(np.int64) for i in range(3))
    return _signed(_interleave(first | (shared & 0x0F) << 8, second | (shared & 0xF0) << 4), 12)


def _bits_10_high(octets: Octets) -> Counts:
    """Format 310: three samples in two little-endian words, the third in their upper five bits; bit 0 is not used."""
    one, two = (octets.view("<u2")[i::2].astype(np.int64) for i in range(2))
    return _signed(_interleave(one >> 1 & 0x3FF, two >> 1 & 0x3FF, one >> 11 | two >> 11 << 5), 10)


def _bits_10_low(octets: Octets) -> Counts:
    """Format 311: three samples in the lower 30 bits of a little-endian word."""
    word = octets.view("<u4").astype(np.int64)
    return _signed(_interleave(word & 0x3FF, word >> 10 & 0x3FF, word >> 20 & 0x3FF), 10)


def _interleave(*columns: Counts) -> Counts:
    return np.stack(columns, axis=1).reshape(-1)


def _signed(values: Counts, bits: int) -> Counts:
    """Two's complement of `bits` bits."""
    half = 1 << (bits - 1)
    return (values + half) % (2 * half) - half


@dataclass(frozen=True, slots=True)
class Format:
    """How a file stores samples.

    Attributes:
        decode: whole blocks of bytes -> samples.
        invalid: count that marks a sample without a value; None = there is none.
        cuts: cuts[i] = bytes of the first i samples of a block; the last is the whole block.
    """

    decode: Callable[[Octets], Counts]
    invalid: int | None
    cuts: tuple[int, ...]

    def bytes_of(self, samples: int) -> int:
        """Bytes of the first `samples` samples."""
        blocks, rest = divmod(samples, len(self.cuts) - 1)
        return blocks * self.cuts[-1] + self.cuts[rest]

    def samples_in(self, size: int) -> int:
        """Whole samples in `size` bytes."""
        blocks, rest = divmod(max(0, size), self.cuts[-1])
        return blocks * (len(self.cuts) - 1) + sum(cut <= rest for cut in self.cuts[1:-1])


FORMATS = {
    "8": Format(_little("i1"), None, (0, 1)),
    "16": Format(_little("<i2"), -(1 << 15), (0, 2)),
    "24": Format(_bits_24, -(1 << 23), (0, 3)),
    "32": Format(_little("<i4"), -(1 << 31), (0, 4)),
    "61": Format(_little(">i2"), -(1 << 15), (0, 2)),
    "80": Format(_little("u1", 128), -128, (0, 1)),
    "160": Format(_little("<u2", 32768), -(1 << 15), (0, 2)),
    "212": Format(_bits_12, -(1 << 11), (0, 2, 3)),
    "310": Format(_bits_10_high, -(1 << 9), (0, 2, 4, 4)),
    "311": Format(_bits_10_low, -(1 << 9), (0, 2, 3, 4)),
}
FLAC_BITS = {"508": 8, "516": 16, "524": 24}


class PlainFile:
    """Samples of a group of signals in a file of one of FORMATS, frame by frame.

    Args:
        file: the file.
        data_format: key of FORMATS.
        offset: bytes before the first sample.
        per_frame: samples of each signal in a frame.

    Raises:
        OSError: the file cannot be read; also from `read`.
    """

    def __init__(self, file: Path, data_format: str, offset: int, per_frame: list[int]) -> None:
        self._file, self._format, self._offset = file, FORMATS[data_format], offset
        self._per_frame, self._width = per_frame, sum(per_frame)
        self.size = file.stat().st_size
        self.frames = self._format.samples_in(self.size - offset) // self._width
        self.invalid = self._format.invalid

    def shortage(self, frames: int) -> str:
        """What is missing for `frames` frames, for an error."""
        needed = self._offset + self._format.bytes_of(frames * self._width)
        return f"holds {self.size} bytes, its header promises {needed}"

    def read(self, column: int, start: int, stop: int) -> Counts:
        """Read samples `start` to `stop` of signal `column` of the group; fewer where the file has become shorter."""
        each, left = self._per_frame[column], sum(self._per_frame[:column])
        first, last = start // each, -(-stop // each)
        step = max(1, BLOCK_BYTES // max(1, self._format.bytes_of(self._width)))
        pieces = [np.empty(0, dtype=np.int64)]
        with self._file.open("rb") as opened:
            for frame in range(first, last, step):
                samples = self._samples(opened, frame * self._width, min(last, frame + step) * self._width)
                frames = samples[: samples.size // self._width * self._width].reshape(-1, self._width)
                pieces.append(frames[:, left : left + each].reshape(-1))
        return np.concatenate(pieces)[start - first * each : stop - first * each]

    def _samples(self, opened: Any, start: int, stop: int) -> Counts:
        """Read samples `start` to `stop` of the file, all signals interleaved."""
        in_block, block_bytes = len(self._format.cuts) - 1, self._format.cuts[-1]
        block = start // in_block
        opened.seek(self._offset + block * block_bytes)
        octets = opened.read(self._format.bytes_of(stop) - block * block_bytes)
        there = self._format.samples_in(len(octets))
        octets += bytes(-len(octets) % block_bytes)
        decoded = self._format.decode(np.frombuffer(octets, dtype=np.uint8))
        return decoded[start - block * in_block : min(stop - block * in_block, there)]


class FlacFile:
    """Samples of a group of signals in a FLAC file, one channel a signal; all have as many samples in a frame.

    Args:
        file: the file.
        data_format: key of FLAC_BITS.
        offset: samples before the first one of the record.
        per_frame: samples of each signal in a frame.

    Raises:
        OSError: the file cannot be read; also from `read`.
        ValueError: it is no FLAC file of these signals.
    """

    def __init__(self, file: Path, data_format: str, offset: int, per_frame: list[int]) -> None:
        self._file, self._offset = file, offset
        if len(set(per_frame)) > 1:
            raise ValueError("its signals have different numbers of samples a frame, which FLAC cannot store")
        self.size = file.stat().st_size
        with self._open() as opened:
            if opened.channels != len(per_frame):
                raise ValueError(f"it holds {opened.channels} channels, its header describes {len(per_frame)} signals")
            bits = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}.get(opened.subtype, 99)
            if bits > FLAC_BITS[data_format]:
                raise ValueError(f"its samples are {opened.subtype}, its header says format {data_format}")
            self._shift = 32 - bits
            self.frames = max(0, opened.frames - offset) // per_frame[0]
        self.invalid = -(1 << (FLAC_BITS[data_format] - 1))

    def shortage(self, frames: int) -> str:
        """What is missing for `frames` frames, for an error."""
        return f"holds {self.frames} frames, its header promises {frames}"

    def read(self, column: int, start: int, stop: int) -> Counts:
        """Read samples `start` to `stop` of signal `column`; fewer where the file has become shorter."""
        pieces = [np.empty(0, dtype=np.int64)]
        with self._open() as opened:
            step = max(1, BLOCK_BYTES // opened.channels)
            opened.seek(min(start + self._offset, opened.frames))
            for first in range(start, stop, step):
                samples = opened.read(min(step, stop - first), dtype="int32", always_2d=True)
                pieces.append(samples[:, column].astype(np.int64) >> self._shift)
        return np.concatenate(pieces)

    def _open(self) -> Any:
        import soundfile

        try:
            return soundfile.SoundFile(str(self._file))
        except soundfile.SoundFileError as error:
            raise ValueError(f"no FLAC file ({first_line(error)})") from None


class DifferenceReader:
    """Samples of one signal of a file of format 8, summed up from its start.

    Args:
        read: (start, stop) -> differences.
        initial: count before the first difference.
    """

    def __init__(self, read: Callable[[int, int], Counts], initial: int) -> None:
        self._read, self._initial = read, initial
        self._at, self._value = 0, initial

    def __call__(self, start: int, stop: int) -> Counts:
        """Read samples `start` to `stop`; fewer where the file has become shorter."""
        if start < self._at:
            self._at, self._value = 0, self._initial
        while self._at < start:
            differences = self._read(self._at, min(start, self._at + BLOCK_BYTES))
            if not differences.size:
                break
            self._at, self._value = self._at + differences.size, self._value + int(differences.sum())
        samples = self._value + np.cumsum(self._read(start, stop))
        if samples.size:
            self._at, self._value = start + samples.size, int(samples[-1])
        return samples
