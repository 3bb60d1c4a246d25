"""WFDB files that grow while they are readable: 16-bit signal, header, MIT annotations.

`wfdb.wrsamp` and `wfdb.wrann` write whole files at the end, but a monitor may be killed before. Here every append is
one write at the end of a file, and the record on the disk is valid at any moment:

- a header without a length is legal (header(5) of the WFDB manual); readers take the length from the file size;
- the two zero bytes that end an annotation file are written with each annotation, over those of the one before.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.atomic_file import replace_file

__all__ = [
    "ANNOTATION_CODES", "AUX", "INVALID", "MAX_AUX", "SKIP", "AnnotationFile", "AppendFile", "SignalFile",
    "annotation_bytes",
]  # fmt: skip

INVALID = -32768  # WFDB format 16: no valid sample
# annot(5): normal, ventricular, fusion, supraventricular, paced, unclassifiable, artefact, comment, not classified
ANNOTATION_CODES = {"N": 1, "V": 5, "F": 6, "S": 9, "/": 12, "Q": 13, "|": 16, '"': 22, "?": 30}
SKIP, AUX = 59, 63
_MAX_INTERVAL = 1023  # 10 bits; longer intervals need a SKIP
MAX_AUX = 255
GAIN_PER_MV = 1000.0  # 1 uV per step, +-32 mV; ECG converters have steps of 1 to 5 uV
_MIN_GAIN_PER_MV = 1.0
_CENTRED_MV = 16.0  # a first sample beyond this (electrode offset) becomes the centre of the range
_FILL_SAMPLES = 65_536
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)  # Windows: no line ends are changed


class AppendFile:
    """A file written only at its end, unbuffered: appended data survives the death of the process.

    Args:
        path: of a file that does not exist yet.
        tail: bytes that end the file at any moment; new data goes before them.

    Raises:
        OSError: from the system; data that did not fit as a whole is removed.
    """

    def __init__(self, path: Path, tail: bytes = b"") -> None:
        self._fd = os.open(path, _NEW, 0o644)
        self._path = path
        self._tail = tail
        self._size = 0  # without the tail
        self.append(b"")

    def append(self, data: bytes) -> None:
        """Append `data`: all of it or nothing."""
        try:
            self._write(data + self._tail)
        except OSError:
            with suppress(OSError):  # report the first error
                os.ftruncate(self._fd, self._size)
                self._write(self._tail)  # these bytes were on the disk before
            raise
        self._size += len(data)

    def _write(self, data: bytes) -> None:
        """Write all of `data` after the last append, over the tail."""
        os.lseek(self._fd, self._size, os.SEEK_SET)
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]

    @property
    def gone(self) -> bool:
        """Whether the file is no longer found at its path: moved, deleted or replaced, it or a folder above it."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except OSError:
            return True

    def close(self) -> None:
        """Close; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Lead:
    """One lead of a signal file: its scale, and what the header says of its samples."""

    def __init__(self, name: str, rails_mv: tuple[float, float] | None) -> None:
        self._name = " ".join(name.split()) or "ECG"
        self._gain = GAIN_PER_MV
        if rails_mv is not None and (span_mv := rails_mv[1] - rails_mv[0]) * self._gain > 60_000:
            self._gain = max(_MIN_GAIN_PER_MV, float(np.floor(60_000 / span_mv)))
        self._baseline = 0
        self._settled = False  # the first valid sample makes the baseline final
        self._checksum = 0
        self._first: int | None = None
        self.invalid = 0
        self.clipped = 0

    def settles(self, mv: NDArray[np.float64]) -> bool:
        """Take the first valid sample, if it is here; whether the baseline changes with it."""
        valid = np.isfinite(mv)
        if self._settled or not valid.any():
            return False
        self._settled = True
        first_mv = float(mv[np.argmax(valid)])
        if abs(first_mv) > _CENTRED_MV:
            self._baseline = -round(first_mv * self._gain)
        return self._baseline != 0

    def digital(self, mv: NDArray[np.float64]) -> NDArray[np.int16]:
        """Samples for the file, (n,) int16; counts those that are invalid or clipped."""
        valid = np.isfinite(mv)
        digital = np.full(mv.size, INVALID, dtype="<i2")
        steps = np.rint(mv[valid] * self._gain) + self._baseline
        inside = np.clip(steps, INVALID + 1, 32767)
        digital[valid] = inside.astype("<i2")
        self.clipped += int(np.count_nonzero(inside != steps))
        self.invalid += int(mv.size - np.count_nonzero(valid))
        return digital

    def note(self, digital: NDArray[np.int16]) -> None:
        """Samples that were written, at least one."""
        if self._first is None:
            self._first = int(digital[0])
        self._checksum += int(digital.sum(dtype=np.int64))

    def line(self, file: str) -> str:
        """Its line of the header."""
        checksum = (self._checksum + 0x8000) % 0x10000 - 0x8000  # 16 bits, signed
        scale = f"{self._gain:g}({self._baseline})/mV"
        return f"{file} 16 {scale} 16 0 {self._first or 0} {checksum} 0 {self._name}"


class SignalFile:
    """`NAME.dat` and its header: one lead or two in WFDB format 16.

    Sample numbers count from the first sample written. The scale is GAIN_PER_MV, or less where the rails are too far
    apart for 16 bits. It is centred on the first valid sample where that is far from zero. Samples outside the range
    are clipped and counted.

    Args:
        fs_hz: sampling rate, Hz.
        leads: names of the leads.
        rails_mv: range of each lead, (low, high) mV; None where unknown.
        name: of the record.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fs_hz: float,
        leads: Sequence[str],
        rails_mv: Sequence[tuple[float, float] | None] | None = None,
        name: str = "signal",
    ) -> None:
        self._record = folder / name
        self._dat = AppendFile(folder / f"{name}.dat")
        self._fs_hz = fs_hz
        self._leads = [_Lead(*lead) for lead in zip(leads, rails_mv or [None] * len(leads), strict=True)]
        self.samples = 0  # of each lead
        self.write_header()

    @property
    def invalid(self) -> int:
        """Invalid samples, of all leads."""
        return sum(lead.invalid for lead in self._leads)

    @property
    def clipped(self) -> int:
        """Clipped samples, of all leads."""
        return sum(lead.clipped for lead in self._leads)

    def append(self, leads: Sequence[NDArray[np.float64]]) -> None:
        """Append samples, mV, (n,) of each lead; NaN = no valid sample."""
        if leads[0].size == 0:
            return
        settled = [lead.settles(mv) for lead, mv in zip(self._leads, leads, strict=True)]
        if any(settled):
            self.write_header()
        self._write([lead.digital(mv) for lead, mv in zip(self._leads, leads, strict=True)])

    def fill(self, n: int) -> None:
        """Append `n` invalid samples, so that sample numbers hold across a gap."""
        for lead in self._leads:
            lead.invalid += n
        while n > 0:
            piece = min(n, _FILL_SAMPLES)
            self._write([np.full(piece, INVALID, dtype="<i2")] * len(self._leads))
            n -= piece

    def write_header(self, start: tuple[str, str] | None = None, *, final: bool = False) -> None:
        """Write the header; length, checksum and (time, date) of the start only where `final`."""
        record = f"{self._record.name} {len(self._leads)} {self._fs_hz:.10g}"
        if final and self.samples:
            record += f" {self.samples}" + (f" {start[0]} {start[1]}" if start else "")
        lines = [record, *(lead.line(f"{self._record.name}.dat") for lead in self._leads)]
        replace_file(self._record.with_suffix(".hea"), "\n".join(lines) + "\n")

    def close(self) -> None:
        """Close the signal; the header stays as last written."""
        self._dat.close()

    def _write(self, leads: list[NDArray[np.int16]]) -> None:
        self._dat.append(np.stack(leads, axis=1).tobytes())
        for lead, digital in zip(self._leads, leads, strict=True):
            lead.note(digital)
        self.samples += int(leads[0].size)


