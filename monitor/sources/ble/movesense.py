"""Messages of Movesense sensors: the GATT SensorData Protocol (GSP). Pure.

Sources: the vendor's "GATT SensorData Protocol specification", a revision of its document GD-77
(https://www.movesense.com/docs/esw/gatt_sensordata_protocol/): service, commands 0 to 2, answers 1 to 3; the API of
its device library, `meas/ecg.yaml`: `/Meas/ECG/{rate}` sends int32 samples and a stamp in ms; its API reference: one
count is 0.000381469726563 mV.

No document of the vendor gives the order of bytes in a notification. It is that of the vendor's sample
`gatt_sensordata_app` (SBEM without header) as measured on sensors
(https://github.com/sokolmarek/movesense-commander/blob/main/docs/gsp-protocol.md, 7): the stamp, then 16 samples,
little-endian. If a firmware sends int16 instead, half as many samples arrive: the alarm `sampling_rate`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from monitor.sources.ble.frame import MAX_BYTES, Frame

__all__ = [
    "COMMAND",
    "DATA",
    "HELLO_REFERENCE",
    "RATES_HZ",
    "REFERENCE",
    "SERVICE",
    "USUAL_HZ",
    "UV_PER_COUNT",
    "Answer",
    "EcgParts",
    "answer",
    "hello",
    "product",
    "subscribe",
    "unsubscribe",
]

SERVICE: Final = "34802252-7185-4d5d-b431-630e7050e8f0"
COMMAND: Final = "34800001-7185-4d5d-b431-630e7050e8f0"
DATA: Final = "34800002-7185-4d5d-b431-630e7050e8f0"
UV_PER_COUNT: Final = 0.381469726563
RATES_HZ: Final = (125.0, 200.0, 250.0, 500.0)  # whose 16 samples last whole ms, as its stamps do
USUAL_HZ: Final = 250.0
REFERENCE: Final = 99  # the client's name of its subscription, not 0
HELLO_REFERENCE: Final = 100

_HELLO, _SUBSCRIBE, _UNSUBSCRIBE = range(3)
_RESULT, _DATA, _DATA_PART2 = 1, 2, 3
_STAMP: Final = 4  # bytes
_TEXTS: Final = {
    401: "not permitted",
    404: "unknown measurement",
    409: "busy with another measurement",
    429: "too many requests; take its battery out for a moment",
    501: "unknown sampling rate",
    503: "not available now",
    507: "too many measurements at once",
}


class Answer(NamedTuple):
    """Answer to the command with this reference: the status of HTTP, 200 = done; `text` in words."""

    reference: int
    status: int
    text: str


def hello() -> bytes:
    """The command that asks for the names of the sensor and its firmware."""
    return bytes((_HELLO, HELLO_REFERENCE))


def subscribe(fs_hz: float) -> bytes:
    """The command that starts the ECG.

    >>> subscribe(250.0)
    b'\\x01c/Meas/ECG/250\\x00'
    """
    return bytes((_SUBSCRIBE, REFERENCE)) + f"/Meas/ECG/{fs_hz:.0f}\0".encode()


def unsubscribe() -> bytes:
    """The command that stops the ECG."""
    return bytes((_UNSUBSCRIBE, REFERENCE))


def answer(data: bytes) -> Answer | None:
    """Decode a notification of DATA that answers a command; None for another one.

    >>> answer(bytes((1, 99, 0xF5, 0x01)))
    Answer(reference=99, status=501, text='unknown sampling rate')
    """
    if len(data) < 4 or data[0] != _RESULT or data[1] == HELLO_REFERENCE:
        return None
    status = int.from_bytes(data[2:4], "little")
    return Answer(data[1], status, _TEXTS.get(status, f"status {status}"))


def product(data: bytes) -> str | None:
    """Name and version of the firmware in the answer to `hello`; None for another notification.

    After the version of the protocol come serial number, product, address, name and version of the firmware, each
    ended by 0.

    >>> product(bytes((1, 100, 1)) + b"210330000123\\0Movesense MD\\0AA\\0default\\0" b"2.3.1\\0")
    'default 2.3.1'
    """
    if len(data) < 3 or data[0] != _RESULT or data[1] != HELLO_REFERENCE:
        return None
    texts = data[3:].decode("utf-8", "replace").split("\0")
    return " ".join(texts[3:5]).strip() if len(texts) >= 5 else ""


class EcgParts:
    """Joins the parts of notifications that are longer than the connection allows, and decodes them.

    A sensor that sends parts sends them always. The first one shows it: until then a notification counts as whole.
    """

    def __init__(self) -> None:
        self._in_parts = False
        self._first = b""

    def frame(self, data: bytes) -> Frame | None:
        """Decode a notification of DATA; values in uV, stamp in s since the sensor's start.

        Returns:
            None for a first part.

        Raises:
            ValueError: no ECG, a length that does not fit, or a part whose other part is missing.
        """
        if len(data) < 2 or data[0] not in (_DATA, _DATA_PART2) or data[1] != REFERENCE:
            raise ValueError(f"{data[:2].hex(' ') or 'nothing'} begins no notification of ECG")
        first, self._first = self._first, b""
        if data[0] == _DATA_PART2:
            self._in_parts = True
            if not first:
                raise ValueError("a second part without its first one")
            return _decode(first + data[2:])
        if self._in_parts:
            self._first = bytes(data[2:])
            if first:
                raise ValueError("a first part without its second one")
            return None
        return _decode(data[2:])


def _decode(payload: bytes) -> Frame:
    size = len(payload) - _STAMP
    if size < 4 or size % 4 or len(payload) > 2 * MAX_BYTES:
        raise ValueError(f"{len(payload)} bytes are no stamp and samples of 4 bytes")
    counts = np.frombuffer(payload, dtype="<i4", offset=_STAMP)
    return Frame(counts * UV_PER_COUNT, int.from_bytes(payload[:_STAMP], "little") / 1e3)
