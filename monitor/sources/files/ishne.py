"""Replay of one lead of an ISHNE Holter file, `ishne:PATH`, read in pieces.

Format: Badilini 1998, doi:10.1111/j.1542-474X.1998.tb00348.x.
"""

from __future__ import annotations

import binascii
import datetime
import io
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError, first_line
from monitor.sources.base import Notice
from monitor.sources.channels import Channel, channel_list, choose
from monitor.sources.files.foreign import HEAD_BYTES, named_format
from monitor.sources.files.opening import opened
from monitor.sources.options import SourceOptions, check_fs
from monitor.sources.pieces import PieceSource
from monitor.sources.units import ADC, mv_per

__all__ = ["IshneHeader", "IshneSource", "read_header"]

PIECE_BYTES = 1_048_576
_MAGIC = b"ISHNE1.0"
_CHECKED_AT = 10  # the checksum covers the header behind itself
_FIXED_END = 522
_SPECS = 12  # leads of which the header has name and resolution
_MOST_LEADS = 256
_INVALID = -32_768
_MV_PER_NV = 1e-6
# Codes 0 and 1 are an unknown and a bipolar lead; the leads X, Y, Z are called as in the WFDB records of PhysioNet.
_NAMES = ["VX", "VY", "VZ", "I", "II", "III", "aVR", "aVL", "aVF"] + [f"V{i}" for i in range(1, 7)] + ["ES", "AS", "AI"]
_LEADS = dict(enumerate(_NAMES, 2))

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IshneHeader:
    """The header.

    Attributes:
        leads: names.
        resolution_nv: nV in one count of each lead; 0 = not stated.
        fs_hz: sampling rate, Hz.
        named_samples: number of samples of a lead that is stated.
        data_at: where the samples begin, bytes.
        start: date and time of the first sample; None where there is none.
        checksum_right: whether the header has the checksum that it states; None where it states none.
    """

    leads: tuple[str, ...]
    resolution_nv: tuple[int, ...]
    fs_hz: int
    named_samples: int
    data_at: int
    start: datetime.datetime | None
    checksum_right: bool | None


def read_header(head: bytes, size: int, name: str) -> IshneHeader:
    """Parse the header.

    Args:
        head: the file's first bytes, with the block of variable length.
        size: of the file, bytes.
        name: of the source, for the error.

    Raises:
        SourceError: cut off, or without a lead or a place for its samples.
    """
    if len(head) < _FIXED_END:
        raise SourceError(f"{name}: its ISHNE header is cut off after {len(head)} of 522 bytes; get the file again")
    checksum, extra, samples, _, data_at = struct.unpack_from("<Hiiii", head, 8)
    n, *codes = struct.unpack_from(f"<h{_SPECS}h", head, 156)
    resolution = struct.unpack_from(f"<{_SPECS}h", head, 206)
    (fs_hz,) = struct.unpack_from("<h", head, 272)
    if not 1 <= n <= _MOST_LEADS:
        raise SourceError(f"{name}: its ISHNE header is broken: {n} leads; get the file again")
    if not _FIXED_END <= data_at <= size:
        data_at = _FIXED_END + max(0, extra)
    if data_at > size:
        raise SourceError(f"{name}: its ISHNE header is cut off: samples begin at byte {data_at}; get the file again")
    resolution += resolution[:1] * (n - _SPECS)  # further leads: as the first
    codes += [0] * (n - _SPECS)
    leads = [_LEADS.get(code, f"{'bipolar' if code == 1 else 'ECG'} {i + 1}") for i, code in enumerate(codes[:n])]
    right = binascii.crc_hqx(head[_CHECKED_AT:data_at], 0xFFFF) == checksum
    return IshneHeader(
        leads=tuple(leads),
        resolution_nv=tuple(max(0, nv) for nv in resolution[:n]),
        fs_hz=fs_hz,
        named_samples=samples,
        data_at=data_at,
        start=_start(head),
        checksum_right=right if right or checksum else None,
    )


def _start(head: bytes) -> datetime.datetime | None:
    day, month, year, *_ = struct.unpack_from("<6h", head, 138)  # of the recording, then of the file
    hour, minute, second = struct.unpack_from("<3h", head, 150)
    try:
        return datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        return None


