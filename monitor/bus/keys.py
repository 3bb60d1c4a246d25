"""CURVE keys as files: the key of the monitor, and one key file for each client.

The key folder of a monitor holds `server.key` (its secret key) and `clients.toml` (`monitor.bus.allow_list`). A key
file of a client holds the secret key of the client and the public key of the monitor. So both sides prove who they
are, and the client needs this one file. Keys are Curve25519, written in Z85 (ZeroMQ RFC 26 and 32).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import zmq

from monitor.bus.allow_list import (
    CLIENTS_FILE,
    RESERVED_NAMES,
    Z85_KEY,
    AllowList,
    Client,
    PublicKey,
    Role,
    WebClient,
    load_allow_list,
    load_clients,
    locked,
    save_allow_list,
)
from monitor.bus.secret_files import check_mode, create_secret_file, file_errors, load_toml
from monitor.errors import ConfigError
from monitor.messages import register_types

__all__ = [
    "SERVER_FILE",
    "ClientKey",
    "ServerKeys",
    "add_client",
    "add_token",
    "key_in_memory",
    "load_client_key",
    "load_server_keys",
    "make_server_keys",
    "remove_client",
    "token_digest",
    "use_key",
]

SERVER_FILE = "server.key"
_Entry = TypeVar("_Entry", Client, WebClient)


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
        save_allow_list(folder, AllowList())
    text = f'# Secret key of this monitor. Keep it on this machine.\npublic = "{public}"\nsecret = "{secret}"\n'
    create_secret_file(path, text)
    return ServerKeys(folder, public, secret)


def load_server_keys(folder: Path) -> ServerKeys:
    """Read the keys of a monitor; also check the allow-list, so that a damaged one is reported at the start.

    Raises:
        ConfigError: missing, readable by others, or damaged.
    """
    with file_errors(folder):
        there = (folder / SERVER_FILE).exists()
    if not there:
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
        entries = load_allow_list(folder)
        _refuse_known_name(folder, entries, name)
        public, secret = _key_pair()
        client = _checked(Client, name, role, public=public)
        text = (
            f"# Key of {name} ({role}) for one monitor. Move it to the machine of {name}; keep it secret (mode 0600).\n"
            f'name = "{name}"\npublic = "{public}"\nsecret = "{secret}"\nserver = "{server.public}"\n'
        )
        # The key file first: an entry of the allow-list without a key file would be useless and block the name.
        create_secret_file(path, text)
        save_allow_list(folder, msgspec.structs.replace(entries, client=(*entries.client, client)))
    return path


def add_token(folder: Path, name: str, role: Role) -> str:
    """Make the token of a person who opens the page, and add its SHA-256 to the allow-list.

    Returns:
        The token: 256 random bits in base64url; it is kept nowhere.

    Raises:
        ConfigError: the name is in use or not valid, or a file cannot be read or written.
    """
    load_server_keys(folder)
    with locked(folder):
        entries = load_allow_list(folder)
        _refuse_known_name(folder, entries, name)
        token = secrets.token_urlsafe(32)
        person = _checked(WebClient, name, role, token=token_digest(token))
        save_allow_list(folder, msgspec.structs.replace(entries, web=(*entries.web, person)))
    return token


def token_digest(token: str) -> str:
    """SHA-256 of a token, in hex. A plain hash is enough: a random token of 256 bits cannot be guessed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def remove_client(folder: Path, name: str) -> Client | WebClient:
    """Remove a client or the token of a person from the allow-list, and a key file that is still in the folder.

    Raises:
        ConfigError: no such client, or a file cannot be read or written.
    """
    load_server_keys(folder)
    with locked(folder):
        entries = load_allow_list(folder)
        known: tuple[Client | WebClient, ...] = (*entries.client, *entries.web)
        removed = next((entry for entry in known if entry.name == name), None)
        if removed is None:
            names = ", ".join(entries.names) or "none"
            raise ConfigError(f"no client {name} in {folder}; the clients are: {names}")
        left = AllowList(
            client=tuple(entry for entry in entries.client if entry is not removed),
            web=tuple(entry for entry in entries.web if entry is not removed),
        )
        save_allow_list(folder, left)
        file = folder / f"{name}.key"
        with contextlib.suppress(ConfigError, OSError):
            if isinstance(removed, Client) and load_client_key(file).public == removed.public:
                file.unlink()
    return removed


def key_in_memory(server: ServerKeys, name: str) -> ClientKey:
    """Make a key that no file holds, for a part of the monitor itself: its dashboard, its web server."""
    return ClientKey(name, *_key_pair(), server.public)


def use_key(sock: zmq.Socket[bytes], key: ClientKey) -> None:
    """Set the CURVE keys of a client's socket; call it before `connect`."""
    sock.setsockopt(zmq.CURVE_SERVERKEY, key.server.encode())
    sock.setsockopt(zmq.CURVE_PUBLICKEY, key.public.encode())
    sock.setsockopt(zmq.CURVE_SECRETKEY, key.secret.encode())


def _key_pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def _refuse_known_name(folder: Path, entries: AllowList, name: str) -> None:
    if name in entries.names:
        raise ConfigError(f"{folder} has a client {name} already; give another name, or run keys remove first")


def _checked(kind: type[_Entry], name: str, role: str, **key: str) -> _Entry:
    client: _Entry | None
    try:
        client = msgspec.convert({"name": name, "role": role, **key}, kind)
    except msgspec.ValidationError:
        client = None
    if client is None or name in RESERVED_NAMES:
        raise ConfigError(
            f"client {name!r} with role {role!r}: give a name of letters, digits, _ . - "
            f"(not {', '.join(RESERVED_NAMES)}) and the role viewer or operator"
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
