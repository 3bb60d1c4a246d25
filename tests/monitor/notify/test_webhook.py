"""The webhook against a real HTTP server: up, down, slow, failing, and with the certificate of another host."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from monitor.config import NotifyConfig
from monitor.errors import ConfigError, NotifyError
from monitor.messages import encode
from monitor.notify.webhook import SIGNATURE_HEADER, WebhookReceiver
from tests.monitor.notify.helpers import HttpServer, alarm_message


def post(url: str, **settings: object) -> None:
    message = alarm_message()
    config = NotifyConfig(webhook=url, **{"timeout_s": 10.0, **settings})  # type: ignore[arg-type]
    WebhookReceiver(config).send(message, encode(message))


def url_of(server: HttpServer, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.port}/hook?token=s3cret"


def test_it_posts_the_message_with_its_signature(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("k3y\n")
    secret.chmod(0o600)
    with HttpServer() as server:
        post(url_of(server), webhook_secret=str(secret))
    ((headers, body),) = server.requests
    assert json.loads(body)["alarm"]["kind"] == "asystole"
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "run/p1/1"
    assert headers[SIGNATURE_HEADER] == "sha256=" + hmac.new(b"k3y", body, hashlib.sha256).hexdigest()


def test_a_text_for_chats() -> None:
    with HttpServer() as server:
        post(url_of(server), webhook_body="text")
    text = json.loads(server.requests[0][1])["text"]
    assert text == "p1: asystole (high, onset): no QRS for 4.9 s [2026-01-01T08:00:00.000+00:00]"


@pytest.mark.parametrize(("status", "final"), [(500, False), (503, False), (429, False), (404, True), (302, True)])
def test_only_an_answer_of_the_kind_2xx_means_delivered(status: int, final: bool) -> None:
    with HttpServer(lambda _: status) as server, pytest.raises(NotifyError, match=f"answered {status}") as error:
        post(url_of(server))
    assert error.value.final is final
    assert len(server.requests) == 1


def test_a_server_that_hangs() -> None:
    hang = threading.Event()

    def answer(_: int) -> int:
        hang.wait(60)
        return 200

    with HttpServer(answer) as server:
        with pytest.raises(NotifyError, match=r"no answer within 0.3 s"):
            post(url_of(server), timeout_s=0.3)
        hang.set()


def test_a_server_that_sends_one_byte_at_a_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(NotifyError):
            post(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.3)
        stop.set()
        thread.join()


def test_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NotifyError, match=r"127.0.0.1: Connection refused\Z") as error:
        post(f"http://127.0.0.1:{port}/?token=s3cret")
    assert not error.value.final
    assert "s3cret" not in str(error.value)


def test_certificates_are_checked(tmp_path: Path) -> None:
    own, other = trustme.CA(), trustme.CA()
    own.cert_pem.write_to_path(tmp_path / "own.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.issue_cert("127.0.0.1").configure_cert(tls)
    with HttpServer(tls=tls) as server:
        post(url_of(server, "https"), ca=str(tmp_path / "own.pem"))
        for settings in ({"ca": str(tmp_path / "other.pem")}, {}):
            with pytest.raises(NotifyError, match=r"certificate verify failed.*check notify.ca"):
                post(url_of(server, "https"), **settings)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"webhook": "nonsense"}, "give https://HOST/PATH"),
        ({"webhook": "https://ex ample/"}, "give https://HOST/PATH"),
        ({"webhook": "http://[::1/"}, "give https://HOST/PATH"),
        ({"webhook": "http://192.0.2.7/x"}, "http to 192.0.2.7 .*insecure = true"),
        ({"webhook": "http://127.0.0.1.example.org/x"}, "http to 127.0.0.1.example.org"),
        ({"webhook": "https://example.org/", "webhook_secret": "nowhere"}, "nowhere: No such file"),
        ({"webhook": "https://example.org/", "ca": "nowhere"}, "notify.ca nowhere: No such file"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(settings: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        WebhookReceiver(NotifyConfig(**settings))  # type: ignore[arg-type]


@pytest.mark.posix
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("k3y")
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        WebhookReceiver(NotifyConfig(webhook="https://example.org/", webhook_secret=str(secret)))
