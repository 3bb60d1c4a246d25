"""Standard output of a command: a closed pipe is no error, a full disk is one line."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from monitor.errors import ConfigError

__all__ = ["descriptor_of", "discard", "is_closed_pipe", "standard_output"]


@contextlib.contextmanager
def standard_output(command: str, out: TextIO | None = None) -> Iterator[TextIO]:
    """The stream to print the result of a command to; flushed at the end of the context.

    When the reader of the pipe has gone (`| head`), the context ends early and without an error.

    Args:
        command: name of the command for the error.
        out: the stream; None = standard output.

    Raises:
        ConfigError: the stream cannot be written, e.g. because the disk is full.
    """
    stream = sys.stdout if out is None else out
    try:
        yield stream
        stream.flush()
    except OSError as error:
        discard(stream)
        if is_closed_pipe(error):
            return
        raise ConfigError(f"{command}: standard output: {error.strerror}; write somewhere else") from None


def is_closed_pipe(error: OSError) -> bool:
    """Whether a write failed because the reader of the pipe has gone; Windows reports it as EINVAL."""
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)


def descriptor_of(stream: TextIO) -> int | None:
    """The descriptor for bytes past the buffer of a stream; None for a stream that takes text only.

    That is a stream which is no real file, or the console of Windows, which takes bytes in its own character set.
    """
    try:
        descriptor = stream.fileno()
    except OSError:
        return None
    return None if sys.platform == "win32" and os.isatty(descriptor) else descriptor


def discard(stream: TextIO) -> None:
    """Redirect a stream to /dev/null: else the interpreter reports the error again when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):  # not a real file
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
