"""Sources of files that a test writes; closed when the test ends."""

from __future__ import annotations

from pathlib import Path

from monitor.sources import Source, SourceOptions, open_source

__all__ = ["close_all", "open_bytes"]

_OPENED: list[Source] = []


def open_bytes(path: Path, data: bytes, **options: object) -> Source:
    """Write a file and open it, `edf:` or `ishne:` by its suffix."""
    path.write_bytes(data)
    kind = {".edf": "edf", ".ecg": "ishne"}[path.suffix]
    _OPENED.append(open_source(f"{kind}:{path}", SourceOptions(**options)))  # type: ignore[arg-type]
    return _OPENED[-1]


def close_all() -> None:
    while _OPENED:
        _OPENED.pop().close()
