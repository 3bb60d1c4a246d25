"""Named arrays in one binary file that a browser reads without a library: little-endian, each at a multiple of 8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["packed"]

_ALIGNMENT: Final = 8
_TYPES: Final = {"float32": "<f4", "int16": "<i2", "int32": "<i4"}  # names of the typed arrays of JavaScript


def packed(arrays: Mapping[str, NDArray[Any]]) -> tuple[bytes, dict[str, dict[str, Any]]]:
    """Content of the file, and its table: name -> type, shape and offset in bytes.

    Raises:
        ValueError: an array of another type than float32, int16 or int32.
    """
    content = bytearray()
    table: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        kind = _TYPES.get(array.dtype.name)
        if kind is None:
            raise ValueError(f"array {name} is {array.dtype.name}; give one of {', '.join(_TYPES)}")
        table[name] = {"type": array.dtype.name, "shape": list(array.shape), "offset": len(content)}
        content += np.ascontiguousarray(array, dtype=kind).tobytes()
        content += bytes(-len(content) % _ALIGNMENT)
    return bytes(content), table
