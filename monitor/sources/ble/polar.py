"""Messages of the Polar H10: ECG frames, answers of its control point, contact bits. Pure.

Sources: Polar's "Polar Measurement Data Specification" and the published code of its SDK
(https://github.com/polarofficial/polar-ble-sdk: `PmdDataFrame`, `EcgData`, `PmdControlPointResponse`), its
`TimeSystemExplained.md` for the time stamps, and the Bluetooth SIG's Heart Rate Service 1.0 for the contact bits.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from monitor.sources.ble.frame import Frame
from monitor.sources.ble.layout import Layout

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
    "contact",
    "control_answer",
    "ecg_frame",
    "offers_ecg",
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
_SAMPLES: Final = Layout(PMD_DATA, type="int24", skip=_HEADER)
_ANSWER: Final = 0xF0
_FEATURES: Final = 0x0F
_UPDATE: Final = "a Polar H10 with firmware 3.0.35 or newer sends it; update it by the vendor's app"
_AGAIN: Final = "take the strap off for a minute, so that it turns off, and wear it again"
# Errors of the control point by number (`PmdControlPointResponse` of the SDK), and what helps.
_ERRORS: Final = (
    ("success", ""),
    ("unknown command", _UPDATE),
    ("unknown type of measurement", _UPDATE),
    ("not supported", _UPDATE),
    ("wrong length", _UPDATE),
    ("wrong parameter", _UPDATE),
    ("already in that state", f"end other programs that use it, and {_AGAIN}"),
    ("wrong resolution", _UPDATE),
    ("wrong sampling rate", _UPDATE),
    ("wrong range", _UPDATE),
    ("MTU too small", "use an adapter of Bluetooth 4.2 or newer"),
    ("wrong number of channels", _UPDATE),
    ("not possible in its present state", f"stop its recording in the vendor's app, or {_AGAIN}"),
    ("in the charger", "take it out of the charger"),
    ("its memory is full", "delete its recordings in the vendor's app"),
)


class Answer(NamedTuple):
    """Answer of the control point to `command`: error 0 = done; `text` in words, `remedy` for the user."""

    command: int
    error: int
    text: str
    remedy: str


def ecg_frame(data: bytes) -> Frame:
    """Decode a notification of PMD_DATA; values in uV, stamp in s since 2000-01-01.

    Only frames of type 0, not compressed: 24-bit signed little-endian numbers in uV. The H10 sends no other ones.

    Raises:
        ValueError: another measurement or frame type, a length that does not fit, or no sample.

    >>> ecg_frame(bytes([0, *(10**9).to_bytes(8, "little"), 0, 255, 255, 255, 232, 3, 0]))
    Frame(values=array([  -1., 1000.]), stamp_s=1.0, counter=None)
    """
    if len(data) < _HEADER:
        raise ValueError(f"{len(data)} bytes are no frame of ECG")
    if data[0] & _TYPE_BITS != _ECG:
        raise ValueError(f"a frame of measurement {data[0] & _TYPE_BITS}, not of ECG")
    if data[9]:
        kind = "compressed" if data[9] & _COMPRESSED else "of type"
        raise ValueError(f"an ECG frame {kind} {data[9] & ~_COMPRESSED}, which is not known")
    return _SAMPLES.frame(data)._replace(stamp_s=int.from_bytes(data[1:9], "little") / 1e9)


def offers_ecg(data: bytes) -> bool | None:
    """Whether the features read from PMD_CONTROL name the ECG (bit 0); None for bytes that are no features.

    An H10 gives 0f 05, ECG and acceleration (https://github.com/polarofficial/polar-ble-sdk/issues/360); bits as in
    `PmdMeasurementType.fromByteArray` of the SDK.

    >>> [offers_ecg(bytes(data)) for data in ([0x0F, 0x05, 0], [0x0F, 0x04, 0], [])]
    [True, False, None]
    """
    if len(data) < 2 or data[0] != _FEATURES:
        return None
    return bool(data[1] & 0x01)


def control_answer(data: bytes) -> Answer | None:
    """Decode an indication of PMD_CONTROL; None for one that is no answer about ECG.

    >>> control_answer(bytes([0xF0, 2, 0, 13, 0]))
    Answer(command=2, error=13, text='in the charger', remedy='take it out of the charger')
    """
    if len(data) < 4 or data[0] != _ANSWER or data[2] & _TYPE_BITS != _ECG:
        return None
    error = data[3]
    return Answer(data[1], error, *(_ERRORS[error] if error < len(_ERRORS) else (f"error {error}", _UPDATE)))


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
