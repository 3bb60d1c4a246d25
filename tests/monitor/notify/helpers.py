"""Alarm messages, and a real HTTP server that answers as a test wants it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from monitor.alarm_state import Alarm
from monitor.messages import AlarmMessage, ModelInfo

__all__ = ["HttpServer", "alarm_message"]


def alarm_message(number: int = 1, kind: str = "asystole", priority: str = "high", **fields: Any) -> AlarmMessage:
    alarm: dict[str, Any] = {
        "alarm_id": f"p1/{kind}/{number}",
        "bed": "p1",
        "kind": kind,
        "category": "physiological",
        "priority": priority,
        "state": "onset",
        "onset_sample": number,
        "decided_sample": number,
        "text": "no QRS for 4.9 s",
    }
    return AlarmMessage(
        epoch="run",
        seq=number,
        time="2026-01-01T08:00:00.000+00:00",
        alarm=Alarm(**alarm | fields),
        model=ModelInfo("m", "0"),
    )


class HttpServer:
    """A context manager. `answer` gives the status of each request; it may wait.

    Attributes:
        requests: headers and body of each POST.
    """

    def __init__(self, answer: Callable[[int], int] = lambda _: 200, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.ended = threading.Event()
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                own.requests.append((dict(self.headers), body))
                status = answer(len(own.requests))
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                except OSError:
                    pass  # the client has given up

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass  # a client that refuses the certificate

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> HttpServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