class IshneSource(PieceSource):
    """Source of one lead of an ISHNE file.

    Samples with the format's mark for a lead fault are NaN. What a file that is cut off holds is read, with a notice;
    so is a file whose header has a wrong checksum. Memory: one piece of about 1 MiB.

    Many attributes: nine are those of the Source protocol.

    Args:
        options: `channel` (or `column`), `unit` (overrules nV; `adc` = counts), `mv_per_unit`, `start_s`, `duration_s`.

    Raises:
        SourceError: missing, no ISHNE file, without a sample, no such lead, no resolution, a rate out of range.
    """

    def __init__(self, path: str, options: SourceOptions, name: str) -> None:
        self.name = name
        with opened(path, "ishne", name) as self._file:
            self._open(options)

    def _open(self, options: SourceOptions) -> None:
        head = self._file.read(HEAD_BYTES)
        if not head.startswith(_MAGIC):
            other, remedy = named_format(head) or ("", "text is read with csv:PATH, EDF with edf:PATH")
            raise SourceError(f"{self.name}: no ISHNE file{other and f' but {other}'}; {remedy}")
        extra = struct.unpack_from("<i", head, 10)[0] if len(head) >= 14 else 0
        size = self._file.seek(0, io.SEEK_END)
        self._file.seek(0)
        header = read_header(self._file.read(_FIXED_END + min(max(0, extra), size)), size, self.name)
        self._data_at, self._leads = header.data_at, len(header.leads)
        options.note("format", f"ISHNE, {self._leads} leads")
        channels = [
            Channel(lead, "nV", is_ecg=True, first=f"{nv} nV a count")
            for lead, nv in zip(header.leads, header.resolution_nv, strict=True)
        ]
        options.note("channels", channel_list(channels))
        self._lead = choose(channels, options.column_or_channel, self.name)
        self.lead = header.leads[self._lead]
        self.fs_hz = check_fs(header.fs_hz, self.name)
        self._mv = self.mv_per_unit = self._scale(header.resolution_nv[self._lead], options)
        self.unit = options.unit or "nV"
        self.start_time = None if header.start is None else header.start.isoformat()
        self._length = (size - self._data_at) // (2 * self._leads)
        if self._length == 0:
            raise SourceError(f"{self.name}: the file holds no sample; get it again")
        self._check(header)
        self._begin(options, self._length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _scale(self, resolution_nv: int, options: SourceOptions) -> float:
        """mV in one count."""
        if options.unit == ADC:
            return mv_per(ADC, options.mv_per_unit, self.name)
        if resolution_nv == 0:
            raise SourceError(
                f"{self.name}: lead {self.lead} has no resolution; give the mV of one count, e.g. --unit adc "
                "--mv-per-unit 0.0025"
            )
        return resolution_nv * (_MV_PER_NV if options.unit is None else mv_per(options.unit, None, self.name))

    def _check(self, header: IshneHeader) -> None:
        problems = []
        if header.checksum_right is False:
            problems.append("the header has a wrong checksum: compare lead, resolution and rate with the report")
        # Some programs state the samples of all leads together.
        if header.named_samples not in (self._length, self._length * self._leads):
            problems.append(f"{self._length} samples a lead, {header.named_samples} stated; all are read")
        self._notices += tuple(Notice("bad_input", f"{self.name}: {text}") for text in problems)

    def _load(self, sample: int) -> tuple[int, Floats]:
        stop = min(self._stop or self._length, sample + max(1, PIECE_BYTES // (2 * self._leads)))
        n = (stop - sample) * self._leads
        try:
            self._file.seek(self._data_at + 2 * self._leads * sample)
            data = self._file.read(2 * n)
        except (OSError, ValueError) as error:  # ValueError: closed
            raise SourceError(f"{self.name}: sample {sample} cannot be read ({first_line(error)})") from None
        if len(data) < 2 * n:
            raise SourceError(f"{self.name}: the file became shorter while it was read")
        counts = np.frombuffer(data, dtype="<i2")[self._lead :: self._leads]
        return sample, np.where(counts == _INVALID, np.nan, counts * self._mv)
