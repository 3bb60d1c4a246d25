"""Tables of measured figures: in Markdown, between the markers of a page, and as JSON beside it."""

from __future__ import annotations

import json
import os
import platform
import sys
import textwrap
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from common.programs import ROOT
from monitor.atomic_file import replace_file

__all__ = ["machine", "markdown_table", "put", "save_json", "wrapped", "write_or_check", "write_page"]

_PACKAGES = ("numpy", "scipy", "neurokit2", "onnxruntime", "wfdb", "torch")


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A Markdown table.

    Args:
        heads: titles of the columns.
        rows: cells of each line.
        align: a letter a column, `l` or `r`; default: the first column left, the others right.
    """
    align = align or "l" + "r" * (len(heads) - 1)
    lines = [heads, *rows]
    text = [f"| {' | '.join(cells)} |" for cells in lines]
    text.insert(1, "|" + "".join("---:|" if letter == "r" else "---|" for letter in align))
    return "\n".join(text)


def wrapped(text: str) -> str:
    """A paragraph in lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def put(page: str, text: str, name: str, where: str) -> str:
    """Put `text` between `<!-- name -->` and `<!-- /name -->` of a page.

    Args:
        page: text of the page.
        text: replaces what is between the markers.
        name: of the markers.
        where: name of the page, for the error.

    Raises:
        ValueError: a marker is missing.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{where} has no {begin} and {end}: put the two lines where the tables belong")
    return f"{before}{begin}\n{text}\n{end}{after}"


def write_page(page: str, name: str, text: str, *, check: bool) -> bool:
    """Put a table into a page of the repository.

    Args:
        page: path from the root of the repository.
        name: of the markers.
        text: the table.
        check: only compare.

    Returns:
        Whether the page had the table before; with `check` a difference is one line on standard error.
    """
    path = ROOT / page
    before = path.read_text("utf-8")
    after = put(before, text, name, page)
    if check and after != before:
        print(f"{page} differs from the figures: run the command with --write", file=sys.stderr)
    elif after != before:
        replace_file(path, after)
    return after == before


def write_or_check(tables: Iterable[tuple[str, str, str]], *, check: bool) -> None:
    """`write_page` for several (page, name, text); with `check` the command ends with 1 where one differs, else 0."""
    same = [write_page(*table, check=check) for table in tables]
    if check:
        raise typer.Exit(int(not all(same)))


def save_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Write figures for programs, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n")


def machine() -> dict[str, Any]:
    """Processor, load and versions, for the line under a table; no names of hosts or users."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