def annotation_bytes(interval: int, symbol: str, note: bytes = b"") -> bytes:
    """One annotation in MIT format.

    Args:
        interval: samples since the annotation before, 0 or more.
        symbol: one of ANNOTATION_CODES.
        note: of at most MAX_AUX bytes.

    Raises:
        ValueError: unknown symbol, note too long.
    """
    if symbol not in ANNOTATION_CODES:
        raise ValueError(f"annotation symbol {symbol!r}; one of {', '.join(ANNOTATION_CODES)}")
    if len(note) > MAX_AUX:
        raise ValueError(f"annotation text of {len(note)} characters; at most {MAX_AUX}")
    data = b""
    if interval > _MAX_INTERVAL:
        # A SKIP carries 32 bits in PDP-11 order: the high 16 bits first, each of them little-endian.
        data += struct.pack("<HHH", SKIP << 10, interval >> 16, interval & 0xFFFF)
        interval = 0
    data += struct.pack("<H", ANNOTATION_CODES[symbol] << 10 | interval)
    if note:
        data += struct.pack("<H", AUX << 10 | len(note)) + note + b"\x00" * (len(note) % 2)
    return data


class AnnotationFile:
    """A WFDB annotation file (MIT format) that is complete after every annotation."""

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path, tail=b"\x00\x00")
        self._last_sample = 0

    def add(self, sample: int, symbol: str, aux_note: str = "") -> None:
        """Append one annotation.

        Args:
            sample: sample number in the signal file, not before the last annotation.
            symbol: one of ANNOTATION_CODES.
            aux_note: text of at most 255 ASCII characters.

        Raises:
            ValueError: samples out of order, unknown symbol, text too long.
        """
        interval = sample - self._last_sample
        if interval < 0:
            raise ValueError(f"annotation at sample {sample} is before the last one at {self._last_sample}")
        data = annotation_bytes(interval, symbol, aux_note.encode("ascii"))
        self._file.append(data)
        self._last_sample = sample

    def close(self) -> None:
        """Close; may be called twice."""
        self._file.close()
