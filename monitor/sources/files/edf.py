"""Replay of one signal of an EDF, EDF+, BDF or BDF+ file, `edf:PATH`, read in pieces.

The file is read, not mapped into memory: a mapped file counts as memory of the process once read, and kills the process
if it becomes shorter meanwhile.
"""

from __future__ import annotations

import bisect
import datetime
import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError, first_line
from monitor.sources.base import Notice
from monitor.sources.channels import Channel, channel_list, choose
from monitor.sources.files.edf_header import FIXED_BYTES, EdfHeader, EdfSignal, read_header, signal_bytes
from monitor.sources.files.edf_times import MAX_GAP_S, TIME_BYTES, find_gaps, record_time, tolerance
from monitor.sources.files.foreign import HEAD_BYTES, is_edf, named_format
from monitor.sources.files.opening import opened
from monitor.sources.options import FS_MIN_HZ, FS_READ_MAX_HZ, SourceOptions, check_fs
from monitor.sources.pieces import PieceSource
from monitor.sources.units import ADC, canonical_unit, is_no_voltage, mv_per, unit_in_label

__all__ = ["EdfSource"]

PIECE_BYTES = 1_048_576

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Run:
    """Data records without a gap: the first, and the index of its first sample."""

    record: int
    sample: int


class EdfSource(PieceSource):
    """Source of one signal of an EDF or BDF file.

    `first_sample` of its chunks counts from the file's start; a jump of the records' times is a gap. What a file that
    is cut off holds is read, with a notice. Memory: one piece of about 1 MiB. No rails: the file may give the range of
    the signal, not of the ADC.

    Many attributes: nine are those of the Source protocol.

    Args:
        options: `channel` (or `column`), `unit` (overrules the file's; `adc` = digital values), `mv_per_unit`, `fs_hz`
            (only where the file states no length of its data records), `start_s`, `duration_s`.

    Raises:
        SourceError: missing, no EDF, without a sample, annotations only, no such signal, no voltage, under 100 Hz.
    """

    def __init__(self, path: str, options: SourceOptions, name: str) -> None:
        self.name = name
        with opened(path, "edf", name) as self._file:
            self._open(options)

    def _open(self, options: SourceOptions) -> None:
        self._header = header = self._read_header()
        size = self._file.seek(0, io.SEEK_END)
        self._data_at = header.data_at(size)
        self._records, rest = divmod(max(0, size - self._data_at), header.record_bytes)
        options.note("format", f"{header.format}, {self._records} data records of {header.record_s:g} s")
        self._signal = signal = self._choose(options)
        self.lead = signal.label or "ECG"
        record_s = self._record_s(options)
        self.fs_hz = check_fs(signal.samples / record_s, self.name)
        self._digital = options.unit == ADC
        self._zero, self._mv = self._scale(options)
        partial = min(signal.samples, max(0, rest - signal.offset) // header.width)
        if 0 < self._records == header.named_records:  # what lies behind the last record is no record
            partial = 0
        if self._records == 0 and partial == 0:
            raise SourceError(f"{self.name}: the file holds no sample; get it again")
        self._runs, first_s = self._find_runs(record_s, self._records + (partial > 0), options)
        last = self._runs[-1]
        self._length = last.sample + (self._records - last.record) * signal.samples + partial
        self.start_time = None
        if header.start is not None:
            self.start_time = (header.start + datetime.timedelta(seconds=first_s)).isoformat()
        self._check_whole(partial)
        self._begin(options, self._length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _read_header(self) -> EdfHeader:
        head = self._file.read(HEAD_BYTES)
        if not is_edf(head) and head[:1] != b"\xff" and head[:8].strip(b" \0") != b"0":
            named = named_format(head)
            if named is not None:
                raise SourceError(f"{self.name}: no EDF file but {named[0]}; {named[1]}")
            raise SourceError(f"{self.name}: no EDF file; WFDB records are read with wfdb:PATH, text with csv:PATH")
        if len(head) < FIXED_BYTES:
            raise SourceError(f"{self.name}: its EDF header is cut off after {len(head)} bytes; get the file again")
        fixed, rest = head[:FIXED_BYTES], head[FIXED_BYTES:]
        missing = signal_bytes(fixed, self.name) - len(rest)
        return read_header(fixed, rest + self._file.read(max(0, missing)), self.name)

    def _choose(self, options: SourceOptions) -> EdfSignal:
        signals = [signal for signal in self._header.signals if not signal.is_annotations]
        if not signals:
            raise SourceError(f"{self.name}: the file holds annotations only, no signal; take the file of the signals")
        seconds = self._header.record_s
        rates = [signal.samples / seconds if seconds else 0.0 for signal in signals]
        in_range = [FS_MIN_HZ <= rate <= FS_READ_MAX_HZ for rate in rates]
        channels = [
            Channel(
                signal.label,
                signal.unit,
                usable=(usable or not any(in_range)) and signal.samples > 0,
                first=f"{rate:g} Hz",
            )
            for signal, usable, rate in zip(signals, in_range, rates, strict=True)
        ]
        options.note("channels", channel_list(channels))
        wanted = options.column_or_channel
        try:
            number = choose(channels, wanted, self.name)
        except SourceError:  # an ECG of a rate out of range is refused by its rate
            number = choose([replace(channel, usable=True) for channel in channels], wanted, self.name)
        chosen = signals[number]
        if chosen.samples == 0:
            raise SourceError(f"{self.name}: channel {chosen.label} has no sample; take another one with --channel")
        return chosen

    def _record_s(self, options: SourceOptions) -> float:
        if self._header.record_s > 0:
            return self._header.record_s
        if options.fs_hz is None:
            raise SourceError(f"{self.name}: the file does not state the length of its data records; give --fs")
        return self._signal.samples / options.fs_hz

    def _scale(self, options: SourceOptions) -> tuple[float, float]:
        """Digital value of 0 mV, and mV in one count; for `adc` the scale of the options."""
        signal = self._signal
        unit = signal.unit or unit_in_label(signal.label) or ""
        self.unit = options.unit or canonical_unit(unit) or unit
        if self._digital:
            self.mv_per_unit = mv_per(ADC, options.mv_per_unit, self.name)
            return 0.0, self.mv_per_unit
        if signal.gain is None or signal.physical is None or signal.digital is None:
            raise SourceError(
                f"{self.name}: channel {signal.label} has no scale: its ranges are {signal.physical or 'not stated'} "
                f"for {signal.digital or 'no'} counts; give the mV of one count, e.g. --unit adc --mv-per-unit 0.001"
            )
        if options.unit is None:
            if canonical_unit(unit) is None and not is_no_voltage(unit):
                raise SourceError(f"{self.name}: channel {signal.label} names no unit; give it, e.g. --unit uV")
            if canonical_unit(unit) in (None, ADC):
                raise SourceError(
                    f"{self.name}: channel {signal.label} is in {unit}, which is no voltage; take another channel, or "
                    f"give the unit, e.g. --unit mV"
                )
        mv = mv_per(options.unit or unit, None, self.name) * signal.gain
        self.mv_per_unit = mv
        return signal.digital[0] - signal.physical[0] / signal.gain, mv

    def _find_runs(self, record_s: float, records: int, options: SourceOptions) -> tuple[list[_Run], float]:
        """Runs of data records, from their times, and the time of the first record, s."""
        runs = [_Run(0, 0)]
        timing = next((signal for signal in self._header.signals if signal.is_annotations), None)
        first = self._time_of(timing, 0) if timing is not None else None
        if timing is None or first is None:
            if self._header.format.endswith("+D"):
                self._report("an interrupted recording (EDF+D) without times of its data records: gaps are not known")
            return runs, 0.0
        begin_s, decimals = first
        gaps = find_gaps(
            lambda record: None if (time := self._time_of(timing, record)) is None else time[0],
            records,
            record_s,
            tolerance(record_s, self.fs_hz, decimals),
        )
        taken = [(record, s) for record, s in gaps if 0 < s <= MAX_GAP_S]
        missing = 0
        for record, seconds in taken:
            missing += max(1, round(seconds * self.fs_hz))
            runs.append(_Run(record, record * self._signal.samples + missing))
        if len(taken) < len(gaps):
            record = next(record for record, s in gaps if not 0 < s <= MAX_GAP_S)
            self._report(
                f"{len(gaps) - len(taken)} data records whose time runs back or jumps by over a week, e.g. record "
                f"{record}; they follow the record before"
            )
        if taken:
            total_s = sum(s for _, s in taken)
            options.note("interruptions", f"{len(taken)}, {total_s:g} s in all, by the times of the data records")
        return runs, begin_s if 0 <= begin_s < MAX_GAP_S else 0.0

    def _time_of(self, timing: EdfSignal, record: int) -> tuple[float, int] | None:
        self._file.seek(self._data_at + record * self._header.record_bytes + timing.offset)
        return record_time(self._file.read(min(TIME_BYTES, timing.samples * self._header.width)))

    def _check_whole(self, partial: int) -> None:
        """Report a file that is longer or shorter than its header says."""
        named = self._header.named_records
        if named is None:
            self._report(f"number of data records not stated, a recording in progress: {self._records} found, all read")
        elif named != self._records or partial:
            part = " and a part of one" if partial else ""
            self._report(
                f"the file is {'cut off' if named > self._records else 'longer than stated'}: "
                f"{self._records} data records{part} of {named}, all read"
            )

    def _report(self, text: str) -> None:
        self._notices += (Notice("bad_input", f"{self.name}: {text}"),)

    def _load(self, sample: int) -> tuple[int, Floats]:
        number = bisect.bisect_right(self._runs, sample, key=lambda run: run.sample) - 1
        record, skipped = self._place(number, sample)
        if record >= self._end(number):  # in a gap: the next run
            number += 1
            record, skipped, sample = self._runs[number].record, 0, self._runs[number].sample
        try:
            return self._read(sample, record, skipped, self._end(number))
        except (OSError, ValueError) as error:  # ValueError: closed
            raise SourceError(f"{self.name}: sample {sample} cannot be read ({first_line(error)})") from None

    def _place(self, number: int, sample: int) -> tuple[int, int]:
        """Data record of a sample, and its number in that record, as if the run did not end."""
        run = self._runs[number]
        record, skipped = divmod(sample - run.sample, self._signal.samples)
        return run.record + record, skipped

    def _end(self, number: int) -> int:
        """The data record after a run; the rest of a file that is cut off counts as one."""
        return self._runs[number + 1].record if number + 1 < len(self._runs) else self._records + 1

    def _read(self, sample: int, record: int, skipped: int, end: int) -> tuple[int, Floats]:
        """Read whole data records; of a long one, and of one that is cut off, the samples of this signal only."""
        header, signal = self._header, self._signal
        width, record_bytes = header.width, header.record_bytes
        whole = min(end, self._records) - record
        if whole > 0 and record_bytes <= PIECE_BYTES:
            n = min(whole, PIECE_BYTES // record_bytes)
            data = self._bytes(self._data_at + record * record_bytes, n * record_bytes)
            part = data.reshape(n, record_bytes)[:, signal.offset : signal.offset + signal.samples * width]
            return sample - skipped, self._millivolts(part.reshape(-1))
        n = min(signal.samples - skipped, max(1, PIECE_BYTES // width), self._length - sample)
        at = self._data_at + record * record_bytes + signal.offset + skipped * width
        return sample, self._millivolts(self._bytes(at, n * width))

    def _bytes(self, at: int, n: int) -> NDArray[np.uint8]:
        self._file.seek(at)
        data = self._file.read(n)
        if len(data) < n:
            raise SourceError(f"{self.name}: the file became shorter while it was read")
        return np.frombuffer(data, dtype=np.uint8)

    def _millivolts(self, data: NDArray[np.uint8]) -> Floats:
        if self._header.width == 2:
            counts = data.view("<i2").astype(np.float64)
        else:
            wide = np.zeros((data.size // 3, 4), dtype=np.uint8)
            wide[:, 1:] = data.reshape(-1, 3)
            counts = (wide.view("<i4")[:, 0] >> 8).astype(np.float64)  # the shift keeps the sign
        return (counts - self._zero) * self._mv
