"""Files that are replaced as a whole, and on the disk on return where that is promised.

After a kill, and for any reader, a file has the old content or the new one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

if sys.platform == "darwin":
    import fcntl

__all__ = ["move", "opener", "replace_file", "sync", "sync_file"]

_TRIES: Final = 25  # Windows: half a second for a reader or a virus scanner to close the file
_TRY_S: Final = 0.02


def replace_file(path: Path, content: bytes | str, *, mode: int = 0o644, durable: bool = False) -> None:
    """Write `content` to a draft beside `path`, then rename the draft to `path`.

    Args:
        path: of the file; its folder must exist.
        content: the whole content; text is encoded as UTF-8.
        mode: permission bits of the new file, before the umask; without effect on Windows.
        durable: wait until file and folder are on the disk, so that the content survives a loss of power.

    Raises:
        OSError: from the system; the old file is untouched and no draft is left.
    """
    data = content.encode() if isinstance(content, str) else content
    # "x" (O_EXCL) and a random name: a symbolic link prepared at a known name is never followed.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    file = open(draft, "xb", opener=opener(mode))  # noqa: SIM115 - Path.open takes no opener
    try:
        with file:
            file.write(data)
            if durable:
                file.flush()
                sync_file(file.fileno())
        move(draft, path)
        if durable:
            sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def opener(mode: int) -> Callable[[str, int], int]:
    """For `open`: a new file has these permission bits, before the umask."""
    return lambda path, flags: os.open(path, flags, mode)


def move(path: Path, target: Path) -> None:
    """Rename a file, or a folder where there is no `target`; a file at `target` is replaced.

    Windows refuses to replace a file, or to rename a folder, while another program has it open: it is tried again for
    half a second.

    Raises:
        OSError: from the system.
    """
    for left in reversed(range(_TRIES if sys.platform == "win32" else 1)):
        try:
            path.replace(target)
            return
        except PermissionError:
            if not left:
                raise
            time.sleep(_TRY_S)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk. Windows: of a file only, a folder cannot be opened there."""
    if sys.platform == "win32":
        if path.is_dir():
            return
        descriptor = os.open(path, os.O_RDWR | os.O_BINARY)  # FlushFileBuffers needs the right to write
    else:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def sync_file(descriptor: int) -> None:
    """Wait until an open file is on the disk; on Windows one that is open for writing.

    macOS: fsync(2) leaves the data in the cache of the drive, F_FULLFSYNC does not; not each file system has it.
    """
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)
