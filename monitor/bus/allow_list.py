"""The allow-list of a monitor: `clients.toml` in its key folder names the clients that may connect.

`[[client]]` is a program with a CURVE key, `[[web]]` a person who opens the page with a token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.atomic_file import replace_file
from monitor.bus.secret_files import SECRET_MODE, WRITE_BY_OTHERS, check_mode, file_errors, load_toml
from monitor.errors import ConfigError
from monitor.file_lock import FileLock
from monitor.messages import register_types

__all__ = [
    "CLIENTS_FILE",
    "DASHBOARD_NAME",
    "RESERVED_NAMES",
    "WEB_NAME",
    "Z85_KEY",
    "AllowList",
    "Client",
    "PublicKey",
    "Role",
    "WebClient",
    "file_signature",
    "load_allow_list",
    "load_clients",
    "locked",
    "save_allow_list",
]

Role = Literal["viewer", "operator"]
CLIENTS_FILE = "clients.toml"
_LOCK_FILE = ".clients.lock"
DASHBOARD_NAME = "screen"  # the dashboard in the monitor's own process; its key exists only in memory
WEB_NAME = "web-server"  # the web server beside a monitor; its key exists only in the memory of the two
RESERVED_NAMES = ("server", DASHBOARD_NAME, WEB_NAME)
# \Z, because `$` also matches before a last newline.
Z85_KEY = r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z"

PublicKey = Annotated[str, Meta(pattern=Z85_KEY)]
_Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")]
_HEAD = (
    "# Clients that may connect. A running monitor reads changes.\n"
    "# viewer: receives everything; operator: may also acknowledge and pause audio.\n"
)


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the allow-list; the journal records `name` with the requests of this client."""

    name: _Name
    role: Role
    public: PublicKey


class WebClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person who may open the page; `token` is the SHA-256 of the token, in hex."""

    name: _Name
    role: Role
    token: _Sha256


class AllowList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All entries; a name stands for one of them only."""

    client: tuple[Client, ...] = ()
    web: tuple[WebClient, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all entries."""
        return (*(client.name for client in self.client), *(person.name for person in self.web))


register_types(AllowList)


def load_allow_list(folder: Path) -> AllowList:
    """Read the allow-list.

    Raises:
        ConfigError: missing, writable by others, not understood, or a name, key or token is duplicate or reserved.
    """
    path = folder / CLIENTS_FILE
    check_mode(path, WRITE_BY_OTHERS)
    entries = load_toml(path, AllowList)
    for field, values in (
        ("name", entries.names),
        ("public", tuple(client.public for client in entries.client)),
        ("token", tuple(client.token for client in entries.web)),
    ):
        seen: set[str] = set()
        for value in values:
            if value in RESERVED_NAMES:
                raise ConfigError(f"{path}: {field} {value} is reserved")
            if value in seen:
                raise ConfigError(f"{path}: {field} {value} occurs twice")
            seen.add(value)
    return entries


def load_clients(folder: Path) -> tuple[Client, ...]:
    """Read the clients with a CURVE key; errors as `load_allow_list`."""
    return load_allow_list(folder).client


def file_signature(folder: Path) -> tuple[int, ...]:
    """A value that differs whenever the file of the allow-list has changed."""
    try:
        status = (folder / CLIENTS_FILE).stat()
    except OSError:
        return ()
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)


def save_allow_list(folder: Path, entries: AllowList) -> None:
    """Replace the allow-list as a whole; inside `locked` if clients may change it meanwhile.

    Raises:
        ConfigError: it cannot be written.
    """
    sections = [_section("client", entry.name, entry.role, "public", entry.public) for entry in entries.client]
    sections += [_section("web", entry.name, entry.role, "token", entry.token) for entry in entries.web]
    path = folder / CLIENTS_FILE
    with file_errors(path):
        replace_file(path, _HEAD + "".join(sections), mode=SECRET_MODE, durable=True)


def _section(kind: str, name: str, role: str, key: str, value: str) -> str:
    return f'\n[[{kind}]]\nname = "{name}"\nrole = "{role}"\n{key} = "{value}"\n'


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the allow-list: one process changes it at a time."""
    with file_errors(folder):
        lock = FileLock(folder / _LOCK_FILE, mode=SECRET_MODE, wait=True)
    with lock:
        yield
