"""Replay of WFDB records: `mitdb:208`, `nstdb:118e06`, `cudb:cu01`, `wfdb:PATH`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.channels import Channel, channel_list, choose
from monitor.sources.files.record_files import find_record, nearest
from monitor.sources.files.wfdb_segments import open_record
from monitor.sources.options import SourceOptions
from monitor.sources.pieces import PieceSource
from monitor.sources.units import ADC, canonical_unit, mv_per

__all__ = ["WfdbSource", "open_database_record", "open_wfdb"]

PIECE_SAMPLES = 131_072  # 1 MiB of float64; wfdb.rdrecord costs 1.5 ms a call: 0.15 s in pieces of 10 s, 0.016 s so


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
    path = Path(what.removesuffix(".hea").removesuffix(".dat")).expanduser()
    if not what or not path.with_name(path.name + ".hea").is_file():
        names = [file.stem for file in path.parent.glob("*.hea")] if path.parent.is_dir() else []
        near = nearest(path.name, names) if names else f"; {path.parent} holds no .hea file"
        raise SourceError(f"{name}: no record {path}.hea{near}")
    return WfdbSource(path, options, name)


class WfdbSource(PieceSource):
    """Source of one lead of a WFDB record.

    `first_sample` of its chunks counts from the record's start, so beats line up with its annotations.
    No file stays open between reads.

    Many attributes: eight are those of the Source protocol.

    Args:
        path: path of the record without suffix.
        options: `channel`, `start_s`, `duration_s` and `held_s` are used.

    Raises:
        SourceError: header or signal cannot be read, no sample, no such channel, no voltage, start after the end.
    """

    def __init__(self, path: Path, options: SourceOptions, name: str) -> None:
        self.name = name
        self._record = open_record(path, name)
        channels = [Channel(signal.name, signal.unit) for signal in self._record.signals]
        options.note("channels", channel_list(channels))
        self._channel = choose(channels, options.channel, name)
        signal = self._record.signals[self._channel]
        self.lead = signal.name
        self.fs_hz = self._record.fs_hz
        self.unit = options.unit or canonical_unit(signal.unit) or signal.unit
        if options.unit is None and canonical_unit(signal.unit) in (None, ADC):
            raise SourceError(f"{name}: channel {signal.name} is in {signal.unit}, which is no voltage; give --unit")
        mv = self.mv_per_unit = mv_per(self.unit, options.mv_per_unit, name)
        self._mv = mv
        self._held = PIECE_SAMPLES if options.held_s is None else max(1, round(options.held_s * self.fs_hz))
        rails = signal.rails
        self.rails_mv = (rails[0] * mv, rails[1] * mv) if rails else None
        self.start_time = self._record.start_time
        self._begin(options, self._record.length)

    def _load(self, first: int) -> tuple[int, NDArray[np.float64]]:
        stop = min(self._stop or self._record.length, first + self._held)
        try:
            piece = self._record.read(self._channel, first, stop) * self._mv
        except OSError as error:
            raise SourceError(f"{self.name}: sample {first} cannot be read ({error.strerror})") from None
        if piece.size < stop - first:
            raise SourceError(f"{self.name}: its signal file became shorter while it was read")
        return first, piece
