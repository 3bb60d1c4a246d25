"""`ecg-monitor fetch` against a web server: whole, broken off, resumed, damaged, refused, endless."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitor.errors import SourceError
from monitor.sources.files import physionet
from monitor.sources.files.physionet import SUMS, fetch, find_database
from tests.monitor.commands.helpers import COMMAND, ecg_monitor, environment
from tests.monitor.sources.helpers import wait_for

FILES = {
    "RECORDS": b"100\n101\n",
    "100.hea": b"100 1 360 10\n",
    "100.dat": random.Random(1).randbytes(3_000_000),
    "100.atr": b"",
    "101.hea": b"101 1 360 10\n",
    "x/1 a.txt": b"in a folder\n",
}


class Site:
    """A web server with the database `some` in versions 1.0.0 and 1.10.0, and what goes wrong with it.

    Attributes:
        files: path -> content.
        ranges: the Range of each request, by path.
        break_after: bytes after which each answer is broken off; 0 = never.
        stall: an answer that breaks off keeps the connection open until this is set.
    """

    def __init__(self) -> None:
        sums = "".join(f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in FILES.items())
        self.files = {f"/some/1.10.0/{name}": data for name, data in FILES.items()} | {
            f"/some/1.10.0/{SUMS}": sums.encode(),
            "/some/": b'<a href="../">..</a> <a href="1.0.0/">1.0.0/</a> <a href="1.10.0/">1.10.0/</a>',
        }
        self.ranges: dict[str, list[str]] = {}
        self.break_after = 0
        self.without_ranges = self.without_length = False
        self.stall = threading.Event()
        self.stall.set()
        self.sent = threading.Event()
        self.url = ""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.replace("%20", " ")
            content = made.files.get(path)
            if content is None:
                self.send_error(403 if path.startswith("/closed/") else 404)
                return
            asked = self.headers.get("Range", "")
            made.ranges.setdefault(path, []).append(asked)
            begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and not made.without_ranges else 0
            if begin and begin >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if begin else 200)
            if not made.without_length:
                self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            cut = made.break_after and path.endswith(".dat")
            self.wfile.write(content[begin : begin + made.break_after] if cut else content[begin:])
            if cut:
                self.wfile.flush()
                made.sent.set()
                made.stall.wait(60)

    monkeypatch.setattr(physionet, "_FIRST_WAIT_S", 0.001)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        yield made
        made.stall.set()
        server.shutdown()
        thread.join()


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_command_downloads_a_database_once(site: Site, tmp_path: Path) -> None:
    command = ("fetch", "some", "--to", str(tmp_path), "--mirror", site.url)
    first = ecg_monitor(*command)
    assert (first.returncode, first.stdout) == (0, "")
    assert "some 1.10.0: 6 files, 3.0 MB read" in first.stderr, "the highest version, not the last in the alphabet"
    assert content(tmp_path / "some") == FILES
    again = ecg_monitor(*command)
    assert "6 of them were there, 0.0 MB read" in again.stderr
    assert len(site.ranges["/some/1.10.0/100.dat"]) == 1


def test_one_record_into_the_cache(site: Site, tmp_path: Path) -> None:
    for path in list(site.files):
        site.files[path.replace("/some/1.10.0", "/mitdb/1.0.0")] = site.files[path]
    environ = {"XDG_CACHE_HOME": str(tmp_path), "ECG_MONITOR_DATA": ""}
    ended = ecg_monitor("fetch", "mitdb:100", "--mirror", site.url, **environ)
    assert ended.returncode == 0, ended.stderr
    assert sorted(content(tmp_path / "ecg-monitor" / "mitdb")) == ["100.atr", "100.dat", "100.hea"]
    wrong = ecg_monitor("fetch", "mitdb:10", "--mirror", site.url, **environ)
    assert (wrong.returncode, "nearest: 101, 100" in wrong.stderr) == (2, True)


def test_a_broken_download_is_resumed(site: Site, tmp_path: Path) -> None:
    site.break_after = 700_000
    found = fetch(find_database("some", base_url=site.url), tmp_path)
    assert content(tmp_path) == FILES
    assert found.bytes_read == sum(map(len, FILES.values())), "no byte twice"
    assert site.ranges["/some/1.10.0/100.dat"] == ["", *(f"bytes={n * 700_000}-" for n in range(1, 5))]


def test_a_killed_download_is_resumed(site: Site, tmp_path: Path) -> None:
    site.break_after = 1_000_000
    site.stall.clear()
    command = [*COMMAND, "fetch", "some", "--to", str(tmp_path), "--mirror", site.url]
    part = tmp_path / "some" / "100.dat.part"
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
        try:
            assert site.sent.wait(60)
            wait_for(lambda: part.exists() and part.stat().st_size > 0, "a part")
        finally:
            process.send_signal(signal.SIGKILL)
    have = part.stat().st_size
    site.break_after = 0
    site.stall.set()
    fetch(find_database("some", base_url=site.url), tmp_path / "some")
    assert content(tmp_path / "some") == FILES
    assert site.ranges["/some/1.10.0/100.dat"] == ["", f"bytes={have}-"]


def test_a_server_without_ranges_sends_it_again(site: Site, tmp_path: Path) -> None:
    site.without_ranges = True
    (tmp_path / "100.dat.part").write_bytes(b"\0" * 5000)
    fetch(find_database("some", base_url=site.url), tmp_path)
    assert content(tmp_path) == FILES


@pytest.mark.parametrize("size", [5_000, 3_000_000, 4_000_000])
def test_a_wrong_part_is_found_by_its_checksum(site: Site, tmp_path: Path, size: int) -> None:
    (tmp_path / "100.dat.part").write_bytes(b"\0" * size)
    fetch(find_database("some", base_url=site.url), tmp_path)
    assert content(tmp_path) == FILES


def test_a_complete_part_needs_no_byte(site: Site, tmp_path: Path) -> None:
    (tmp_path / "100.dat.part").write_bytes(FILES["100.dat"])
    fetch(find_database("some", base_url=site.url), tmp_path)
    assert content(tmp_path) == FILES
    assert site.ranges["/some/1.10.0/100.dat"] == ["bytes=3000000-"], "answered with 416"


def test_a_damaged_file_never_appears(site: Site, tmp_path: Path) -> None:
    site.files["/some/1.10.0/100.dat"] = b"damaged"
    with pytest.raises(SourceError, match=r"100\.dat.*SHA-256.*repeat the command"):
        fetch(find_database("some", base_url=site.url), tmp_path)
    assert sorted(content(tmp_path)) == ["100.hea", "RECORDS"]


def test_a_file_of_the_user_is_not_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "100.atr").write_bytes(b"mine")
    with pytest.raises(SourceError, match=r"100\.atr has another content; move it away"):
        fetch(find_database("some", base_url=site.url), tmp_path)
    assert (tmp_path / "100.atr").read_bytes() == b"mine"


def test_an_answer_without_length_is_refused(site: Site, tmp_path: Path) -> None:
    site.without_length = True
    with pytest.raises(SourceError, match="states no length"):
        fetch(find_database("some", base_url=site.url), tmp_path)


def test_a_full_disk_is_one_line(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(physionet, "_KEEP_FREE", 1 << 60)
    with pytest.raises(SourceError, match="the disk is full; free some space"):
        fetch(find_database("some", base_url=site.url), tmp_path)


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../out", "a\\b", "c:x", "a//b", "./a"])
def test_a_path_outside_of_the_folder_is_refused(site: Site, path: str) -> None:
    site.files[f"/some/1.10.0/{SUMS}"] = f"{'0' * 64} {path}\n".encode()
    with pytest.raises(SourceError, match=SUMS):
        find_database("some", base_url=site.url)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none",), "the names are those of"),
        (("some", "--version", "9.9"), "no such database or version"),
        (("some", "--version", "../.."), "write e.g. 1.0.0"),
        (("../some",), "no name of a database"),
        (("closed", "--version", "1.0"), "needs an account"),
        (("some:999",), "no such record"),
    ],
)
def test_a_wrong_name_is_one_line(site: Site, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    ended = ecg_monitor("fetch", *arguments, "--to", str(tmp_path), "--mirror", site.url)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert words in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_there_is_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"refused.*set ECG_MONITOR_DATA"):
        find_database("mitdb", base_url="http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"refused.*set ECG_MONITOR_DATA"):
        find_database("some", base_url="http://127.0.0.1:9")


def test_a_folder_that_cannot_be_made_is_one_line(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ended = ecg_monitor("fetch", "some", "--to", str(tmp_path / "file"), "--mirror", site.url)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert "give another --to DIR" in ended.stderr
