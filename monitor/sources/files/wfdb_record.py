"""WFDB records of one segment: signal files of any format, read in pieces.

Not by `wfdb.rdrecord` (4.3): it reads the header by itself, with the faults that wfdb_header.py lists, again for each
piece; it averages the samples of a frame, or marks too few samples of a skewed signal as missing; it begins a piece of
format 8 at a wrong value. `import wfdb` also costs 0.24 s and 87 MiB (pandas). Tests compare both, NaN by NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.files.record_files import is_file
from monitor.sources.files.wfdb_formats import FLAC_BITS, FORMATS, DifferenceReader, FlacFile, PlainFile
from monitor.sources.files.wfdb_header import Header, Signal

__all__ = ["Floats", "Record", "SingleRecord", "signal_file"]

Floats = NDArray[np.float64]


class Record(Protocol):
    """A record of one or of several segments.

    Attributes:
        frame_hz: frames in one second; None = not stated.
        signals: in order. A signal has `per_frame` samples in a frame.
        start_time: ISO 8601 time of sample 0, None if unknown.
        shortages: one line for each signal file that was found shorter than its header says: it is read to its end.
    """

    frame_hz: float | None
    signals: tuple[Signal, ...]
    start_time: str | None
    shortages: list[str]

    def open(self, channel: int) -> int:
        """Check what is needed to read a signal; return its length in frames.

        Raises:
            SourceError: a file is missing, empty or of a format that is not read.
        """
        ...

    def read(self, channel: int, start: int, stop: int) -> Floats:
        """Samples `start` to `stop` of an opened signal, in its unit; NaN = invalid.

        Raises:
            SourceError: they cannot be read, or the file has become shorter.
        """
        ...


class SingleRecord:
    """A record of one segment; see Record. No file stays open between reads.

    Args:
        path: of the record, without suffix.
        header: read from `path`.hea.
        name: of the source, for errors.
    """

    def __init__(self, path: Path, header: Header, name: str) -> None:
        self.frame_hz, self.signals, self.start_time = header.frame_hz, header.signals, header.start_time
        self.stated_frames = header.frames
        self.shortages: list[str] = []
        self._path, self._name = path, name
        self._readers: dict[int, tuple[Callable[[int, int], NDArray[np.int64]], int, int | None]] = {}

    def open(self, channel: int) -> int:
        """See Record."""
        signal = self.signals[channel]
        if not signal.has_samples:
            raise SourceError(f"{self._name}: channel {signal.name} has no samples, only a name")
        group = [number for number, other in enumerate(self.signals) if other.file == signal.file]
        if signal.data_format not in FORMATS and signal.data_format not in FLAC_BITS:
            known = ", ".join([*FORMATS, *FLAC_BITS])
            raise SourceError(f"{self._name}: format {signal.data_format} of {signal.file} is none of WFDB: {known}")
        if len({self.signals[number].data_format for number in group}) > 1:
            raise SourceError(f"{self._name}: its header gives {signal.file} two formats; correct the header")
        file = signal_file(self._path, signal.file)
        if file is None:
            raise _no_signal_file(self._path, signal.file, self._name)
        kind = FlacFile if signal.data_format in FLAC_BITS else PlainFile
        per_frame = [self.signals[number].per_frame for number in group]
        try:
            opened = kind(file, signal.data_format, self.signals[group[0]].offset, per_frame)
        except OSError as error:
            raise SourceError(f"{self._name}: signal file {file} cannot be read ({error.strerror or error})") from None
        except ValueError as error:
            raise SourceError(f"{self._name}: signal file {file}: {error}") from None
        frames = opened.frames if self.stated_frames is None else self.stated_frames
        if opened.frames == 0:
            raise SourceError(f"{self._name}: the record holds no sample: {file} has {opened.size} bytes")
        if opened.frames < frames:
            self.shortages.append(f"{file} is cut off: it {opened.shortage(frames)}; read to its end")
            frames = opened.frames
        read: Callable[[int, int], NDArray[np.int64]] = partial(opened.read, group.index(channel))
        if signal.data_format == "8":
            read = DifferenceReader(read, signal.initial)
        self._readers[channel] = read, frames * signal.per_frame, opened.invalid
        return frames

    def read(self, channel: int, start: int, stop: int) -> Floats:
        """See Record."""
        signal = self.signals[channel]
        read, length, invalid = self._readers[channel]
        shift = signal.skew * signal.per_frame
        physical = np.full(stop - start, np.nan)  # a skewed signal ends early, and one that is cut off
        first, last = min(start + shift, length), min(stop + shift, length)
        try:
            counts = read(first, last)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"{self._name}: sample {start} cannot be read ({reason})") from None
        if counts.size < last - first:
            raise SourceError(f"{self._name}: its signal file became shorter while it was read")
        physical[: counts.size] = (counts - signal.baseline) / signal.gain
        if invalid is not None:
            physical[: counts.size][counts == invalid] = np.nan
        return physical


def signal_file(path: Path, written: str) -> Path | None:
    """The file that the header of the record at `path` names; None where there is none.

    It lies in the record's folder, also where the header names another folder or writes the name in another case.
    """
    relative = Path(written.replace("\\", "/"))
    for candidate in (path.parent / relative, path.parent / relative.name):
        if is_file(candidate):
            return candidate
    name = relative.name.lower()
    alike = [other for other in path.parent.iterdir() if other.name.lower() == name and is_file(other)]
    return alike[0] if len(alike) == 1 else None


def _no_signal_file(path: Path, written: str, name: str) -> SourceError:
    file = path.parent / Path(written.replace("\\", "/")).name
    own = path.parent / f"{path.name}.dat"
    remedy = "; fetch it too"
    if is_file(file.parent / f"{file.name}.gz"):
        remedy = f"; {file.name}.gz is there: decompress it with gunzip"
    elif is_file(own):
        remedy = f"; {own.name} is there: if it is the signal, write its name into {path.name}.hea"
    return SourceError(f"{name}: signal file {file} cannot be read (no such file){remedy}")
