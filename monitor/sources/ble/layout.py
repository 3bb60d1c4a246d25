"""A device of your own: where its samples stand in a notification, written as `NAME?key=value&...`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Final, Literal
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources.ble.frame import MAX_BYTES, Frame

__all__ = ["TYPES", "Layout", "parse_layout"]

TYPES: Final = ("int16", "uint16", "int24", "int32", "float32")
_CHOICES: Final = {"type": TYPES, "order": ("little", "big"), "counts": ("notifications", "samples")}
_BASE: Final = "0000{}-0000-1000-8000-00805f9b34fb"  # the Bluetooth SIG's long form of a short number
_UUID: Final = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EXAMPLE: Final = "ble:MyECG?characteristic=6e400003-b5a3-f393-e0a9-e50e24dcca9e&type=int16"


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of a notification.

    Attributes:
        characteristic: UUID that sends the samples.
        service: UUID of its service; empty = the only service with that characteristic.
        type: one of TYPES.
        order: `little` or `big` endian.
        skip: bytes before the samples; with `stride`, before the sample in each block.
        tail: bytes after them.
        stride: length of a block of one sample and what comes with it, e.g. of other channels; 0 = samples only.
        n: samples in a notification; 0 = as many as there are.
        counter: position of a counter, from byte 0; -1 = none. It needs `n`.
        counter_bytes: its length, 1, 2 or 4 bytes, in the order of the samples.
        counts: it counts `notifications` or `samples`.
        start: `UUID:TEXT`, written to that characteristic to start the samples; empty = nothing. Bytes that are no
            UTF-8 are surrogates (PEP 383).
    """

    characteristic: str
    service: str = ""
    type: str = "int16"
    order: Literal["little", "big"] = "little"
    skip: int = 0
    tail: int = 0
    stride: int = 0
    n: int = 0
    counter: int = -1
    counter_bytes: int = 1
    counts: Literal["notifications", "samples"] = "notifications"
    start: str = ""

    @property
    def sample_bytes(self) -> int:
        """Length of a sample, bytes."""
        return int(self.type[-2:]) // 8

    @property
    def counter_values(self) -> int:
        """The counter starts again after this number."""
        return int(256**self.counter_bytes)

    def frame(self, data: bytes) -> Frame:
        """Decode a notification; values as the device sends them, without a scale.

        Raises:
            ValueError: the length does not fit the layout.
        """
        block = self.stride or self.sample_bytes
        body = len(data) - (0 if self.stride else self.skip + self.tail)
        n = self.n or body // block
        if n < 1 or body != n * block or len(data) > MAX_BYTES:
            raise ValueError(f"{len(data)} bytes do not fit the layout")
        counter = None
        if self.counter >= 0:
            counter = int.from_bytes(data[self.counter : self.counter + self.counter_bytes], self.order)
        if self.stride:
            blocks = np.frombuffer(data, dtype=np.uint8).reshape(n, block)
            return Frame(self._numbers(blocks[:, self.skip : self.skip + self.sample_bytes].tobytes()), None, counter)
        return Frame(self._numbers(data[self.skip : self.skip + body]), None, counter)

    def _numbers(self, body: bytes) -> NDArray[np.float64]:
        sign = "<" if self.order == "little" else ">"
        if self.type == "int24":
            triples = np.frombuffer(body, dtype=np.uint8).reshape(-1, 3).astype(np.int32)
            low, high = (0, 2) if self.order == "little" else (2, 0)
            counts = triples[:, low] | triples[:, 1] << 8 | triples[:, high] << 16
            return (counts - ((counts & 0x800000) << 1)).astype(np.float64)
        with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
            return np.frombuffer(body, dtype=f"{sign}{self.type[0]}{self.sample_bytes}").astype(np.float64)


def parse_layout(query: str, name: str) -> Layout:
    """Parse `characteristic=UUID&type=int16&...`; the keys are the attributes of Layout.

    Args:
        name: source, for the errors.

    Raises:
        SourceError: unknown key, a value out of range, or keys that contradict each other.
    """
    known = {field.name: field.type for field in fields(Layout)}
    try:
        pairs = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True, errors="surrogateescape"))
    except ValueError:
        raise SourceError(f"{name}: write keys as key=value&key=value, e.g. {_EXAMPLE}") from None
    values: dict[str, str | int] = {}
    for key, text in pairs.items():
        if key not in known:
            raise SourceError(f"{name}: no key {key!r}; there are {', '.join(known)}")
        values[key] = _number(key, text, name) if known[key] == "int" else _word(key, text, name)
    if "characteristic" not in values:
        raise SourceError(f"{name}: give the characteristic that sends the samples, e.g. {_EXAMPLE}")
    layout = Layout(**values)  # type: ignore[arg-type]
    if layout.counter >= 0 and not layout.n:
        raise SourceError(f"{name}: a counter needs n, the number of samples in a notification, e.g. n=10")
    if layout.counter >= 0 and layout.counter_bytes not in (1, 2, 4):
        raise SourceError(f"{name}: counter_bytes={layout.counter_bytes}; give 1, 2 or 4")
    one = layout.sample_bytes
    if layout.stride and (layout.skip + one > layout.stride or layout.tail):
        raise SourceError(f"{name}: stride={layout.stride} has no room for skip and sample; with it leave out tail")
    size = max(layout.n, 1) * layout.stride or layout.skip + max(layout.n, 1) * one + layout.tail
    if size > MAX_BYTES:
        raise SourceError(f"{name}: {size} bytes in a notification; Bluetooth allows {MAX_BYTES}; give a smaller n")
    end = layout.counter + layout.counter_bytes
    body = range(layout.skip, layout.skip + (one if layout.stride else layout.n * one))
    if layout.counter >= 0 and (end > size or (layout.counter < body.stop and end > body.start)):
        raise SourceError(f"{name}: the counter at byte {layout.counter} is not in the skip or tail bytes; give skip")
    return layout


def _word(key: str, text: str, name: str) -> str:
    if key == "start":
        uuid, colon, command = text.partition(":")
        if not (colon and command and len(command.encode(errors="surrogateescape")) <= MAX_BYTES):
            raise SourceError(f"{name}: start={text}; give characteristic and text, e.g. start=ff01:START")
        return f"{_word('characteristic', uuid, name)}:{command}"
    text = text.strip().lower()
    if key in _CHOICES:
        if text not in _CHOICES[key]:
            raise SourceError(f"{name}: {key}={text}; choose one of {', '.join(_CHOICES[key])}")
        return text
    if not _UUID.fullmatch(text):
        raise SourceError(f"{name}: {key}={text} is no UUID; give 4 hex digits, or 32 as {_BASE.format('2a37')}")
    return _BASE.format(text) if len(text) == 4 else text


def _number(key: str, text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and int(text) <= MAX_BYTES):
        raise SourceError(f"{name}: {key}={text}; give a whole number from 0 to {MAX_BYTES}")
    return int(text)
