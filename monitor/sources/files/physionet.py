"""Download of a PhysioNet database, or of one record of it: resumed after a break, checked by SHA-256."""

from __future__ import annotations

import functools
import hashlib
import http.client
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from monitor.errors import SourceError, plain_line
from monitor.sources.files.record_files import DATABASES, PHYSIONET_URL, nearest

__all__ = ["SUMS", "Database", "Fetched", "fetch", "find_database"]

SUMS: Final = "SHA256SUMS.txt"  # `HASH  PATH` of each file of a database
_TIMEOUT_S: Final = 20.0  # without a byte
_ATTEMPTS: Final = 4  # in a row that bring no byte
_FIRST_WAIT_S: Final = 0.5  # between two attempts; doubled each time
_PIECE: Final = 1 << 20  # bytes
_LISTING_MAX: Final = 64 << 20  # bytes; MIT-BIH has 15 KB
_KEEP_FREE: Final = 100 << 20  # bytes of the disk
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_VERSION: Final = re.compile(r"\d[\w.]{0,30}")
_PART_OF_PATH = r"[\w.+@=,()#~ -]+"  # also on Windows: no colon, no backslash
_LINE: Final = re.compile(rf"([0-9a-fA-F]{{64}})\s+\*?({_PART_OF_PATH}(?:/{_PART_OF_PATH})*)")
_NETWORK: Final = (OSError, http.client.HTTPException)  # URLError, HTTPError and timeouts are OSErrors


class Database(NamedTuple):
    """A database, or a part of it.

    Attributes:
        name, version: e.g. `mitdb`, `1.0.0`.
        url: of its folder.
        files: path within the folder -> SHA-256, hex.
    """

    name: str
    version: str
    url: str
    files: dict[str, str]


class Fetched(NamedTuple):
    """Result of a download: files that are there now, those of them that were there before, bytes read."""

    files: int
    kept: int
    bytes_read: int


def find_database(name: str, record: str = "", version: str = "", base_url: str = PHYSIONET_URL) -> Database:
    """List the files of a database.

    Args:
        name: as in its address, e.g. `mitdb`.
        record: only the files of this record, e.g. `208`; empty = all files.
        version: e.g. `1.0.0`; empty = the one that the sources use, else the newest.
        base_url: URL of the folder of databases; another one for a mirror.

    Raises:
        SourceError: no such database, version or record, one with restricted access, or no network.
    """
    if not _NAME.fullmatch(name):
        raise SourceError(f"fetch {name}: no name of a database; write e.g. mitdb, as in physionet.org/content/mitdb")
    if version and not _VERSION.fullmatch(version):
        raise SourceError(f"fetch {name}: --version {version} is no version; write e.g. 1.0.0")
    if not base_url.startswith(("https://", "http://")):
        raise SourceError(f"fetch {name}: --mirror {base_url} is no address; write e.g. {PHYSIONET_URL}")
    base_url = base_url.rstrip("/")
    version = version or DATABASES.get(name) or _newest_version(name, base_url)
    url = f"{base_url}/{name}/{version}"
    files = _read_sums(name, _read_text(f"{url}/{SUMS}", name))
    if record:
        if f"{record}.hea" not in files:
            names = [path.removesuffix(".hea") for path in files if path.endswith(".hea")]
            raise SourceError(f"fetch {name}:{record}: {name} has no such record{nearest(record, names)}")
        own = re.compile(rf"{re.escape(record)}[._-].*")
        files = {path: sha256 for path, sha256 in files.items() if own.fullmatch(path)}
    return Database(name, version, url, files)


def fetch(database: Database, folder: Path, progress: Callable[[str, int], None] = lambda *_: None) -> Fetched:
    """Download the files that are missing. A file appears in the folder complete and checked, or not at all.

    What is broken off is kept as `NAME.part`, and the next call continues it.

    Args:
        database: of `find_database`.
        folder: made if it is missing.
        progress: receives the file and the bytes read since the last call; 0 when a file is complete.

    Raises:
        SourceError: the network or the disk fails, a checksum is wrong, or another file with that name is there.
    """
    kept = total = 0
    for path, sha256 in database.files.items():
        target = folder / path
        name = f"fetch {database.name}: {path}"
        try:
            if target.exists():
                if _hash(target) != sha256:
                    raise SourceError(f"{name}: {target} has another content; move it away and repeat the command")
                kept += 1
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                url = f"{database.url}/{quote(path)}"
                total += _fetch_file(url, target, sha256, name, functools.partial(progress, path))
        except OSError as error:  # of the disk: those of the network are handled where they occur
            raise SourceError(f"{name}: {error.filename or folder}: {error.strerror}; give another --to DIR") from None
        progress(path, 0)
    return Fetched(len(database.files), kept, total)


