"""The files of a record, and whether they have changed since it was scored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from monitor.errors import SourceError

__all__ = ["InputFile", "files_of", "hash_files", "segments_of", "unchanged"]


class InputFile(msgspec.Struct, frozen=True):
    """A file at the time of scoring: absolute path, bytes, last write (ns since 1970), SHA-256 (hex) of its content."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


def files_of(spec: str) -> list[Path]:
    """Files of a source, in a fixed order; empty for a source without files (`sim`, other packages).

    Raises:
        SourceError: no such record.
    """
    from monitor.sources.files.record_files import DATABASES, find_record

    kind, _, what = spec.partition(":")
    if kind in DATABASES:
        return _of_wfdb(find_record(kind, what))
    if kind == "wfdb":
        return _of_wfdb(Path(what.removesuffix(".hea").removesuffix(".dat")))
    return [Path(what)] if kind in ("edf", "csv") else []


def hash_files(files: Sequence[Path], spec: str) -> list[InputFile]:
    """Read each file once and hash it.

    Raises:
        SourceError: one cannot be read.
    """
    found = []
    for path in files:
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            stat = path.stat()
        except OSError as error:
            raise SourceError(f"{spec}: {path} cannot be read ({error.strerror})") from None
        found.append(InputFile(str(path.resolve()), stat.st_size, stat.st_mtime_ns, digest.hexdigest()))
    return found


def unchanged(known: Sequence[InputFile], files: Sequence[Path]) -> bool:
    """Whether path, size and time of all files are those known, as `make` compares; no file is read."""
    if [file.path for file in known] != [str(path.resolve()) for path in files]:
        return False
    for file, path in zip(known, files, strict=True):
        try:
            stat = path.stat()
        except OSError:
            return False
        if (stat.st_size, stat.st_mtime_ns) != (file.size, file.mtime_ns):
            return False
    return True


def segments_of(path: Path) -> list[Path]:
    """Segments of the WFDB record at `path`, without suffix, each once; empty for a record of one segment."""
    from monitor.sources.files.wfdb_header import NULL, read_header

    try:
        segments = read_header(path, str(path)).segments
    except SourceError:
        return []  # opening the record reports the reason
    return [path.parent / name for name in dict.fromkeys(segment.name for segment in segments) if name != NULL]


def _of_wfdb(path: Path, *, segments: bool = True) -> list[Path]:
    from monitor.sources.files.wfdb_header import read_header
    from monitor.sources.files.wfdb_record import signal_file

    header = path.with_name(path.name + ".hea")
    if inner := segments_of(path):
        found = [_of_wfdb(segment, segments=False) for segment in inner] if segments else []
        return list(dict.fromkeys([header, *(file for files in found for file in files)]))
    try:
        names = dict.fromkeys(signal.file for signal in read_header(path, str(path)).signals)
    except SourceError:
        return [header]
    return [header, *(file for name in names if (file := signal_file(path, name)))]
