"""Replay of WFDB records: `mitdb:208`, `nstdb:118e06`, `cudb:cu01`, `wfdb:PATH`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream
from monitor.sources.files.record_files import DATABASES, find_record, nearest
from monitor.sources.files.wfdb_record import Signal, open_record
from monitor.sources.options import UNITS, SourceOptions, sample_span

__all__ = ["WfdbSource", "open_wfdb"]

PREFERRED_LEADS = ("MLII",)
PIECE_SAMPLES = 131_072  # 1 MiB of float64; wfdb.rdrecord costs 1.5 ms a call: 0.15 s in pieces of 10 s, 0.016 s so


def open_wfdb(kind: str, what: str, options: SourceOptions, name: str) -> WfdbSource:
    """Source of a record: of a database of DATABASES, or of `wfdb:PATH` (with or without `.hea`).

    Raises:
        SourceError: not found or not readable.
    """
    if kind in DATABASES:
        return WfdbSource(find_record(kind, what), options, name)
    path = Path(what.removesuffix(".hea").removesuffix(".dat")).expanduser()
    if not what or not path.with_name(path.name + ".hea").is_file():
        names = [file.stem for file in path.parent.glob("*.hea")] if path.parent.is_dir() else []
        near = nearest(path.name, names) if names else f"; {path.parent} holds no .hea file"
        raise SourceError(f"{name}: no record {path}.hea{near}")
    return WfdbSource(path, options, name)


class WfdbSource:
    """Source of one lead of a WFDB record.

    `first_sample` of its chunks counts from the record's start, so beats line up with its annotations.

    Args:
        path: the record without suffix.
        options: `channel`, `start_s`, `duration_s` are used.
        name: as a person wrote it.

    Raises:
        SourceError: header or signal cannot be read, no sample, no such channel, no voltage, start behind the end.
    """

    live = False
    never_blocks = True

    def __init__(self, path: Path, options: SourceOptions, name: str) -> None:
        self.name = name
        self._record = open_record(path, name)
        self._channel = _choose(self._record.signals, options.channel, name)
        signal = self._record.signals[self._channel]
        self.lead = signal.name
        self.fs_hz = self._record.fs_hz
        mv = {unit.lower(): factor for unit, factor in UNITS.items()}.get(signal.unit.lower())
        if mv is None:
            raise SourceError(f"{name}: channel {signal.name} is in {signal.unit}, which is no voltage")
        self._mv = mv
        self._held = PIECE_SAMPLES if options.held_s is None else max(1, round(options.held_s * self.fs_hz))
        rails = signal.rails
        self.rails_mv: tuple[float, float] | None = (rails[0] * mv, rails[1] * mv) if rails else None
        self.start_time: str | None = self._record.start_time
        self._next, stop = sample_span(options, self.fs_hz, self._record.length, name)
        self._stop = self._record.length if stop is None else stop
        self.total_samples: int | None = self._stop - self._next
        self._piece: NDArray[np.float64] = np.empty(0)
        self._piece_first = self._next

    def read(self, max_samples: int) -> Chunk:
        """The next samples, at most `max_samples`; see Source."""
        if self._next >= self._stop:
            raise EndOfStream
        if self._next >= self._piece_first + self._piece.size:
            self._load(min(self._stop, self._next + self._held))
        low = self._next - self._piece_first
        samples = self._piece[low : low + max(0, max_samples)].copy()
        chunk = Chunk(self._next, samples)
        self._next += samples.size
        return chunk

    def close(self) -> None:
        """Let go of the piece in memory; no file stays open between reads."""
        self._piece = np.empty(0)

    def _load(self, stop: int) -> None:
        try:
            self._piece = self._record.read(self._channel, self._next, stop) * self._mv
        except OSError as error:
            raise SourceError(f"{self.name}: sample {self._next} cannot be read ({error.strerror})") from None
        if self._piece.size < stop - self._next:
            raise SourceError(f"{self.name}: its signal file became shorter while it was read")
        self._piece_first = self._next


def _choose(signals: tuple[Signal, ...], channel: str | int | None, name: str) -> int:
    leads = [signal.name for signal in signals]
    if channel is None:
        return next((leads.index(lead) for lead in PREFERRED_LEADS if lead in leads), 0)
    if channel in leads:
        return leads.index(str(channel))
    if str(channel).isdecimal() and int(channel) < len(leads):
        return int(channel)
    names = ", ".join(f"{number} {lead}" for number, lead in enumerate(leads))
    raise SourceError(f"{name}: no channel {channel!r}; channels: {names}")
