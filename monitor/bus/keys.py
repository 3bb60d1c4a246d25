"""CURVE keys as files: the key of the monitor, and one key file for each client.

The key folder of a monitor holds `server.key` (its secret key) and `clients.toml` (`monitor.bus.allow_list`). A key
file of a client holds the secret key of the client and the public key of the monitor. So both sides prove who they
are, and the client needs this one file. Keys are Curve25519, written in Z85 (ZeroMQ RFC 26 and 32).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq

from monitor.bus.allow_list import (
    CLIENTS_FILE,
    DASHBOARD_NAME,
    RESERVED_NAMES,
    Z85_KEY,
    Client,
    PublicKey,
    Role,
    load_clients,
    locked,
    save_clients,
)
from monitor.bus.secret_files import check_mode, create_secret_file, file_errors, load_toml
from monitor.errors import ConfigError
from monitor.messages import register_types

__all__ = [
    "SERVER_FILE",
    "ClientKey",
    "ServerKeys",
    "add_client",
    "load_client_key",
    "load_server_keys",
    "make_server_keys",
    "remove_client",
    "screen_key",
    "use_key",
]

SERVER_FILE = "server.key"


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    public: PublicKey
    secret: PublicKey
    name: str = ""
    server: str = ""


register_types(_KeyFile)


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The keys by which a client authenticates itself to one monitor (`server`: its public key); all in Z85."""

    name: str
    public: str
    secret: str = field(repr=False)
    server: str


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The keys of a monitor, in Z85; `folder` holds the allow-list, which is read again when it changes."""

    folder: Path
    public: str
    secret: str = field(repr=False)


def make_server_keys(folder: Path) -> ServerKeys:
    """Make the keys of a monitor and an empty allow-list; a new folder has mode 0700.

    Raises:
        ConfigError: it has keys already, others can enter it, or it cannot be written.
    """
    with file_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_mode(folder)
    path = folder / SERVER_FILE
    if path.exists():
        raise ConfigError(f"{path} exists already, and clients have its public key; give another folder")
    public, secret = _key_pair()
    if not (folder / CLIENTS_FILE).exists():
        save_clients(folder, ())
    text = f'# Secret key of this monitor. Keep it on this machine.\npublic = "{public}"\nsecret = "{secret}"\n'
    create_secret_file(path, text)
    return ServerKeys(folder, public, secret)


def load_server_keys(folder: Path) -> ServerKeys:
    """Read the keys of a monitor; also check the allow-list, so that a damaged one is reported at the start.

    Raises:
        ConfigError: missing, readable by others, or damaged.
    """
    if not (folder / SERVER_FILE).exists():
        raise ConfigError(f"no keys in {folder}; make them with: ecg-monitor keys new {folder}")
    check_mode(folder)
    keys = _load_key_file(folder / SERVER_FILE)
    load_clients(folder)
    return ServerKeys(folder, keys.public, keys.secret)


def load_client_key(path: Path) -> ClientKey:
    """Read the key file of a client.

    Raises:
        ConfigError: missing, readable by others, damaged, or not the key of a client.
    """
    keys = _load_key_file(path)
    if not re.fullmatch(Z85_KEY, keys.server) or not keys.name:
        raise ConfigError(f"{path} is not the key of a client; make one with: ecg-monitor keys add DIR NAME")
    return ClientKey(keys.name, keys.public, keys.secret, keys.server)


def add_client(folder: Path, name: str, role: Role, file: Path | None = None) -> Path:
    """Make the key file of a client (`file`, or `NAME.key` in `folder`) and add the client to the allow-list.

    Returns:
        The key file; it belongs on the machine of the client.

    Raises:
        ConfigError: the name is in use or not valid, the file exists, or a file cannot be read or written.
    """
    server = load_server_keys(folder)
    path = folder / f"{name}.key" if file is None else file
    with locked(folder):
        clients = load_clients(folder)
        if any(client.name == name for client in clients):
            raise ConfigError(f"{folder} has a client {name} already; give another name, or run keys remove first")
        public, secret = _key_pair()
        client = _checked_client(name, role, public)
        text = (
            f"# Key of {name} ({role}) for one monitor. Move it to the machine of {name}; keep it secret (mode 0600).\n"
            f'name = "{name}"\npublic = "{public}"\nsecret = "{secret}"\nserver = "{server.public}"\n'
        )
        # The key file first: an entry of the allow-list without a key file would be useless and block the name.
        create_secret_file(path, text)
        save_clients(folder, (*clients, client))
    return path


def remove_client(folder: Path, name: str) -> Client:
    """Remove a client from the allow-list, and its key file if that is still in the folder.

    Raises:
        ConfigError: no such client, or a file cannot be read or written.
    """
    load_server_keys(folder)
    with locked(folder):
        clients = load_clients(folder)
        removed = next((client for client in clients if client.name == name), None)
        if removed is None:
            names = ", ".join(client.name for client in clients) or "none"
            raise ConfigError(f"no client {name} in {folder}; the clients are: {names}")
        save_clients(folder, tuple(client for client in clients if client is not removed))
        file = folder / f"{name}.key"
        with contextlib.suppress(ConfigError, OSError):
            if load_client_key(file).public == removed.public:
                file.unlink()
    return removed


def screen_key(server: ServerKeys) -> ClientKey:
    """Make a key, in memory only, for the dashboard in the process of the monitor."""
    return ClientKey(DASHBOARD_NAME, *_key_pair(), server.public)


def use_key(sock: zmq.Socket[bytes], key: ClientKey) -> None:
    """Set the CURVE keys of a client's socket; call it before `connect`."""
    sock.setsockopt(zmq.CURVE_SERVERKEY, key.server.encode())
    sock.setsockopt(zmq.CURVE_PUBLICKEY, key.public.encode())
    sock.setsockopt(zmq.CURVE_SECRETKEY, key.secret.encode())


def _key_pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def _checked_client(name: str, role: str, public: str) -> Client:
    try:
        client = msgspec.convert({"name": name, "role": role, "public": public}, Client)
    except msgspec.ValidationError:
        client = None
    if client is None or name in RESERVED_NAMES:
        raise ConfigError(
            f"client {name!r} with role {role!r}: give a name of letters, digits, _ . - "
            f"(not {' or '.join(RESERVED_NAMES)}) and the role viewer or operator"
        )
    return client


def _load_key_file(path: Path) -> _KeyFile:
    check_mode(path)
    keys = load_toml(path, _KeyFile)
    try:
        public = zmq.curve_public(keys.secret.encode()).decode()
    except zmq.ZMQError:  # 40 characters of Z85 that are no number of 32 bytes
        public = ""
    if public != keys.public:
        raise ConfigError(f"{path} is damaged: its keys are not a pair; make a new one with: ecg-monitor keys add")
    return keys
