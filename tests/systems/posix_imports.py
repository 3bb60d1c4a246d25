"""Which test modules cannot be imported on Windows, because they or their helpers import a POSIX module."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from tests import ROOT

__all__ = ["imports_posix"]

POSIX_MODULES = {"fcntl", "grp", "pexpect", "pty", "pwd", "resource", "termios", "tty", "monitor.emulator.pty_port"}
TOOLS = {"common.programs"}  # it ends programs by signals and measures them by wait4


@functools.cache
def imports_posix(path: Path) -> bool:
    """Whether a test module, or a module of `tests` or `tools` that it imports, imports a POSIX module at its top."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    if names & (POSIX_MODULES | TOOLS):
        return True
    inner = (top.joinpath(*name.split(".")).with_suffix(".py") for name in names for top in (ROOT, ROOT / "tools"))
    inner = (file for file in inner if file.is_relative_to(ROOT / "tests") or file.is_relative_to(ROOT / "tools"))
    return any(imports_posix(file) for file in inner if file.is_file() and file != path)
