"""Messages `samples/1` for the tests of the ZeroMQ source."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {"float32": "<f4", "float64": "<f8", "int16": "<i2"}


def header(first_sample: int = 0, n: int = 0, **fields: Any) -> dict[str, Any]:
    return {"schema": "samples/1", "fs_hz": 250, "first_sample": first_sample, "n": n, **fields}


def message(first_sample: int, mv: list[float] | NDArray[np.float64], **fields: Any) -> list[bytes]:
    fields = header(first_sample, len(mv), **fields)
    samples = np.array(mv).astype(DTYPES[fields.get("dtype", "float32")])
    return [json.dumps(fields).encode(), samples.tobytes()]
