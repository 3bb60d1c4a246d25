"""Small ISHNE files made byte by byte."""

from __future__ import annotations

import binascii
import struct

import numpy as np
from numpy.typing import NDArray


def ishne_file(
    counts: NDArray[np.int16],
    *,
    codes: tuple[int, ...] = (6,),
    resolution_nv: tuple[int, ...] = (2500,),
    fs_hz: int = 200,
    extra: bytes = b"",
    start: tuple[int, ...] = (24, 12, 2026, 10, 30, 15),
    samples: int | None = None,
    data_at: int | None = None,
    checksum: int | None = None,
) -> bytes:
    """The file; `counts` (samples, leads)."""
    n = counts.shape[1]
    twelve = [*codes, *[0] * 12][:12], [0] * 12, [*resolution_nv, *[-9] * 12][:12]
    fixed = struct.pack(
        "<iiiih40s40s20shh3h3h3h3hh12h12h12hh40sh80s80s88s",
        len(extra),
        counts.shape[0] if samples is None else samples,
        522,
        522 + len(extra) if data_at is None else data_at,
        1,
        b"First",
        b"Last",
        b"id",
        0,
        0,
        *(1, 1, 1970),
        *start[:3],
        *start[:3],
        *start[3:],
        n,
        *twelve[0],
        *twelve[1],
        *twelve[2],
        0,
        b"digital",
        fs_hz,
        *[b""] * 3,
    )
    header = fixed + extra
    own = binascii.crc_hqx(header, 0xFFFF) if checksum is None else checksum
    return b"ISHNE1.0" + struct.pack("<H", own) + header + counts.astype("<i2").tobytes()
