"""Replace a small file as a whole: after a kill, and for any reader, it has the old content or the new one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["replace_file", "sync"]


def replace_file(path: Path, content: bytes | str, *, mode: int = 0o644, durable: bool = False) -> None:
    """Write `content` to a draft beside `path`, then rename the draft to `path`.

    Args:
        path: of the file; its folder must exist.
        content: the whole content; text is encoded as UTF-8.
        mode: permission bits of the new file, before the umask.
        durable: wait until file and folder are on the disk (fsync), so that the content survives a loss of power.

    Raises:
        OSError: from the system; the old file is untouched and no draft is left.
    """
    data = content.encode() if isinstance(content, str) else content
    # O_EXCL and a random name: a symbolic link prepared at a known name is never followed.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
        if durable:
            sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
