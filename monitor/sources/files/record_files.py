"""Files of database records: in the user's data folder, or in our cache, where `ecg-monitor fetch` puts them."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from monitor.errors import SourceError

__all__ = ["DATABASES", "PHYSIONET_URL", "data_folders", "find_record", "is_file", "is_folder", "nearest", "records"]

DATABASES = {"mitdb": "1.0.0", "nstdb": "1.0.0", "cudb": "1.0.0"}  # the version that `fetch` downloads
PHYSIONET_URL = "https://physionet.org/files"
_RECORD_NAME = re.compile(r"\w{1,40}")


def data_folders(db: str) -> tuple[Path, Path]:
    """Return the folders of `db`: the one in ECG_MONITOR_DATA (if set, else the cache), and the one in our cache."""
    from platformdirs import user_cache_dir

    cache = Path(user_cache_dir("ecg-monitor")) / db
    root = os.environ.get("ECG_MONITOR_DATA")
    return (Path(root) / db if root else cache), cache


def records(db: str) -> list[str]:
    """Return the names of all records of `db` on this machine, sorted.

    Raises:
        SourceError: there is no record.
    """
    folders = data_folders(db)
    names = sorted({file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.hea")})
    if not names:
        raise SourceError(f"{db}:* : no record in {_listed(folders)}; {_remedy(db, db)}")
    return names


def is_file(path: Path) -> bool:
    """Whether `path` is a file; False also where its name cannot be one (too long)."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; False also where its name cannot be one (too long)."""
    try:
        return path.is_dir()
    except OSError:
        return False


def nearest(name: str, names: list[str]) -> str:
    """Return `; nearest: ...` with the names most similar to `name`, for an error."""
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.4)
    return f"; nearest: {', '.join(near)}" if near else f"; there are {', '.join(sorted(names)[:12])} ..."


def find_record(db: str, record: str) -> Path:
    """Return the path of a record without suffix: in ECG_MONITOR_DATA, else in the cache.

    Args:
        db: one of DATABASES.
        record: name of the record, e.g. `208`.

    Raises:
        SourceError: no such record (names the nearest), or it is not on this machine.
    """
    if not _RECORD_NAME.fullmatch(record):
        raise SourceError(f"{db}: {record!r} is no record name; write e.g. mitdb:208, nstdb:118e06 or cudb:cu01")
    folders = data_folders(db)
    for folder in folders:
        if (folder / f"{record}.hea").is_file():
            return folder / record
    for folder in folders:
        if (listing := folder / "RECORDS").is_file():
            names = listing.read_text(encoding="utf-8", errors="replace").split()
            if record not in names:
                raise SourceError(f"{db} has no record {record!r}{nearest(record, names)}")
    raise SourceError(f"{db}:{record} is not in {_listed(folders)}; {_remedy(db, f'{db}:{record}')}")


def _listed(folders: tuple[Path, ...]) -> str:
    return " or ".join(map(str, dict.fromkeys(folders)))


def _remedy(db: str, what: str) -> str:
    return f"download it with `ecg-monitor fetch {what}`, or set ECG_MONITOR_DATA to a folder that holds {db}/"
