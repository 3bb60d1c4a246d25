"""Replay of one signal of an EDF or EDF+ file, `edf:PATH`, read in pieces.

Format: Kemp et al. 1992, doi:10.1016/0013-4694(92)90009-7; EDF+: Kemp and Olivan 2003,
doi:10.1016/S1388-2457(03)00123-8.
edfio parses header and data records. It gets the file in pieces: it would map a whole file into memory, which counts as
memory of the process once read, and kills the process if the file becomes shorter meanwhile.
"""

from __future__ import annotations

import io
import warnings
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError, first_line
from monitor.sources.channels import Channel, channel_list, choose
from monitor.sources.options import FS_MAX_HZ, FS_MIN_HZ, SourceOptions, check_fs
from monitor.sources.pieces import PieceSource
from monitor.sources.units import ADC, canonical_unit, mv_per

if TYPE_CHECKING:
    from edfio import Edf

__all__ = ["EdfSource"]

PIECE_BYTES = 1_048_576  # at least one data record: some programs write a whole recording as one
_FIXED = 256  # bytes of the fixed header, and of the header of each signal
_RECORDS_AT = slice(236, 244)  # number of data records; -1 = not known while recording
_SIGNALS_AT = slice(252, 256)
_COUNTS_AT = 216  # header bytes per signal before the field "samples per data record" of 8 bytes


