"""TOML files that hold keys: restricted modes, replaced as a whole, never quoted in an error."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from monitor.atomic_file import replace_file
from monitor.errors import ConfigError

__all__ = ["SECRET_MODE", "WRITE_BY_OTHERS", "check_mode", "create_secret_file", "file_errors", "load_toml"]

SECRET_MODE = 0o600
ANY_BY_OTHERS = 0o077
WRITE_BY_OTHERS = 0o022
_T = TypeVar("_T")


def check_mode(path: Path, forbidden: int = ANY_BY_OTHERS) -> None:
    """Check that others have no access to a file or folder; with WRITE_BY_OTHERS, that they cannot change it.

    On Windows only that it is there: access is a list of the file, usually inherited from the folder, and no mode.

    Raises:
        ConfigError: the path is missing, belongs to another user (but root), or its mode has a forbidden bit.
    """
    with file_errors(path):
        found = path.stat()
    if sys.platform == "win32":
        return
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{path} belongs to another user (uid {found.st_uid}), who can read and change it; "
            f'run as root: chown "$(id -u)" {path}, or give a file of your own'
        )
    if mode & forbidden:
        access, remedy = ("entered", "700") if path.is_dir() else ("read", "600")
        if forbidden == WRITE_BY_OTHERS:
            access = "changed"
        raise ConfigError(f"{path} can be {access} by others (mode {mode:04o}); run: chmod {remedy} {path}")


def load_toml(path: Path, kind: type[_T]) -> _T:
    """Read a TOML file as `kind`.

    Raises:
        ConfigError: missing, not TOML, or not a `kind`. The error never repeats the content, which may be a secret.
    """
    with file_errors(path):
        content = path.read_bytes()
    try:
        return msgspec.convert(tomllib.loads(content.decode()), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigError(f"{path} is not TOML; check whether it was cut short") from None


def create_secret_file(path: Path, text: str) -> None:
    """Write a new file of mode 0600 as a whole; it is on the disk on return.

    Raises:
        ConfigError: the file exists already, or cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with file_errors(path):
        replace_file(draft, text, mode=SECRET_MODE, durable=True)
        try:
            if sys.platform == "win32":
                os.rename(draft, path)  # noqa: PTH104 - fails there if the file exists
            else:
                os.link(draft, path)  # unlike a rename, it fails if the file exists
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raise ConfigError, one line with the path, for every OSError inside."""
    try:
        yield
    except FileExistsError:
        raise ConfigError(f"{path} exists already and is not overwritten; move it, or give another path") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give another path") from None
