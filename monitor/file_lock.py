"""A lock between processes: one holds it at a time; the system releases it when the process ends, also by a kill.

POSIX: flock(2). Windows: LockFile on the first byte, by `msvcrt.locking`; a byte beyond the end can be locked, so the
file may stay empty.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FileLock"]

_LOOK_S: Final = 0.05  # Windows: from one try to the next


class FileLock:
    """Held from construction until `release`, or as a context until its end.

    The file is created if missing, and stays: after a deletion two processes could each lock a file of that name.

    Args:
        path: of the lock file, which has no content.
        mode: permission bits of a new file, before the umask.
        wait: wait until the lock is free; False = it must be free now.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path, *, mode: int = 0o666, wait: bool = False) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
        try:
            while not _lock(self._descriptor, wait=wait):
                time.sleep(_LOOK_S)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock; may be called twice."""
        if self._descriptor >= 0:
            _unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a process holds the lock now; True also where the file cannot be read. Creates no file."""
        try:
            with path.open("rb") as file:
                _lock(file.fileno(), shared=True)
                _unlock(file.fileno())
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


if sys.platform == "win32":

    def _lock(descriptor: int, *, wait: bool = False, shared: bool = False) -> bool:  # noqa: ARG001 - there is none
        """Lock the file; False = not free yet, try again.

        Raises:
            BlockingIOError: held, and not `wait`.
        """
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            if wait:
                return False
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _lock(descriptor: int, *, wait: bool = False, shared: bool = False) -> bool:
        """Lock the file; True.

        Raises:
            BlockingIOError: held, and not `wait`.
        """
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
