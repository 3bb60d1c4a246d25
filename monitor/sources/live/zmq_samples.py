"""The message `samples/1`, by which another program sends samples. Pure.

A message is a JSON header and a second frame of little-endian samples, or one JSON frame with the samples in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from monitor.sources.checks import usable_start
from monitor.sources.options import blank_beyond
from monitor.sources.units import UNITS

__all__ = ["INVALID_INT16", "SamplesHeader", "decode_samples"]

INVALID_INT16 = -32_768  # no valid sample, as in WFDB's format 16
_DTYPES = {"float32": "<f4", "float64": "<f8", "int16": "<i2"}
_LARGEST = 2**53  # JSON readers of all languages represent integers up to this exactly


class SamplesHeader(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="schema", tag="samples/1"
):
    """Header of a message of samples that another program sends to `zmq:ENDPOINT`.

    The samples are in a second frame, or in `samples`. NaN (null in JSON, -32768 in int16) = no valid sample, e.g.
    leads off. An unknown field is refused: a misspelt `unit` must not become mV.

    Attributes:
        fs_hz: sampling rate, Hz; the same in every message.
        first_sample: index of the first sample on the sender's clock; a jump means lost samples.
        n: number of samples in this message.
        lead: name of the lead, e.g. `MLII`.
        unit: unit of the samples; `adc` = counts of `mv_per_unit`.
        mv_per_unit: mV in one count, for unit `adc`.
        dtype: type of the second frame, little-endian.
        samples: the samples, if there is no second frame.
        time: ISO 8601 time of the first sample; in the first message, it sets the time of the recording.
        epoch: id of this run of the sender; a new one = a new count of samples.
    """

    fs_hz: Annotated[float, Meta(gt=0)]
    first_sample: Annotated[int, Meta(ge=0, le=_LARGEST)]
    n: Annotated[int, Meta(ge=0)]
    lead: str = "ECG"
    unit: Literal["mV", "uV", "V", "adc"] = "mV"
    mv_per_unit: float | None = None
    dtype: Literal["float32", "float64", "int16"] = "float32"
    samples: tuple[float | None, ...] | None = None
    time: str | None = None
    epoch: str = ""


_decoder = msgspec.json.Decoder(SamplesHeader)


def decode_samples(frames: Sequence[bytes], mv: float | None = None) -> tuple[SamplesHeader, NDArray[np.float64], int]:
    """Parse a message.

    Args:
        frames: header and samples, or the header alone.
        mv: mV in one unit of the samples; None = as the header says.

    Returns:
        The header (without its `samples`); (n,) float64, mV, NaN = no valid sample; the number of samples that were
        infinite or beyond MAX_MV.

    Raises:
        ValueError: an invalid message; one line that names the field.
    """
    try:
        header = _decoder.decode(frames[0])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"header: {error}") from None
    if (len(frames) == 1) == (header.samples is None) or len(frames) > 2:
        inside = "" if header.samples is None else ", samples in the header"
        raise ValueError(f"{len(frames)} frames{inside}; send the header and one frame of samples, or samples in it")
    scale = _mv_per(header) if mv is None else mv
    samples = _samples(header, frames) * scale
    if header.time is not None:
        _check_time(header.time)
    beyond = blank_beyond(samples)
    return msgspec.structs.replace(header, samples=None), samples, beyond


def _samples(header: SamplesHeader, frames: Sequence[bytes]) -> NDArray[np.float64]:
    if header.samples is not None:
        if len(header.samples) != header.n:
            raise ValueError(f"n is {header.n}, but there are {len(header.samples)} samples")
        return np.array([np.nan if value is None else value for value in header.samples], dtype=np.float64)
    dtype = np.dtype(_DTYPES[header.dtype])
    if len(frames[1]) != header.n * dtype.itemsize:
        raise ValueError(f"n is {header.n} {header.dtype}, but the second frame holds {len(frames[1])} bytes")
    raw = np.frombuffer(frames[1], dtype=dtype)
    with np.errstate(invalid="ignore"):  # signalling NaN
        samples = raw.astype(np.float64)
    if header.dtype == "int16":
        samples[raw == INVALID_INT16] = np.nan
    return samples


def _mv_per(header: SamplesHeader) -> float:
    scale = header.mv_per_unit
    if header.unit != "adc":
        if scale is not None:
            raise ValueError(f"mv_per_unit with unit {header.unit}; it belongs to unit adc")
        return UNITS[header.unit]
    if scale is None or not scale:
        raise ValueError("unit adc needs mv_per_unit, the mV of one count")
    return scale


def _check_time(text: str) -> None:
    if usable_start(text) is None:
        raise ValueError(f"time {text[:40]!r} is not ISO 8601 up to the year 8999")
