"""JSON lines on a file, a pipe or a terminal: whole lines only, and on the disk when `sync` returns."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
from collections.abc import Sequence
from typing import Final, TextIO

import msgspec

from monitor.atomic_file import sync_file
from monitor.commands.stdout import descriptor_of

if sys.platform != "win32":
    import fcntl

__all__ = ["LineFile"]

_BLOCK: Final = 65_536  # bytes read at once, from the end, to find the last line
_LINE_MAX: Final = 64 * _BLOCK  # a longer last line is not ours


class LineFile:
    """Writes lines past the buffer of a stream.

    A file never keeps a part of a line: after a full disk the part is cut off. A part that a kill or a loss of power
    left at the end is mended at the next start: the beginning of one of our lines is cut off if the line comes again,
    any other text gets the line break that it lacks.

    Args:
        out: the stream; a stream without a descriptor (a test) is written to and flushed.
        begins: how each line begins, e.g. `{"schema":"`.
        repeats: the messages of an unfinished last line will be written again.
    """

    def __init__(self, out: TextIO, *, begins: str = "", repeats: bool = False) -> None:
        self._out = out
        self._descriptor = descriptor_of(out)
        self._is_file = self._descriptor is not None and stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        if self._descriptor is not None and self._is_file:
            self._mend(self._descriptor, begins.encode(), repeats)

    def write(self, lines: Sequence[str]) -> None:
        """Write lines, each with a line break; they may still be in the memory of the system.

        Raises:
            OSError: not all could be written, e.g. because the disk is full; a file ends with a whole line.
        """
        for line in lines:
            data = f"{line}\n".encode()
            if self._descriptor is None:
                self._out.write(f"{line}\n")
                self._out.flush()
            else:
                self._write(self._descriptor, data)

    def sync(self) -> None:
        """Wait until all lines are on the disk; nothing for a pipe or terminal.

        Raises:
            OSError: they cannot be written.
        """
        if self._descriptor is not None and self._is_file:
            sync_file(self._descriptor)

    def _write(self, descriptor: int, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                try:
                    left = left[os.write(descriptor, left) :]
                except BlockingIOError:  # a pipe without blocking, whose reader is slow
                    select.select([], [descriptor], [])
        except BaseException:  # also Ctrl-C
            if self._is_file and len(left) < len(data):
                with contextlib.suppress(OSError):
                    self._cut(descriptor, len(data) - len(left))
            raise

    def _cut(self, descriptor: int, n_bytes: int) -> None:
        """Cut off the last `n_bytes`, which this process wrote."""
        end = os.fstat(descriptor).st_size - n_bytes
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)  # for a file that was not opened to append

    def _mend(self, descriptor: int, begins: bytes, repeats: bool) -> None:
        part = _unfinished(descriptor)
        if not part:
            return
        ours = len(part) < _LINE_MAX and (part.startswith(begins) or begins.startswith(part))
        if repeats and ours and not _is_json(part):
            self._cut(descriptor, len(part))
        else:
            self._write(descriptor, b"\n")


def _unfinished(descriptor: int) -> bytes:
    """The text after the last line break of a file, at most _LINE_MAX bytes of it; empty where it cannot be read."""
    try:
        reader = _to_read(descriptor)
    except OSError:
        return b""
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        part, at = b"", os.lseek(reader, 0, os.SEEK_END)
        if place < at and not _appends(descriptor):
            return b""  # the writer stands within the file: its end is not where we write
        while at and len(part) < _LINE_MAX and b"\n" not in part:
            step = min(_BLOCK, at)
            at -= step
            os.lseek(reader, at, os.SEEK_SET)
            part = os.read(reader, step) + part
        return part.rpartition(b"\n")[2]
    except OSError:  # Windows: it is open to write only
        return b""
    finally:
        os.close(reader)
        os.lseek(descriptor, place, os.SEEK_SET)


def _to_read(descriptor: int) -> int:
    """A descriptor that reads the file of `descriptor`, which `>>` opens to write only.

    Raises:
        OSError: there is none.
    """
    if sys.platform == "win32":
        return os.dup(descriptor)  # cmd opens a file for `>>` to read as well; the two share their place in it
    if sys.platform == "darwin":  # /dev/fd copies the descriptor there
        path = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return os.open(f"/dev/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def _is_json(part: bytes) -> bool:
    try:
        msgspec.json.decode(part)
    except msgspec.DecodeError:
        return False
    return True


def _appends(descriptor: int) -> bool:
    if sys.platform == "win32":  # the shell sets the place to the end, once
        return False
    else:  # noqa: RET505 - mypy
        return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
