"""The files of onnxruntime-web that run the model in a browser: of a package, the cache or the registry."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import msgspec

from monitor.atomic_file import replace_file
from monitor.errors import ConfigError

__all__ = ["FILES", "VERSION", "runtime_files"]

VERSION: Final = "1.30.0"
PACKAGE: Final = "onnxruntime-web"
# The build for WebAssembly alone, 14 MB; those for WebGPU have twice the size, and the model is too small to gain.
FILES: Final = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
# Of the registry's tarball, as `npm view onnxruntime-web@1.30.0 dist.integrity` states it.
_SHA512: Final = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_SHA256: Final = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_TIMEOUT_S: Final = 60.0
_TARBALL_MAX: Final = 100_000_000  # bytes; 33 MB in 1.30.0
_REMEDY: Final = f"run `npm install {PACKAGE}@{VERSION}` where there is a network and give --ort node_modules/{PACKAGE}"


def runtime_files(package: Path | None = None, cache: Path | None = None) -> dict[str, bytes]:
    """Name and content of the files.

    Args:
        package: folder of an installed npm package; None = the cache, else the npm registry.
        cache: folder to keep downloaded files in; None = the user's.

    Raises:
        ConfigError: another version or incomplete, or nothing can be had without a network.
    """
    if package is not None:
        return _of_package(package)
    cache = _cache() if cache is None else cache
    kept = _kept(cache)
    if kept is not None:
        return kept
    files = _downloaded()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            replace_file(cache / name, content)
    except OSError:
        pass  # a cache that cannot be written costs the next run a download
    return files


def _cache() -> Path:
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("ecg-monitor")) / f"{PACKAGE}-{VERSION}"


def _of_package(package: Path) -> dict[str, bytes]:
    try:
        about = msgspec.json.decode((package / "package.json").read_bytes())
        files = {name: (package / "dist" / name).read_bytes() for name in FILES}
    except (OSError, msgspec.DecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no JSON"
        where = getattr(error, "filename", None) or package / "package.json"
        raise ConfigError(f"--ort {package}: is no npm package {PACKAGE} ({where}: {reason}); {_REMEDY}") from None
    named = (about.get("name"), about.get("version")) if isinstance(about, dict) else (None, None)
    if named != (PACKAGE, VERSION):
        raise ConfigError(f"--ort {package}: holds {named[0]} {named[1]}, not {PACKAGE} {VERSION}; {_REMEDY}")
    if (wrong := _wrong(files)) is not None:
        raise ConfigError(f"--ort {package}: {wrong} differs from that of {PACKAGE} {VERSION}; {_REMEDY}")
    return files


def _kept(cache: Path) -> dict[str, bytes] | None:
    """The files of the cache; None if one is missing or damaged."""
    try:
        files = {name: (cache / name).read_bytes() for name in FILES}
    except OSError:
        return None
    return files if _wrong(files) is None else None


def _wrong(files: dict[str, bytes]) -> str | None:
    """Name of the first file whose content is not that of the pinned version."""
    return next((name for name in FILES if hashlib.sha256(files[name]).hexdigest() != _SHA256[name]), None)


def _downloaded() -> dict[str, bytes]:
    """The files out of the registry's tarball, whose hash is checked."""
    from urllib.request import urlopen

    url = f"{_registry()}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    try:
        with urlopen(url, timeout=_TIMEOUT_S) as reply:
            tarball = reply.read(_TARBALL_MAX)
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        why = f"is not in {_cache()}, and {url} cannot be read ({error})"
        raise ConfigError(f"{PACKAGE} {VERSION} {why}; {_REMEDY}") from None
    if base64.b64encode(hashlib.sha512(tarball).digest()).decode() != _SHA512:
        raise ConfigError(f"{url}: its SHA-512 is not that of {PACKAGE} {VERSION}; {_REMEDY}")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            files[name] = member.read() if member is not None else b""
    return files


def _registry() -> str:
    """The registry that npm uses: of its variable, of its configuration where npm is installed, else the public one."""
    named = os.environ.get("NPM_CONFIG_REGISTRY", "")
    if not named:
        try:
            asked = subprocess.run(
                ["npm", "config", "get", "registry"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
            named = asked.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            pass
    return (named if named.startswith(("https://", "http://")) else "https://registry.npmjs.org").rstrip("/")
