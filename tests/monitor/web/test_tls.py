"""Addresses and TLS of the page: what is refused in one line, and what works."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from monitor.errors import BusError, ConfigError, PortInUse
from monitor.web import connections
from monitor.web.server import WebOptions, address_of, bind
from tests.monitor.commands.helpers import ecg_monitor
from tests.monitor.web.helpers import UPGRADE, keys_in, served


class Files:
    """A certificate for localhost with its key, and a key folder."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("localhost", "127.0.0.1", "ward.example")
        self.cert, self.tls_key, self.keys = folder / "page.pem", folder / "page-key.pem", folder / "keys"
        self.cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        self.tls_key.write_bytes(issued.private_key_pem.bytes())
        self.tokens = keys_in(self.keys)

    @property
    def options(self) -> WebOptions:
        return WebOptions(keys=str(self.keys), cert=str(self.cert), tls_key=str(self.tls_key), hosts=("ward.example",))

    @property
    def words(self) -> list[str]:
        return ["--keys", str(self.keys), "--cert", str(self.cert), "--tls-key", str(self.tls_key)]

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def address(files: Files) -> Iterator[str]:
    with served(files.options) as made:
        yield made


def test_the_page_by_tls(files: Files, address: str) -> None:
    parts = urlsplit(address)
    assert parts.scheme == "https"

    def post(origin: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection("localhost", parts.port, context=files.trusting(), timeout=30.0)
        with contextlib.closing(connection):
            body = json.dumps({"token": files.tokens["desk"]})
            connection.request("POST", "/login", body, {"Origin": f"{origin}://localhost:{parts.port}"})
            return connection.getresponse()

    assert post("http").status == 403
    answer = post("https")
    assert answer.status == 204
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-ecg-session-")
    assert {"Secure", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert answer.headers["Strict-Transport-Security"]
    assert f"wss://localhost:{parts.port}" in answer.headers["Content-Security-Policy"]
    with (
        socket.create_connection(("127.0.0.1", parts.port or 0), 30.0) as sock,
        files.trusting().wrap_socket(sock, server_hostname="localhost") as page,
    ):
        page.sendall(UPGRADE + f"Cookie: {cookie.partition(';')[0]}\r\n\r\n".encode())
        received = b""
        while b'"name":"desk"' not in received:
            piece = page.recv(65_536)
            assert piece, received
            received += piece


def test_a_handshake_that_does_not_end_is_closed(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.5)
    with served(files.options) as address:
        parts = urlsplit(address)
        for start in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection((parts.hostname or "", parts.port or 0), 30.0) as sock:
                sock.sendall(start)
                try:
                    answer = sock.recv(1000)
                except ConnectionError:
                    answer = b""
                assert not answer.startswith(b"HTTP")


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "*:0"])
def test_other_machines_need_tls_and_keys(files: Files, listen: str) -> None:
    for options in (
        WebOptions(),
        WebOptions(keys=str(files.keys)),
        WebOptions(cert=str(files.cert), tls_key=str(files.tls_key)),
    ):
        with pytest.raises(ConfigError, match="other machines could connect; give --keys DIR"):
            bind(listen, options)
    with bind(listen, files.options) as sock:
        assert address_of(sock, files.options).startswith("https://ward.example:")


@pytest.mark.parametrize(
    "listen",
    [
        "", ":", "x", "127.0.0.1", "127.0.0.1:", ":8080", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:٣", "a b:1",
        "nohost.invalid:1", "[::1:80", "::1", "::1:80", "192.0.2.1:http", "\x00:1", "x" * 300 + ":1", "http://127.0.0.1:8080",
        "127.0.0.1:80\n", "99999", "192.0.2.1:0", "[]:1",
    ],
)  # fmt: skip
def test_an_address_that_is_none(listen: str) -> None:
    with pytest.raises((ConfigError, BusError)) as error:
        bind(listen, WebOptions()).close()
    assert "give" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "[::1]:0", "0", "127.0.0.2:0"])
def test_addresses_of_this_machine(listen: str) -> None:
    with bind(listen, WebOptions()) as sock:
        assert sock.getsockname()[1] > 0


def test_a_port_in_use_is_one_line() -> None:
    with bind("127.0.0.1:0", WebOptions()) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(PortInUse, match="is in use by another program; give another port, or port 0"):
            bind(f"127.0.0.1:{port}", WebOptions())
        for command in (["web", "--listen", f"127.0.0.1:{port}"], ["--web", str(port), "--no-dashboard"]):
            ended = ecg_monitor(*command)
            assert ended.returncode == 2
            assert ended.stderr.startswith("ecg-monitor: page on ")
            assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "swapped", "other key", "folder", "encrypted", "only one"])
def test_a_certificate_that_cannot_be_used(files: Files, tmp_path: Path, damage: str) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(files.cert.read_bytes())
    key.write_bytes(files.tls_key.read_bytes())
    if damage == "missing":
        key.unlink()
    elif damage == "empty":
        cert.write_bytes(b"")
    elif damage == "swapped":
        cert, key = key, cert
    elif damage == "other key":
        key.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    elif damage == "folder":
        cert = tmp_path
    elif damage == "encrypted":
        from cryptography.hazmat.primitives import serialization as form

        loaded = form.load_pem_private_key(key.read_bytes(), None)
        locked = form.BestAvailableEncryption(b"secret")
        key.write_bytes(loaded.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked))
    options = WebOptions(keys=str(files.keys), cert=str(cert), tls_key="" if damage == "only one" else str(key))
    with pytest.raises(ConfigError) as error:
        bind("127.0.0.1:0", options)
    assert "\n" not in str(error.value)
    assert "give" in str(error.value) or "PEM" in str(error.value)


def test_a_key_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make them with: ecg-monitor keys new"):
        bind("127.0.0.1:0", WebOptions(keys=str(tmp_path / "nowhere")))


def test_the_command_refuses_in_one_line(files: Files) -> None:
    ended = ecg_monitor("web", "--listen", "0.0.0.0:0", *files.words[:2])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("ecg-monitor: page on 0.0.0.0:0: other machines could connect; give --keys DIR")
    assert ended.stderr.count("\n") == 1
