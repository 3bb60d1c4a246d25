"""The files of onnxruntime-web: a package, the cache, the registry."""

from __future__ import annotations

import functools
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.demo import runtime
from monitor.demo.runtime import FILES, runtime_files
from monitor.errors import ConfigError

CONTENT = {name: name.encode() for name in FILES}


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files in place of those of the package, with their hashes."""
    import hashlib

    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(runtime, "_SHA256", hashes)


def package(folder: Path, version: str = runtime.VERSION, content: dict[str, bytes] = CONTENT) -> Path:
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": runtime.PACKAGE, "version": version}))
    for name, data in content.items():
        (folder / "dist" / name).write_bytes(data)
    return folder


def tarball() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in CONTENT.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of a registry that npm is configured for."""
    folder = tmp_path / "registry"
    place = folder / runtime.PACKAGE / "-"
    place.mkdir(parents=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/")
        yield place / f"{runtime.PACKAGE}-{runtime.VERSION}.tgz"
        server.shutdown()


@pytest.mark.usefixtures("pinned")
def test_an_installed_package_is_taken(tmp_path: Path) -> None:
    assert runtime_files(package(tmp_path / "ort")) == CONTENT


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: (folder / "package.json").unlink(), "is no npm package onnxruntime-web"),
        (lambda folder: (folder / "package.json").write_text("{"), "no JSON"),
        (lambda folder: (folder / "package.json").write_text("[]"), "holds None None"),
        (lambda folder: (folder / "package.json").write_text('{"name": "x", "version": "1"}'), "holds x 1, not"),
        (lambda folder: (folder / "dist" / FILES[1]).unlink(), "is no npm package"),
        (lambda folder: (folder / "dist" / FILES[2]).write_bytes(b"other"), "differs from that of"),
    ],
)
def test_another_package_is_refused_with_the_remedy(tmp_path: Path, change: object, text: str) -> None:
    folder = package(tmp_path / "ort")
    change(folder)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=text) as refused:
        runtime_files(folder)
    assert f"npm install {runtime.PACKAGE}@{runtime.VERSION}" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("pinned")
def test_a_download_is_checked_and_kept(tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64
    import hashlib

    data = tarball()
    registry.write_bytes(data)
    with pytest.raises(ConfigError, match="its SHA-512 is not that of"):
        runtime_files(cache=tmp_path / "cache")
    monkeypatch.setattr(runtime, "_SHA512", base64.b64encode(hashlib.sha512(data).digest()).decode())
    assert runtime_files(cache=tmp_path / "cache") == CONTENT
    registry.unlink()  # without a network, from the cache
    assert runtime_files(cache=tmp_path / "cache") == CONTENT
    (tmp_path / "cache" / FILES[0]).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"cannot be read .*give --ort"):
        runtime_files(cache=tmp_path / "cache")


@pytest.mark.usefixtures("pinned")
def test_no_cache_can_be_written(tmp_path: Path, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64
    import hashlib

    data = tarball()
    registry.write_bytes(data)
    monkeypatch.setattr(runtime, "_SHA512", base64.b64encode(hashlib.sha512(data).digest()).decode())
    (tmp_path / "file").write_bytes(b"")
    assert runtime_files(cache=tmp_path / "file" / "cache") == CONTENT
