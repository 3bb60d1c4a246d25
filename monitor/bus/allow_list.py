"""The allow-list of a monitor: `clients.toml` in its key folder names the clients that may connect."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.atomic_file import replace_file
from monitor.bus.secret_files import SECRET_MODE, WRITE_BY_OTHERS, check_mode, file_errors, load_toml
from monitor.errors import ConfigError
from monitor.messages import register_types

__all__ = [
    "CLIENTS_FILE",
    "DASHBOARD_NAME",
    "RESERVED_NAMES",
    "Z85_KEY",
    "Client",
    "PublicKey",
    "Role",
    "load_clients",
    "locked",
    "save_clients",
]

Role = Literal["viewer", "operator"]
CLIENTS_FILE = "clients.toml"
DASHBOARD_NAME = "screen"  # the dashboard in the monitor's own process; its key exists only in memory
RESERVED_NAMES = ("server", DASHBOARD_NAME)
# \Z, because `$` also matches before a last newline.
Z85_KEY = r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z"

PublicKey = Annotated[str, Meta(pattern=Z85_KEY)]
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


class _AllowList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    client: tuple[Client, ...] = ()


register_types(_AllowList)


def load_clients(folder: Path) -> tuple[Client, ...]:
    """Read the allow-list.

    Raises:
        ConfigError: missing, writable by others, not understood, or a name or key is duplicate or reserved.
    """
    path = folder / CLIENTS_FILE
    check_mode(path, WRITE_BY_OTHERS)
    clients = load_toml(path, _AllowList).client
    for field in ("name", "public"):
        seen: set[str] = set()
        for client in clients:
            value = getattr(client, field)
            if value in RESERVED_NAMES:
                raise ConfigError(f"{path}: {field} {value} is reserved")
            if value in seen:
                raise ConfigError(f"{path}: {field} {value} occurs twice")
            seen.add(value)
    return clients


def save_clients(folder: Path, clients: tuple[Client, ...]) -> None:
    """Replace the allow-list as a whole; inside `locked` if clients may change it meanwhile.

    Raises:
        ConfigError: it cannot be written.
    """
    entries = (
        f'\n[[client]]\nname = "{client.name}"\nrole = "{client.role}"\npublic = "{client.public}"\n'
        for client in clients
    )
    path = folder / CLIENTS_FILE
    with file_errors(path):
        replace_file(path, _HEAD + "".join(entries), mode=SECRET_MODE, durable=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the allow-list: one process changes it at a time."""
    with file_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
