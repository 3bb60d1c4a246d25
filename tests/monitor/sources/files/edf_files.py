"""Small EDF and BDF files made byte by byte, so that a test can depart from the standard."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FS_HZ = 256
MV = 0.6 * np.sin(np.arange(30 * FS_HZ) / 9) + 0.3  # 30 records of 1 s


@dataclass
class EdfFile:
    """Fields of the header as bytes, and the samples of one signal in mV; `make` gives the file."""

    mv: NDArray[np.float64] = field(default_factory=lambda: MV)
    fs_hz: int = FS_HZ
    version: bytes = b"0"
    recording: bytes = b"Startdate 02-MAR-2024 X X X"
    date: bytes = b"02.03.24"
    time: bytes = b"10.00.00"
    header_bytes: bytes | None = None
    reserved: bytes = b""
    records: bytes | None = None
    record_s: bytes = b"1"
    signals: bytes | None = None
    label: bytes = b"ECG"
    unit: bytes = b"mV"
    physical: tuple[bytes, bytes] = (b"-5", b"5")
    digital: tuple[bytes, bytes] = (b"-32768", b"32767")
    width: int = 2
    pad: bytes = b" "
    times: list[bytes] | None = None  # of the data records; None = no annotations
    ecg_first: bool = True
    annotations: bytes = b"EDF Annotations"
    counts_are: float = 10 / 65_535  # mV in one count, of the samples as written

    def make(self) -> bytes:
        whole = self.mv.size // self.fs_hz
        mv = self.mv[: whole * self.fs_hz]
        counts = np.rint((mv + 5) / self.counts_are) - 32_768 if self.width == 2 else np.rint(mv / self.counts_are)
        raw = counts.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : self.width]
        ecg = raw.reshape(whole, -1)
        samples, ranges = b"%d" % self.fs_hz, [*self.physical, *self.digital]
        signals = [[self.label, b"", self.unit, *ranges, b"", samples, b""]]
        parts = [ecg]
        if self.times is not None:
            n = 24 * self.width
            texts = [(time + b"\x14\x14\0" if time else b"").ljust(n, b"\0") for time in self.times]
            parts.append(np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(whole, n))
            signals.append([self.annotations, b"", b"", b"-1", b"1", *self.digital, b"", b"24", b""])
        if not self.ecg_first:
            parts, signals = parts[::-1], signals[::-1]
        head = self._field(self.version, 8) + self._field(b"X", 80) + self._field(self.recording, 80)
        head += self._field(self.date, 8) + self._field(self.time, 8)
        length = b"%d" % (256 * (len(signals) + 1)) if self.header_bytes is None else self.header_bytes
        head += self._field(length, 8) + self._field(self.reserved, 44)
        head += self._field(b"%d" % whole if self.records is None else self.records, 8) + self._field(self.record_s, 8)
        head += self._field(b"%d" % len(signals) if self.signals is None else self.signals, 4)
        for column, size in enumerate((16, 80, 8, 8, 8, 8, 8, 80, 8, 32)):
            head += b"".join(self._field(signal[column], size) for signal in signals)
        return head + np.concatenate(parts, axis=1).tobytes()

    def _field(self, value: bytes, size: int) -> bytes:
        return value[:size].ljust(size, self.pad)
