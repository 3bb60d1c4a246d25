"""One monitor per journal: a lock file beside the journal, so that SQLite's own locks stay free for readers.

The system releases the lock when the process ends, also by a kill; the empty lock file stays.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["JournalLock", "is_locked"]


class JournalLock:
    """Held from construction until `release`.

    Args:
        path: of the journal; links to one file share one lock.

    Raises:
        BlockingIOError: another monitor holds it.
        OSError: the lock file cannot be created.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Release the lock; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_locked(path: str) -> bool:
    """Whether a monitor writes this journal now; True also where the lock file cannot be read."""
    try:
        descriptor = os.open(_lock_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock_path(path: str) -> str:
    return f"{Path(path).resolve()}-lock"