def _fetch_file(url: str, target: Path, sha256: str, name: str, progress: Callable[[int], None]) -> int:
    """Download one file; returns the bytes read."""
    part = target.with_name(f"{target.name}.part")
    total = failures = 0
    why = ""
    while failures < _ATTEMPTS:
        if failures:
            time.sleep(_FIRST_WAIT_S * 2 ** (failures - 1))
        before = total
        try:
            for count in _pieces(url, part, name):
                total += count
                progress(count)
        except HTTPError as error:
            error.close()
            if error.code in (401, 403, 404):
                raise SourceError(f"{name}: {url} cannot be read ({error}); repeat the command later") from None
            why = str(error)
        except _BrokenError as broken:
            why = str(broken)
        else:
            if _hash(part) == sha256:
                part.replace(target)
                return total
            part.unlink()
            why = f"its SHA-256 is not that of {SUMS}"
            before = total
        failures = 1 if total > before else failures + 1
    raise SourceError(f"{name}: {url} cannot be read ({why}); repeat the command, it continues where it ended")


class _BrokenError(Exception):
    """The connection failed; what arrived is kept."""


def _pieces(url: str, part: Path, name: str) -> Any:
    """Append the rest of a file to `part`; yields the bytes of each piece."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        reply = urlopen(request, timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code == 416:  # nothing is left: the checksum decides
            error.close()
            return
        raise
    except _NETWORK as error:
        raise _BrokenError(_reason(error)) from None
    with reply:
        if reply.length is None:
            raise SourceError(f"{name}: {url} states no length; give another --mirror")
        left: int = reply.length
        with part.open("ab" if have and reply.status == 206 else "wb") as file:
            while left > 0:
                piece = _read_piece(reply)
                if shutil.disk_usage(part.parent).free < _KEEP_FREE + len(piece):
                    raise SourceError(
                        f"{name}: {part.parent}: the disk is full; free some space and repeat the command"
                    )
                file.write(piece)
                left -= len(piece)
                yield len(piece)


def _read_piece(reply: IO[bytes]) -> bytes:
    try:
        piece = reply.read1(_PIECE)  # type: ignore[attr-defined]
    except _NETWORK as error:
        raise _BrokenError(_reason(error)) from None
    if not piece:
        raise _BrokenError("the connection ended early")
    return bytes(piece)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: BaseException) -> str:
    return plain_line(getattr(error, "reason", error)) or type(error).__name__


def _read_text(url: str, name: str) -> str:
    try:
        with urlopen(url, timeout=_TIMEOUT_S) as reply:
            content: bytes = reply.read(_LISTING_MAX + 1)
    except HTTPError as error:
        error.close()
        if error.code == 404:
            why = "no such database or version; the names are those of https://physionet.org/about/database"
        elif error.code in (401, 403):
            why = "needs an account; download it with a browser and give wfdb:PATH"
        else:
            why = f"{error}; repeat the command later"
        raise SourceError(f"fetch {name}: {url}: {why}") from None
    except _NETWORK as error:
        reason = _reason(error)
        remedy = f"set ECG_MONITOR_DATA to a folder that holds {name}/, or give a --mirror"
        raise SourceError(f"fetch {name}: {url} cannot be read ({reason}); {remedy}") from None
    if len(content) > _LISTING_MAX:
        raise SourceError(f"fetch {name}: {url} is larger than {_LISTING_MAX >> 20} MB; download it by other means")
    return content.decode("utf-8", "replace")


def _read_sums(name: str, text: str) -> dict[str, str]:
    files: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        found = _LINE.fullmatch(line)
        if found is None or {".", ".."} & set(found[2].split("/")):
            raise SourceError(
                f"fetch {name}: {SUMS} has no HASH and PATH in {plain_line(line)[:80]!r}; give a --mirror"
            )
        files[found[2]] = found[1].lower()
    if not files:
        raise SourceError(f"fetch {name}: {SUMS} is empty; give a --mirror or another --version")
    return files


def _newest_version(name: str, base_url: str) -> str:
    """The version to which PhysioNet's page of a database leads, or the highest one in the list of a mirror."""
    page = f"{base_url.removesuffix('/files')}/content/{name}/" if base_url == PHYSIONET_URL else f"{base_url}/{name}/"
    try:
        with urlopen(page, timeout=_TIMEOUT_S) as reply:
            places = [reply.url, *re.findall(r'href="([^"]+)"', reply.read(_LISTING_MAX).decode("utf-8", "replace"))]
    except HTTPError as error:
        error.close()
        remedy = "the names are those of https://physionet.org/about/database"
        raise SourceError(f"fetch {name}: {page}: {error}; {remedy}") from None
    except _NETWORK as error:
        remedy = f"set ECG_MONITOR_DATA to a folder that holds {name}/, or give a --mirror"
        raise SourceError(f"fetch {name}: {page} cannot be read ({_reason(error)}); {remedy}") from None
    own = re.compile(rf"(?:.*/{re.escape(name)}/)?({_VERSION.pattern})/?")
    found = [match[1] for place in places if (match := own.fullmatch(place))]
    if not found:
        raise SourceError(f"fetch {name}: no version in {page}; give one, e.g. --version 1.0.0")
    return max(found, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