class EdfSource(PieceSource):
    """Source of one signal of an EDF file.

    `first_sample` of its chunks counts from the file's start. Memory: one piece of about 1 MiB or one data record,
    whichever is larger. No rails: the file may give the range of the signal, not of the ADC.

    Many attributes: nine are those of the Source protocol.

    Args:
        options: `channel` (or `column`), `unit` (where the file names none; `adc` = digital values), `mv_per_unit`,
            `start_s`, `duration_s`.

    Raises:
        SourceError: missing, no EDF, truncated, annotations only, interrupted (EDF+D), no such signal, no voltage.
    """

    def __init__(self, path: str, options: SourceOptions, name: str) -> None:
        self.name = name
        if not path:
            raise SourceError(f"{name}: name the file, edf:PATH")
        try:
            self._file = Path(path).expanduser().open("rb")
        except OSError as error:
            raise SourceError(f"{name}: {path} cannot be read ({error.strerror})") from None
        try:
            self._open(options)
        except OSError as error:
            self._file.close()
            raise SourceError(f"{name}: {path} cannot be read ({error.strerror})") from None
        except BaseException:
            self._file.close()
            raise

    def _open(self, options: SourceOptions) -> None:
        self._header, counts, records = self._read_header()
        self._record_bytes = 2 * sum(counts)
        edf = self._parse(0, 1)
        if edf.reserved.startswith("EDF+D"):
            raise SourceError(f"{self.name}: an interrupted recording (EDF+D); convert it to EDF+C piece by piece")
        self._index = self._choose(edf, options)
        signal = edf.signals[self._index]
        self.lead = signal.label or "ECG"
        self.fs_hz = check_fs(signal.sampling_frequency, self.name)
        self._per_record = signal.samples_per_data_record
        self._digital = options.unit == "adc"
        self._mv = self._scale(signal, options)
        self.unit = "adc" if self._digital else options.unit or signal.physical_dimension
        self.mv_per_unit = self._mv if self._digital else self._mv * _per_count(signal)
        self.start_time = _start_time(edf)
        self._length = records * self._per_record
        self._begin(options, self._length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _read_header(self) -> tuple[bytes, list[int], int]:
        """Read the header, the samples per data record of every signal, and the number of whole data records."""
        header = self._file.read(_FIXED)
        if header[:8] == b"\xffBIOSEMI":
            raise SourceError(f"{self.name}: a BDF file (24 bits); convert it to EDF")
        if header[:8].strip(b" ") != b"0":
            raise SourceError(f"{self.name}: no EDF file; WFDB records are read with wfdb:PATH, text with csv:PATH")
        try:
            n = int(header[_SIGNALS_AT])
            named = int(header[_RECORDS_AT])
            header += self._file.read(_FIXED * n)
            if n < 1 or len(header) < _FIXED * (n + 1):
                raise ValueError(n)
            at = _FIXED + _COUNTS_AT * n
            counts = [int(header[i : i + 8]) for i in range(at, at + 8 * n, 8)]
            if min(counts) < 0 or sum(counts) == 0:
                raise ValueError(counts)
        except ValueError:
            raise SourceError(f"{self.name}: its EDF header is broken or cut off; get the file again") from None
        size = self._file.seek(0, io.SEEK_END) - len(header)
        record_bytes = 2 * sum(counts)
        records = size // record_bytes if named < 0 else named
        if size < records * record_bytes:
            raise SourceError(
                f"{self.name}: the file is truncated: {size // record_bytes} of {named} data records; get it again"
            )
        if records == 0:
            raise SourceError(f"{self.name}: the file holds no data record")
        return header, counts, records

    def _parse(self, first: int, records: int) -> Edf:
        """Parse data records `first` to `first + records` as a file of their own."""
        from edfio import read_edf

        self._file.seek(len(self._header) + first * self._record_bytes)
        data = self._file.read(records * self._record_bytes)
        if len(data) < records * self._record_bytes:
            raise SourceError(f"{self.name}: the file became shorter while it was read")
        header = self._header[: _RECORDS_AT.start] + b"%-8d" % records + self._header[_RECORDS_AT.stop :]
        try:
            return read_edf(io.BytesIO(header + data), header_encoding="latin-1")
        except Exception as error:  # edfio raises errors of many classes on a broken header
            raise SourceError(f"{self.name}: its EDF header cannot be read ({first_line(error)})") from None

    def _load(self, sample: int) -> tuple[int, NDArray[np.float64]]:
        first = sample // self._per_record
        last = -(-(self._stop or self._length) // self._per_record)
        try:
            edf = self._parse(first, min(last - first, max(1, PIECE_BYTES // self._record_bytes)))
        except (OSError, ValueError) as error:  # ValueError: closed
            raise SourceError(f"{self.name}: sample {sample} cannot be read ({first_line(error)})") from None
        signal = edf.signals[self._index]
        values = signal.digital if self._digital else signal.data
        return first * self._per_record, np.asarray(values, dtype=np.float64) * self._mv

    def _choose(self, edf: Edf, options: SourceOptions) -> int:
        labels = list(edf.labels)
        if not labels:
            raise SourceError(f"{self.name}: the file holds annotations only, no signal")
        in_range = [FS_MIN_HZ <= signal.sampling_frequency <= FS_MAX_HZ for signal in edf.signals]
        channels = [
            Channel(
                signal.label.strip(),
                signal.physical_dimension,
                usable=usable or not any(in_range),
                first=f"{signal.sampling_frequency:g} Hz",
            )
            for signal, usable in zip(edf.signals, in_range, strict=True)
        ]
        options.note("channels", channel_list(channels))
        return choose(channels, options.column_or_channel, self.name)

    def _scale(self, signal: Any, options: SourceOptions) -> float:
        """Scale of the values that are read, physical or digital: mV in one."""
        try:
            physical, digital = signal.physical_range, signal.digital_range
        except ValueError:
            physical = digital = (0, 0)
        if not self._digital and not (np.ptp(physical) > 0 and np.ptp(digital) > 0):  # edfio would return counts
            raise SourceError(f"{self.name}: channel {signal.label} has no scale; give --unit adc and --mv-per-unit")
        unit = signal.physical_dimension
        if self._digital:
            return mv_per("adc", options.mv_per_unit, self.name)
        if options.unit is not None:
            return mv_per(options.unit, None, self.name)
        if not unit:
            raise SourceError(f"{self.name}: channel {signal.label} names no unit; give it, e.g. --unit uV")
        if canonical_unit(unit) in (None, ADC):
            raise SourceError(f"{self.name}: channel {signal.label} is in {unit}, which is no voltage; give --unit")
        return mv_per(unit, None, self.name)


def _per_count(signal: Any) -> float:
    """Physical units in one digital count."""
    return float(np.ptp(signal.physical_range) / np.ptp(signal.digital_range))


def _start_time(edf: Edf) -> str | None:
    """ISO 8601 time of sample 0, local time taken as UTC; None where it is anonymous or invalid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two dates that differ: edfio takes the one of EDF+
            return edf.startdatetime.replace(tzinfo=UTC).isoformat()
    except Exception:  # a date field may hold anything
        return None
