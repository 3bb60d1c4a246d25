"""CURVE keys as files: the monitor's own, one for each client, and the list of who may connect.

A folder of the monitor holds `server.key` (its secret) and `clients.toml` (name, role and public key of each
client). A client's own file holds its secret and the public key of the monitor, so that neither can be taken for
somebody else: all that a client needs is that one file. Curve25519 keys, written in Z85 (ZeroMQ RFC 26 and 32).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from monitor.errors import ConfigError
from monitor.messages import register_types

if TYPE_CHECKING:
    import zmq

__all__ = [
    "CLIENTS_FILE",
    "RESERVED_NAMES",
    "SCREEN",
    "SERVER_FILE",
    "Client",
    "ClientKey",
    "Role",
    "ServerKeys",
    "add_client",
    "client_key_file",
    "load_client_key",
    "load_clients",
    "load_server_keys",
    "make_server_keys",
    "remove_client",
    "screen_key",
    "use_key",
]

Role = Literal["viewer", "operator"]
SERVER_FILE = "server.key"
CLIENTS_FILE = "clients.toml"
SCREEN = "screen"  # the monitor's own screen, whose key lives as long as the process
RESERVED_NAMES = ("server", SCREEN)
_SECRET_BITS = 0o077  # what others may do with a secret: nothing
_WRITE_BITS = 0o022

_Z85 = r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$"
_PublicKey = Annotated[str, Meta(pattern=_Z85)]
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
_T = TypeVar("_T")


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the allow-list.

    Attributes:
        name: letters, digits, `_ . -`; stands in the journal for what this client does.
        role: a viewer sees everything, an operator may acknowledge and pause audio too.
        public: public key, Z85, 40 characters.
    """

    name: _Name
    role: Role
    public: _PublicKey


class _AllowList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    client: tuple[Client, ...] = ()


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    public: _PublicKey
    secret: _PublicKey
    name: str = ""
    server: str = ""


register_types(_AllowList, _KeyFile)


@dataclass(frozen=True, slots=True)
class ClientKey:
    """What a client proves itself with.

    Attributes:
        name: in the allow-list.
        public, secret: its own keys, Z85.
        server: public key of the one monitor that it talks to, Z85.
    """

    name: str
    public: str
    secret: str = field(repr=False)
    server: str


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """Keys of a monitor.

    Attributes:
        folder: in which the allow-list is looked up again and again.
        public, secret: Z85.
    """

    folder: Path
    public: str
    secret: str = field(repr=False)


