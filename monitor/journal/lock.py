"""One monitor a journal: a lock of our own beside the file, so that SQLite's stay free for readers.

The lock belongs to the open file and goes with the process, however it ends; the empty file stays.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["JournalLock", "is_locked"]


class JournalLock:
    """Held from making it until `release`.

    Args:
        path: of the journal; links lead to the same lock.

    Raises:
        BlockingIOError: another monitor holds it.
        OSError: the lock's file cannot be made.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(_beside(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let go; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_locked(path: str) -> bool:
    """Whether a monitor writes this journal now; also where that cannot be found out, for want of permission."""
    try:
        descriptor = os.open(_beside(path), os.O_RDONLY | os.O_CLOEXEC)
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


def _beside(path: str) -> str:
    return f"{Path(path).resolve()}-lock"
