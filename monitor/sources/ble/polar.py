"""Messages of the Polar H10: ECG frames, answers of its control point, contact bits. Pure.

Sources: Polar's "Polar Measurement Data Specification" and the published code of its SDK
(https://github.com/polarofficial/polar-ble-sdk: `PmdDataFrame`, `EcgData`, `PmdControlPointResponse`), its
`TimeSystemExplained.md` for the time stamps, and the Bluetooth SIG's Heart Rate Service 1.0 for the contact bits.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BATTERY",
    "FIRMWARE",
    "FS_HZ",
    "HEART_RATE",
    "PMD_CONTROL",
    "PMD_DATA",
    "PMD_SERVICE",
    "START_ECG",
    "STOP_ECG",
    "Answer",
    "EcgFrame",
    "contact",
    "control_answer",
    "ecg_frame",
]

PMD_SERVICE: Final = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
PMD_CONTROL: Final = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
PMD_DATA: Final = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
HEART_RATE: Final = "00002a37-0000-1000-8000-00805f9b34fb"
BATTERY: Final = "00002a19-0000-1000-8000-00805f9b34fb"
FIRMWARE: Final = "00002a26-0000-1000-8000-00805f9b34fb"

FS_HZ: Final = 130.0
# Start (2) of ECG (0); then settings of type, number of values, value in 16 bits: rate 130 Hz, resolution 14 bits.
START_ECG: Final = bytes((0x02, 0x00, 0x00, 0x01, 130, 0, 0x01, 0x01, 14, 0))
STOP_ECG: Final = bytes((0x03, 0x00))

_ECG: Final = 0
_TYPE_BITS: Final = 0x3F
_COMPRESSED: Final = 0x80
_HEADER: Final = 10  # type of measurement, time stamp in 8 bytes, type of frame
_SAMPLE: Final = 3  # bytes
_ANSWER: Final = 0xF0
_ERRORS: Final = (
    "success",
    "unknown command",
    "unknown type of measurement",
    "not supported",
    "wrong length",
    "wrong parameter",
    "already in that state",
    "wrong resolution",
    "wrong sampling rate",
    "wrong range",
    "MTU too small",
    "wrong number of channels",
    "not possible in its present state",
    "in the charger",
    "its memory is full",
)


class EcgFrame(NamedTuple):
    """The samples of one notification.

    Attributes:
        stamp_s: time of the last sample on the strap's own clock, s since 2000-01-01.
        uv: (n,) float64, uV, in order.
    """

    stamp_s: float
    uv: NDArray[np.float64]


class Answer(NamedTuple):
    """Answer of the control point to `command`: error 0 = done; `text` in words."""

    command: int
    error: int
    text: str


def ecg_frame(data: bytes) -> EcgFrame:
    """Decode a notification of PMD_DATA.

    Only frames of type 0, not compressed: 24-bit signed little-endian numbers in uV. The H10 sends no other ones.

    Raises:
        ValueError: another measurement or frame type, a length that does not fit, or no sample.

    >>> ecg_frame(bytes([0, *(10**9).to_bytes(8, "little"), 0, 255, 255, 255, 232, 3, 0]))
    EcgFrame(stamp_s=1.0, uv=array([  -1., 1000.]))
    """
    if len(data) < _HEADER + _SAMPLE or (len(data) - _HEADER) % _SAMPLE:
        raise ValueError(f"{len(data)} bytes are no frame of ECG")
    if data[0] & _TYPE_BITS != _ECG:
        raise ValueError(f"a frame of measurement {data[0] & _TYPE_BITS}, not of ECG")
    if data[9]:
        kind = "compressed" if data[9] & _COMPRESSED else "of type"
        raise ValueError(f"an ECG frame {kind} {data[9] & ~_COMPRESSED}, which is not known")
    triples = np.frombuffer(data, dtype=np.uint8, offset=_HEADER).reshape(-1, _SAMPLE).astype(np.int32)
    counts = triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16
    counts -= (counts & 0x800000) << 1
    return EcgFrame(int.from_bytes(data[1:9], "little") / 1e9, counts.astype(np.float64))


def control_answer(data: bytes) -> Answer | None:
    """Decode an indication of PMD_CONTROL; None for one that is no answer about ECG.

    >>> control_answer(bytes([0xF0, 2, 0, 6, 0]))
    Answer(command=2, error=6, text='already in that state')
    """
    if len(data) < 4 or data[0] != _ANSWER or data[2] & _TYPE_BITS != _ECG:
        return None
    error = data[3]
    return Answer(data[1], error, _ERRORS[error] if error < len(_ERRORS) else f"error {error}")


def contact(data: bytes) -> bool | None:
    """Contact with the skin by a notification of HEART_RATE; None where the strap does not report it.

    Bit 2 of the flags: contact is reported; bit 1: there is contact. Many an H10 never sets bit 2
    (https://github.com/polarofficial/polar-ble-sdk/issues/470).

    >>> [contact(bytes([flags, 72])) for flags in (0x10, 0x14, 0x16)]
    [None, False, True]
    """
    if not data or not data[0] & 0x04:
        return None
    return bool(data[0] & 0x02)