def make_server_keys(folder: Path) -> ServerKeys:
    """Make the monitor's keys and an empty allow-list.

    Args:
        folder: is made (mode 0700), or is there and holds no keys yet.

    Raises:
        ConfigError: it has keys already, others may look into it, or it cannot be written.
    """
    import zmq

    with _told(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_mode(folder, _SECRET_BITS, "700", "can be entered by others")
    path = folder / SERVER_FILE
    if path.exists():
        raise ConfigError(f"{path} is there already, and every client knows its public key; name another folder")
    public, secret = (key.decode() for key in zmq.curve_keypair())
    if not (folder / CLIENTS_FILE).exists():
        _write(folder / CLIENTS_FILE, _allow_list_text(()), replace=False)
    text = f'# Secret key of this monitor: it never leaves this machine.\npublic = "{public}"\nsecret = "{secret}"\n'
    _write(path, text, replace=False)
    return ServerKeys(folder, public, secret)


def load_server_keys(folder: Path) -> ServerKeys:
    """The keys of a monitor; its allow-list is looked at as well, so that a wrong one is told at the start.

    Raises:
        ConfigError: missing, readable by others, or damaged.
    """
    if not (folder / SERVER_FILE).exists():
        raise ConfigError(f"no keys in {folder}; make them with: ecg-monitor keys new {folder}")
    _check_mode(folder, _SECRET_BITS, "700", "can be entered by others")
    keys = _load_secret(folder / SERVER_FILE)
    load_clients(folder)
    return ServerKeys(folder, keys.public, keys.secret)


def load_client_key(path: Path) -> ClientKey:
    """The file that a client was given.

    Raises:
        ConfigError: missing, readable by others, damaged, or not a client's.
    """
    keys = _load_secret(path)
    if not re.fullmatch(_Z85, keys.server) or not keys.name:
        raise ConfigError(f"{path} is no client's key; make one with: ecg-monitor keys add DIR NAME")
    return ClientKey(keys.name, keys.public, keys.secret, keys.server)


def load_clients(folder: Path) -> tuple[Client, ...]:
    """The allow-list.

    Raises:
        ConfigError: missing, writable by others, not understood, or a name or key is in it twice.
    """
    path = folder / CLIENTS_FILE
    _check_mode(path, _WRITE_BITS, "600", "can be changed by others")
    clients = _load(path, _AllowList).client
    for what in ("name", "public"):
        seen: set[str] = set()
        for client in clients:
            value = getattr(client, what)
            if value in seen or value in RESERVED_NAMES:
                raise ConfigError(f"{path}: {what} {value} is {'twice in it' if value in seen else 'reserved'}")
            seen.add(value)
    return clients


def add_client(folder: Path, name: str, role: Role, file: Path | None = None) -> Path:
    """Make keys for a client: its file, and its line in the allow-list.

    Args:
        folder: of the monitor's keys.
        name: not yet in the allow-list.
        role: see Client.
        file: to write; None = `client_key_file`.

    Returns:
        The file, to be carried to the client's machine.

    Raises:
        ConfigError: the name is taken or none, the file is there already, or something cannot be read or written.
    """
    import zmq

    server = load_server_keys(folder)
    path = client_key_file(folder, name) if file is None else file
    with _locked(folder):
        clients = load_clients(folder)
        if any(client.name == name for client in clients):
            raise ConfigError(f"{folder} has a client {name} already; name another, or first: keys remove")
        public, secret = (key.decode() for key in zmq.curve_keypair())
        try:
            client = msgspec.convert({"name": name, "role": role, "public": public}, Client)
        except msgspec.ValidationError:
            client = None
        if client is None or name in RESERVED_NAMES:
            raise ConfigError(
                f"client {name!r} as {role!r}: give a name of letters, digits, _ . - "
                f"(not {' or '.join(RESERVED_NAMES)}) and a role of viewer or operator"
            )
        text = (
            f"# Key of {name} ({role}) to one monitor: carry it to its machine, keep it secret (mode 0600).\n"
            f'name = "{name}"\npublic = "{public}"\nsecret = "{secret}"\nserver = "{server.public}"\n'
        )
        _write(path, text, replace=False)  # first: a client in the list whose secret nobody has is worse
        _write(folder / CLIENTS_FILE, _allow_list_text((*clients, client)), replace=True)
    return path


def remove_client(folder: Path, name: str) -> Client:
    """Take a client from the allow-list; its key file is removed where it still lies in the folder.

    Raises:
        ConfigError: no such client, or something cannot be read or written.
    """
    load_server_keys(folder)
    with _locked(folder):
        clients = load_clients(folder)
        gone = next((client for client in clients if client.name == name), None)
        if gone is None:
            raise ConfigError(f"no client {name} in {folder}; there are {', '.join(c.name for c in clients) or 'none'}")
        left = tuple(client for client in clients if client is not gone)
        _write(folder / CLIENTS_FILE, _allow_list_text(left), replace=True)
        file = client_key_file(folder, name)
        with contextlib.suppress(ConfigError, OSError):
            if load_client_key(file).public == gone.public:
                file.unlink()
    return gone


def client_key_file(folder: Path, name: str) -> Path:
    """Where a client's file lies until it is carried away."""
    return folder / f"{name}.key"


def screen_key(server: ServerKeys) -> ClientKey:
    """A key for the monitor's own screen, in memory only."""
    import zmq

    public, secret = (key.decode() for key in zmq.curve_keypair())
    return ClientKey(SCREEN, public, secret, server.public)


def use_key(sock: zmq.Socket[bytes], key: ClientKey) -> None:
    """Have a client's socket prove itself by `key`, and take nobody else for the monitor; before it connects."""
    import zmq

    sock.setsockopt(zmq.CURVE_SERVERKEY, key.server.encode())
    sock.setsockopt(zmq.CURVE_PUBLICKEY, key.public.encode())
    sock.setsockopt(zmq.CURVE_SECRETKEY, key.secret.encode())


# -- files ---------------------------------------------------------------------------------------------------


def _allow_list_text(clients: tuple[Client, ...]) -> str:
    head = "# Who may connect; taken over while the monitor runs. viewer: sees all; operator: acknowledges too.\n"
    return head + "".join(
        f'\n[[client]]\nname = "{client.name}"\nrole = "{client.role}"\npublic = "{client.public}"\n'
        for client in clients
    )


def _load_secret(path: Path) -> _KeyFile:
    import zmq

    _check_mode(path, _SECRET_BITS, "600", "can be read by others")
    keys = _load(path, _KeyFile)
    if zmq.curve_public(keys.secret.encode()).decode() != keys.public:
        raise ConfigError(f"{path} is damaged: its two keys are no pair; make a new one with: ecg-monitor keys add")
    return keys


def _load(path: Path, kind: type[_T]) -> _T:
    """A TOML file; what is in it is not repeated in the error, for it may be a secret."""
    with _told(path):
        text = path.read_bytes()
    try:
        return msgspec.convert(tomllib.loads(text.decode()), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigError(f"{path} is not TOML; was it cut short?") from None


def _check_mode(path: Path, forbidden: int, remedy: str, what: str) -> None:
    with _told(path):
        mode = path.stat().st_mode
    if stat.S_IMODE(mode) & forbidden:
        raise ConfigError(f"{path} {what} (mode {stat.S_IMODE(mode):04o}); first: chmod {remedy} {path}")


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Whole or not at all, mode 0600 from the first byte on, on the disk when it returns."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with _told(path):
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                draft.replace(path)
            else:
                os.link(draft, path)  # unlike a rename it fails where there is a file already
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One change of the allow-list at a time."""
    with _told(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system says of a file, in one line."""
    try:
        yield
    except FileExistsError:
        raise ConfigError(f"{path} is there already and is not overwritten; move it away, or name another") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name one that can be used") from None
