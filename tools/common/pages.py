"""Tables of measured figures: in Markdown, between the markers of a page, and as JSON beside it."""

from __future__ import annotations

import json
import os
import platform
import re
import textwrap
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from common.programs import ROOT
from monitor.atomic_file import replace_file

_PACKAGES = ("numpy", "scipy", "neurokit2", "onnxruntime", "wfdb", "torch")


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A Markdown table; `align` has a letter a column, `l` or `r` (default: the first left, the others right)."""
    align = align or "l" + "r" * (len(heads) - 1)
    text = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    text.insert(1, "|" + "".join("---:|" if letter == "r" else "---|" for letter in align))
    return "\n".join(text)


def wrapped(text: str) -> str:
    """A paragraph in lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def page_with(path: Path, name: str, text: str) -> str:
    """Content of a page with `text` between `<!-- name -->` and `<!-- /name -->`; ValueError: a marker is missing."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = path.read_text("utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{path.name} has no {begin} and {end}: put the two lines where the tables belong")
    return f"{before}{begin}\n{text}\n{end}{after}"


def write_page(page: str, name: str, text: str) -> None:
    """Put a table between the markers `name` of a page (path from the root of the repository)."""
    replace_file(ROOT / page, page_with(ROOT / page, name, text))


def save_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Write figures for programs, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n")


def machine() -> dict[str, Any]:
    """Processor, load and versions, for the line under a table; no names of hosts or users."""
    installed = {dist.name: dist.version for dist in metadata.distributions()}
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: installed[name] for name in _PACKAGES if name in installed},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)", info.read_text("utf-8"), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
