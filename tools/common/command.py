"""What the main programs of `tools/` have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable

from common.programs import ToolError

__all__ = ["run_command"]


def run_command(name: str, command: Callable[[], object]) -> None:
    """Run a command line program; an error that a person can mend is one line and exit code 2."""
    try:
        command()
    except (ToolError, OSError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
