"""Standard output of a command: a closed pipe is no error, a full disk is one line."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from monitor.errors import ConfigError

__all__ = ["discard", "standard_output"]


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
    except BrokenPipeError:
        discard(stream)
    except OSError as error:
        discard(stream)
        raise ConfigError(f"{command}: standard output: {error.strerror}; write somewhere else") from None


def discard(stream: TextIO) -> None:
    """Redirect a stream to /dev/null: else the interpreter reports the error again when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):  # not a real file
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
