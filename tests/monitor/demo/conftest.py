"""The demo built once, on a plain static server, for the tests in the browser."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from detector import Scorer
from monitor.demo.build import build
from monitor.demo.recordings import RECORDINGS
from monitor.demo.runtime import runtime_files
from tests.monitor.web.conftest import browser, complaints, page

__all__ = ["Served", "browser", "complaints", "page", "served_demo"]

SHIPPED = ("tour", "bigeminy", "signal", "mitdb-200", "mitdb-232")


@dataclass(frozen=True)
class Served:
    address: str
    folder: Path
    requested: list[str]


class _Quiet(SimpleHTTPRequestHandler):
    requested: list[str] = []  # noqa: RUF012 - of all requests

    def log_message(self, *args: object) -> None:
        self.requested.append(self.path)


@pytest.fixture(scope="session")
def served_demo(tmp_path_factory: pytest.TempPathFactory, data_folder: Path) -> Iterator[Served]:
    """The address of a demo with some of its recordings."""
    folder = tmp_path_factory.mktemp("demo") / "site"
    recordings = [one for one in RECORDINGS if one.key in SHIPPED]
    build(folder, recordings, runtime_files(), Scorer(), lambda _: None)
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Served(f"http://127.0.0.1:{server.server_port}/", folder, _Quiet.requested)
        server.shutdown()
        thread.join()
