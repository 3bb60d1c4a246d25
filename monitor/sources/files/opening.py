"""Opening of a binary file that a source reads piece by piece."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from monitor.errors import SourceError, first_line

__all__ = ["opened"]


@contextlib.contextmanager
def opened(path: str, kind: str, name: str) -> Iterator[BinaryIO]:
    """Open a file and let the block read its header; the file stays open, unless the block fails.

    Args:
        path: of the file; `~` is the user's home.
        kind: of the source, for the remedy, e.g. `edf`.
        name: of the source, for the errors.

    Raises:
        SourceError: no path, or a file that cannot be opened or read.
    """
    if not path:
        raise SourceError(f"{name}: name the file, {kind}:PATH")
    try:
        file = Path(path).expanduser().open("rb")
    except (OSError, RuntimeError, ValueError) as error:  # the last two: no such user, a NUL in the path
        reason = getattr(error, "strerror", None) or first_line(error)
        raise SourceError(f"{name}: {path!r} cannot be read ({reason})") from None
    try:
        yield file
    except OSError as error:
        file.close()
        raise SourceError(f"{name}: {path} cannot be read ({error.strerror})") from None
    except BaseException:
        file.close()
        raise
