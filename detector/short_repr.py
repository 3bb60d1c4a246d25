"""Text of a dataclass with arrays: one line, each array by its type and shape."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

__all__ = ["short_repr"]


def short_repr(self: Any) -> str:
    """`__repr__` of a dataclass whose arrays would fill the screen.

    >>> @dataclasses.dataclass
    ... class Piece:
    ...     first_sample: int
    ...     samples: np.ndarray
    ...     __repr__ = short_repr
    >>> Piece(7, np.zeros((2, 187), np.float32))
    Piece(first_sample=7, samples=float32 (2, 187))
    """
    values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__name__}({', '.join(f'{name}={_shown(value)}' for name, value in values)})"


def _shown(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) and value.ndim else repr(value)
