"""Open the file of a journal: check, migrate and lock it, or raise one line with the reason.

One monitor writes: a lock file beside the journal keeps others out, and SQLite's own locks stay free for readers. The
system releases the lock when the process ends, also by a kill; the empty lock file stays.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from monitor.errors import JournalError, JournalInUse
from monitor.file_lock import FileLock
from monitor.journal.schema import APPLICATION_ID, NAMES, VERSION, create, migrate

__all__ = [
    "BUSY_TIMEOUT_MS",
    "LAST_TIMEOUT_MS",
    "MEMORY",
    "FilePlace",
    "is_locked",
    "journal_error",
    "open_for_reading",
    "open_for_writing",
    "wait_for_lock",
]

MEMORY = ":memory:"
OPEN_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 5.0
BUSY_TIMEOUT_MS = 50  # while the monitor runs: a program that holds SQLite's own lock must not delay the loop
LAST_TIMEOUT_MS = 2000  # when the monitor ends
WAL_BYTES = 8 << 20  # the log file is cut to this after a long read has let it grow


def open_for_writing(path: str) -> tuple[sqlite3.Connection, FileLock | None]:
    """Open the file of a journal, or `:memory:`, for writing. A missing file is created, an older one is migrated.

    Return the connection, in autocommit mode (the caller begins and ends transactions), and the lock that keeps another
    monitor out (None in memory).

    Raises:
        JournalInUse: another monitor has it open.
        JournalError: damaged, not a journal, read-only, or of a newer version.
    """
    lock: FileLock | None = None
    db: sqlite3.Connection | None = None
    try:
        if path != MEMORY:
            _require_writable(path)
            lock = FileLock(Path(_lock_path(path)))
        # One thread may open and another write, but never two at the same time.
        db = sqlite3.connect(path, timeout=OPEN_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        _prepare(db, path)
    except (sqlite3.Error, OSError, ValueError, JournalError) as error:
        if db is not None:
            db.close()
        if lock is not None:
            lock.release()
        if isinstance(error, JournalError):
            raise
        raise journal_error(path, error) from error
    return db, lock


def open_for_reading(path: str) -> sqlite3.Connection:
    """Open a journal to read it, also while a monitor writes it.

    Raises:
        JournalError: no such file, damaged, not a journal, or of another version.
    """
    db: sqlite3.Connection | None = None
    try:
        if not Path(path).is_file():
            raise JournalError(
                f"journal {path}: no such file; give the one that a monitor wrote with --journal or --record"
            )
        real = os.path.realpath(path)  # not Path.resolve, which raises RuntimeError in a loop of links
        # Without write permission for the folder SQLite cannot create its shared memory. A file that no monitor
        # writes to can be read without it.
        wal = Path(f"{path}-wal")
        immutable = not os.access(Path(real).parent, os.W_OK) and not (wal.exists() and wal.stat().st_size)
        options = "mode=ro&immutable=1" if immutable else "mode=ro"
        db = sqlite3.connect(f"{Path(real).as_uri()}?{options}", uri=True, timeout=READ_TIMEOUT_S, isolation_level=None)
        empty, version = _marks(db, path)
        if empty or version < VERSION:
            reason = "is empty" if empty else f"is of version {version}, this program reads {VERSION}"
            raise JournalError(f"journal {path} {reason}; a monitor started with --journal {path} brings it up to date")
        _require_tables(db, path)
    except (sqlite3.Error, OSError, JournalError) as error:
        if db is not None:
            db.close()
        if isinstance(error, JournalError):
            raise
        raise journal_error(path, error, reading=True) from error
    return db


class FilePlace:
    """Where the files of an open journal are: the journal, its log and its lock file."""

    def __init__(self, path: str) -> None:
        self._files: dict[str, tuple[int, int]] = {}
        if path != MEMORY:
            real = os.path.realpath(path)
            for name in (real, f"{real}-wal", _lock_path(path)):
                found = Path(name).stat()
                self._files[name] = found.st_dev, found.st_ino

    def gone(self) -> str:
        """The first file that is no longer found at its path, or is another one there; empty while all are."""
        for name, own in self._files.items():
            try:
                found = Path(name).stat()
            except OSError:
                return name
            if (found.st_dev, found.st_ino) != own:
                return name
        return ""


def wait_for_lock(db: sqlite3.Connection, timeout_ms: int) -> None:
    """Set how long a statement waits for a lock that another program holds."""
    db.execute(f"PRAGMA busy_timeout={timeout_ms}")


def is_locked(path: str) -> bool:
    """Whether a monitor writes this journal now; True also where the lock file cannot be read."""
    return FileLock.is_held(Path(_lock_path(path)))


def journal_error(path: str, error: Exception, *, reading: bool = False) -> JournalError:
    """The error of the journal for one of SQLite or the system: one line with the reason and a remedy."""
    name = getattr(error, "sqlite_errorname", "")
    kind = JournalError
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or isinstance(error, BlockingIOError):
        kind = JournalInUse
        reason = "is in use by another program; give this monitor another file"
    elif name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        reason = f"is damaged or no journal ({error}); move it away or give another file"
    elif reading:
        reason = f"cannot be read ({error}); give another file"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")) or isinstance(error, OSError):
        reason = f"cannot be written ({error}); give a file in a folder of your own"
    else:
        reason = f"cannot be used ({error}); give another file"
    remedy = "" if reading else ", or :memory: for none on disk"
    return kind(f"journal {path} {reason}{remedy}".replace("\n", " "))


def _require_writable(path: str) -> None:
    """Raise the system's error for a file that cannot be written; SQLite would report a disk I/O error later.

    Opening the file to try would drop, on closing it, SQLite's locks of a journal that this process has open.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    effective = os.access in os.supports_effective_ids
    if Path(path).exists() and not os.access(path, os.W_OK, effective_ids=effective):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _prepare(db: sqlite3.Connection, path: str) -> None:
    """Set up and migrate the tables in one transaction: a kill in the middle leaves the old tables."""
    empty, _ = _marks(db, path)
    if empty:
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # only possible before the first table
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA fullfsync=ON")  # macOS: also out of the cache of the drive; elsewhere without effect
    db.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    db.execute("BEGIN EXCLUSIVE")
    empty, version = _marks(db, path)
    if empty:
        create(db)
    else:
        migrate(db, version)
        _require_tables(db, path)
    db.execute(f"PRAGMA user_version={VERSION}")  # a write, so that a read-only file fails now
    db.execute("COMMIT")


def _require_tables(db: sqlite3.Connection, path: str) -> None:
    """Check that a journal has its tables and views.

    Raises:
        JournalError: one is missing: the file is damaged, or another program changed it.
    """
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if missing := sorted(NAMES - there):
        raise JournalError(f"journal {path} is damaged: it has no {missing[0]}; move it away or give another file")


def _marks(db: sqlite3.Connection, path: str) -> tuple[bool, int]:
    """Whether the file has no tables yet, and the version of the tables.

    Raises:
        JournalError: a database of another program, or of a newer version.
    """
    empty = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if empty:
        return True, 0
    if application != APPLICATION_ID or version < 1:
        raise JournalError(
            f"journal {path} is not a journal this version can read (marks {application:#x}, {version}); "
            f"give another file"
        )
    if version > VERSION:
        raise JournalError(
            f"journal {path} is of version {version}, written by a newer ecg-monitor; this one knows {VERSION}: "
            f"update it, or give another file"
        )
    return False, version


def _lock_path(path: str) -> str:
    """The lock file of a journal; links to one journal share it."""
    return f"{os.path.realpath(path)}-lock"
