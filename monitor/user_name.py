"""Name of the person at the keyboard, as the system knows it."""

from __future__ import annotations

import getpass

__all__ = ["user_name"]


def user_name(otherwise: str) -> str:
    """Login name; `otherwise` for a user id without a name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError: Windows without the variable USERNAME, up to Python 3.12
        return otherwise
