"""Files of database records: in the user's data folder, in our cache, or on PhysioNet."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from pathlib import Path

from monitor.errors import SourceError

__all__ = ["DATABASES", "PHYSIONET_URL", "data_folders", "find_record", "is_file", "is_folder", "nearest", "records"]

DATABASES = {"mitdb": "1.0.0", "nstdb": "1.0.0", "cudb": "1.0.0"}  # the version to download
PHYSIONET_URL = "https://physionet.org/files"
_SUFFIXES = ("dat", "atr", "hea")  # the header last: a record with a header is complete
_TIMEOUT_S = 20.0
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
        raise SourceError(
            f"{db}:* : no record in {' or '.join(map(str, dict.fromkeys(folders)))}; set ECG_MONITOR_DATA to a folder "
            f"that holds {db}/"
        )
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


def find_record(db: str, record: str, base_url: str = PHYSIONET_URL) -> Path:
    """Return the path of a record without suffix: in ECG_MONITOR_DATA, else in the cache, else downloaded into it.

    Args:
        db: one of DATABASES.
        record: name of the record, e.g. `208`.
        base_url: URL of the folder of databases; another one for a mirror.

    Raises:
        SourceError: no such record (names the nearest), or the download failed.
    """
    if not _RECORD_NAME.fullmatch(record):
        raise SourceError(f"{db}: {record!r} is no record name; write e.g. mitdb:208, nstdb:118e06 or cudb:cu01")
    folders = data_folders(db)
    for folder in folders:
        if (folder / f"{record}.hea").is_file():
            return folder / record
    for folder in folders:
        if (listing := folder / "RECORDS").is_file():
            _check_listed(db, record, listing.read_text(encoding="utf-8", errors="replace"))
    return _download(db, record, folders[1], f"{base_url}/{db}/{DATABASES[db]}")


def _check_listed(db: str, record: str, listing: str) -> None:
    names = listing.split()
    if record not in names:
        raise SourceError(f"{db} has no record {record!r}{nearest(record, names)}")


def _download(db: str, record: str, cache: Path, url: str) -> Path:
    """Download a record; it appears in the cache complete or not at all.

    Not by `wfdb.dl_database`: it prints, has no timeout, and leaves half a record when it is interrupted.
    """
    from urllib.request import urlopen

    try:
        with urlopen(f"{url}/RECORDS", timeout=_TIMEOUT_S) as reply:
            listing = reply.read().decode("utf-8", "replace")
        _check_listed(db, record, listing)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            for suffix in _SUFFIXES:
                with urlopen(f"{url}/{record}.{suffix}", timeout=_TIMEOUT_S) as reply:
                    (Path(folder) / suffix).write_bytes(reply.read())
            for suffix in _SUFFIXES:
                (Path(folder) / suffix).replace(cache / f"{record}.{suffix}")
    except OSError as error:  # URLError, HTTPError and timeouts are OSErrors too
        raise SourceError(
            f"{db}:{record} is neither in ECG_MONITOR_DATA nor in {cache}, and could not be downloaded from {url}"
            f" ({error}); set ECG_MONITOR_DATA to a folder that holds {db}/{record}.hea"
        ) from None
    return cache / record
