"""Replay of WFDB records: `mitdb:208`, `nstdb:118e06`, `cudb:cu01`, `wfdb:PATH`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.base import Notice
from monitor.sources.channels import Channel, channel_list, choose
from monitor.sources.files.foreign import HEAD_BYTES, bare_samples, named_format
from monitor.sources.files.record_files import find_record, is_file, is_folder, nearest
from monitor.sources.files.wfdb_header import DEFAULT_HZ
from monitor.sources.files.wfdb_segments import open_record
from monitor.sources.options import FS_MIN_HZ, FS_READ_MAX_HZ, SourceOptions
from monitor.sources.pieces import PieceSource
from monitor.sources.units import ADC, canonical_unit, mv_per

__all__ = ["WfdbSource", "open_database_record", "open_wfdb"]

PIECE_SAMPLES = 131_072  # 1 MiB of float64


def open_database_record(what: str, options: SourceOptions, name: str) -> WfdbSource:
    """Open record `what` of the database that `name` begins with, e.g. `mitdb:208`.

    Raises:
        SourceError: not found or not readable.
    """
    database = name.partition(":")[0].strip()
    return WfdbSource(find_record(database, what), options, name)


def open_wfdb(what: str, options: SourceOptions, name: str) -> WfdbSource:
    """Open the record at path `what`, with or without `.hea`.

    Raises:
        SourceError: not found or not readable.
    """
    try:
        path = Path(what.removesuffix(".hea").removesuffix(".dat")).expanduser()
    except RuntimeError as error:  # no such user
        raise SourceError(f"{name}: {what} cannot be read ({error})") from None
    if not path.name:
        raise SourceError(f"{name}: name the record, wfdb:PATH, e.g. wfdb:holter/day1")
    if not is_file(Path(f"{path}.hea")):
        if is_file(Path(f"{path}.hea.gz")):
            raise SourceError(f"{name}: {path}.hea.gz is compressed; decompress it, and its signal files, with gunzip")
        if is_file(path) and (known := named_format(_head(path))):
            raise SourceError(f"{name}: {path} is {known[0]}; {known[1]}")
        if is_file(samples := Path(f"{path}.dat")):
            raise SourceError(f"{name}: {samples} has no header {path.name}.hea; get it, or {bare_samples(samples)}")
        folder = path if is_folder(path) else path.parent
        names = sorted(file.stem for file in folder.glob("*.hea")) if is_folder(folder) else []
        near = nearest(path.name, names) if names else f"; {folder} holds no .hea file"
        raise SourceError(f"{name}: no record {path}.hea{near}")
    return WfdbSource(path, options, name)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


class WfdbSource(PieceSource):
    """Source of one lead of a WFDB record. What a file that is cut off holds is read, with a notice.

    `first_sample` of its chunks counts from the record's start, so beats line up with its annotations.
    No file stays open between reads.

    Many attributes: eight are those of the Source protocol.

    Args:
        path: path of the record without suffix.
        options: `channel` (or `column`), `fs_hz` (where the header has no rate), `unit`, `mv_per_unit`, `start_s`,
            `duration_s` and `held_s` are used.

    Raises:
        SourceError: header or signal cannot be read, no sample, no such channel, no voltage, start after the end.
    """

    def __init__(self, path: Path, options: SourceOptions, name: str) -> None:
        self.name = name
        self._record = record = open_record(path, name)
        frame_hz = record.frame_hz or options.fs_hz or DEFAULT_HZ
        rates = [frame_hz * signal.per_frame for signal in record.signals]
        usable = [
            signal.has_samples and FS_MIN_HZ <= rate <= FS_READ_MAX_HZ
            for signal, rate in zip(record.signals, rates, strict=True)
        ]
        channels = [
            Channel(
                signal.name,
                # --unit overrules what the header says: it is then no reason against a channel.
                signal.unit if options.unit is None or canonical_unit(signal.unit) else None,
                usable=fits or not any(usable),
                first=f"{rate:g} Hz",
            )
            for signal, rate, fits in zip(record.signals, rates, usable, strict=True)
        ]
        options.note("channels", channel_list(channels))
        self._channel = choose(channels, options.column_or_channel, name)
        signal = record.signals[self._channel]
        options.note("format", f"WFDB {signal.data_format}")
        self.lead = signal.name
        options.note("lead", self.lead)
        self.fs_hz = rates[self._channel]
        stated = "" if record.frame_hz else ", not in the header" + ("" if options.fs_hz else ": the default of WFDB")
        options.note("rate", f"{self.fs_hz:g} Hz{stated}")
        length = record.open(self._channel) * signal.per_frame
        for text in record.shortages:
            options.note("length", text)
            self._notices += (Notice("bad_input", f"{name}: {text}"),)
        options.note("unit", f"{signal.unit}, {signal.gain:g} counts in one")
        self.unit = options.unit or canonical_unit(signal.unit) or signal.unit
        if options.unit is None and canonical_unit(signal.unit) in (None, ADC):
            raise SourceError(
                f"{name}: channel {signal.name} is in {signal.unit}, which is no voltage; give --unit, e.g. --unit mV"
            )
        mv = self.mv_per_unit = mv_per(self.unit, options.mv_per_unit, name)
        self._mv = mv
        self._held = PIECE_SAMPLES if options.held_s is None else max(1, round(options.held_s * self.fs_hz))
        rails = signal.rails
        self.rails_mv = (rails[0] * mv, rails[1] * mv) if rails else None
        self.start_time = record.start_time
        if self.start_time:
            options.note("time", f"starts at {self.start_time}")
        self._begin(options, length)
        self._length = length

    def _load(self, first: int) -> tuple[int, NDArray[np.float64]]:
        stop = min(self._stop or self._length, first + self._held)
        return first, self._record.read(self._channel, first, stop) * self._mv
