"""Find the records of a command line: data sets, patterns, folders, files."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.archive.inputs import segments_of
from monitor.errors import ConfigError, SourceError

__all__ = ["ArchiveRecord", "find_records"]

_FILE_KINDS: Final = {"wfdb": (".hea",), "edf": (".edf", ".bdf"), "ishne": (".ecg",), "csv": (".csv", ".txt")}
_IN_FOLDERS: Final = ("wfdb", "edf", "ishne")  # a text file may be anything: it must be named
_NAME_MAX: Final = 100  # file systems allow 255 bytes, with `.part` or `.lock`


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """One record: its folder in --out, unique in a run, and its source, e.g. `edf:/archive/12.edf` (absolute)."""

    name: str
    spec: str


def find_records(asked: Iterable[str]) -> list[ArchiveRecord]:
    """Every record of the arguments, once, in their order; sorted within a pattern or folder.

    Args:
        asked: `mitdb:208`, `mitdb:*`, `wfdb:PATH`, `edf:PATH`, `csv:PATH`, `sim:SCENARIO`, a path, a pattern
            (`archive/**/*.hea`) or a folder (its WFDB, EDF, BDF and ISHNE records, also in folders below).

    Raises:
        ConfigError: nothing matches, a live source, a file of no known kind, or two records of one name.
    """
    found: dict[str, ArchiveRecord] = {}
    for text in asked:
        for record in _expand(text):
            known = found.setdefault(record.name, record)
            if known.spec != record.spec:
                raise ConfigError(
                    f"score: {known.spec} and {record.spec} would both be written to {record.name}; "
                    "score them into two folders (--out), or name the folder above both"
                )
    return list(found.values())


def _expand(text: str) -> Iterator[ArchiveRecord]:
    from monitor.engine.bed_plan import WAITED_FOR
    from monitor.sources.files.record_files import DATABASES
    from monitor.sources.plugin import plugin_kinds

    kind, colon, what = text.partition(":")
    if text == "-" or (kind in WAITED_FOR and (colon or not Path(text).exists())):
        raise ConfigError(f"{text}: a live source has no end; score records, e.g. mitdb:208 or FILE.edf")
    if kind in DATABASES and colon:
        names = _of_database(kind, what) if glob.has_magic(what) else [what]
        yield from (ArchiveRecord(_plain(f"{kind}-{name}"), f"{kind}:{name}") for name in names)
    elif kind in _FILE_KINDS and colon:
        yield from _files(text, what, (kind,))
    elif kind == "sim" or (colon and kind in plugin_kinds()):
        yield ArchiveRecord(_plain(text), text)
    else:
        yield from _files(text, text, ())


def _of_database(db: str, pattern: str) -> list[str]:
    from monitor.sources.files.record_files import nearest, records

    try:
        names = records(db)
    except SourceError as error:
        raise ConfigError(f"{db}:{pattern}: {error}") from None
    chosen = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if not chosen:
        raise ConfigError(f"{db}:{pattern}: no such record{nearest(pattern, names)}")
    return chosen


def _files(text: str, what: str, kinds: tuple[str, ...]) -> Iterator[ArchiveRecord]:
    """Records of a path, a pattern or a folder; `kinds` as before the colon, empty = by the suffix of the file."""
    path = Path(what).expanduser()
    if what and glob.has_magic(what):
        root = Path(*_plain_parts(path))
        found = [file for match in sorted(root.glob(str(path.relative_to(root)))) for file in _below(match, kinds)]
    elif what and path.is_dir():
        root, found = path, _below(path, kinds)
    else:
        root, found = path.parent, [path]
        if not path.is_file() and not path.with_name(path.name + ".hea").is_file():
            raise ConfigError(f"{text}: no such file, folder or kind of source")
        kind = kinds[0] if kinds else _kind_of(path)
        if kind is None:
            raise ConfigError(f"{text}: say what it is, e.g. wfdb:{what}, edf:{what} or csv:{what}")
        yield _record(root, path, kind)
        return
    kinds = kinds or (tuple(_FILE_KINDS) if path.suffix.lower() in _FILE_KINDS["csv"] else _IN_FOLDERS)
    records = [(file, kind) for file in dict.fromkeys(found) if (kind := _kind_of(file)) in kinds]
    headers = [file.with_suffix("") for file, kind in records if kind == "wfdb"]
    segments = {segment for path in headers for segment in segments_of(path)}
    whole = [(file, str(kind)) for file, kind in records if file.with_suffix("") not in segments]
    if not whole:
        raise ConfigError(f"{text}: no record there; looked for {', '.join(_suffixes(kinds))}")
    yield from (_record(root, file, kind) for file, kind in whole)


def _below(path: Path, kinds: tuple[str, ...]) -> list[Path]:
    """The file itself, or the records of a folder."""
    if not path.is_dir():
        return [path]
    wanted = _suffixes(kinds or _IN_FOLDERS)
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in wanted and file.is_file())


def _suffixes(kinds: tuple[str, ...]) -> list[str]:
    return [suffix for kind in kinds or tuple(_FILE_KINDS) for suffix in _FILE_KINDS[kind]]


def _kind_of(file: Path) -> str | None:
    for kind, suffixes in _FILE_KINDS.items():
        if file.suffix.lower() in suffixes:
            return kind
    bare = file.with_suffix("") if file.suffix == ".dat" else file
    return "wfdb" if bare.with_name(bare.name + ".hea").is_file() else None


def _record(root: Path, file: Path, kind: str) -> ArchiveRecord:
    known = file.suffix.lower() in (*_FILE_KINDS[kind], ".dat")
    stem = file.with_suffix("") if known else file
    shown = stem.relative_to(root) if stem.is_relative_to(root) else Path(stem.name)
    path = stem if kind == "wfdb" else file
    return ArchiveRecord(_plain("__".join(shown.parts)), f"{kind}:{path.resolve()}")


def _plain_parts(path: Path) -> list[str]:
    """The folders of a pattern before the first with a wildcard."""
    return list(itertools.takewhile(lambda part: not glob.has_magic(part), path.parts[:-1])) or ["."]


def _plain(text: str) -> str:
    """A folder name for an argument; never hidden, never too long for a file system."""
    name = re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).lstrip(".-") or "record"
    if len(name) <= _NAME_MAX and name == text.replace(":", "-"):
        return name
    # The hash keeps arguments apart that differ in replaced characters only.
    return f"{name[: _NAME_MAX - 9]}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"
