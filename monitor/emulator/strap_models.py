"""What each emulated strap is: its services, its answers to commands, the bytes of its notifications. Pure.

The layouts are those of the decoders in `monitor.sources.ble`, which cite the documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from monitor.sources.ble import movesense, polar
from monitor.sources.ble.layout import Layout
from monitor.sources.ble.link import Services

__all__ = ["STRAPS", "GenericStrap", "Moment", "MovesenseStrap", "PolarStrap", "Refused", "Sent", "StrapModel"]

Floats = NDArray[np.float64]
Sent = tuple[str, bytes]  # characteristic and value of a notification


class Moment(NamedTuple):
    """Of a notification: time of its last sample on the strap's clock, s; its number, from 0."""

    stamp_s: float
    number: int


_BATTERY: Final = {"0000180f-0000-1000-8000-00805f9b34fb": {polar.BATTERY: ["read", "notify"]}}
_FIRMWARE: Final = {"0000180a-0000-1000-8000-00805f9b34fb": {polar.FIRMWARE: ["read"]}}
_HEART_RATE: Final = {"0000180d-0000-1000-8000-00805f9b34fb": {polar.HEART_RATE: ["notify"]}}
_NOT_PERMITTED: Final = 0x02  # error of the attribute protocol: read not permitted
_BOOT_S: Final = 599_616_000.0  # 2019-01-01, at which the clock of an H10 without a phone begins
_CHARGE: Final = 80  # %


class Refused(Exception):  # noqa: N818 - named after the state
    """The strap refuses to give or take a value: `code` of the attribute protocol."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class StrapModel(Protocol):
    """One kind of strap.

    Attributes:
        name, address: as advertised.
        fs_hz: sampling rate, Hz.
        n: samples in a notification.
        data: characteristic of the samples.
        services: its services.
        running: it sends its ECG.
        battery: charge, %.
        query, reading: what `--source ble:` needs to read it after its name, and options besides.
    """

    name: str
    address: str
    fs_hz: float
    n: int
    data: str
    services: Services
    running: bool
    battery: int
    query: str
    reading: tuple[str, ...]

    def read(self, uuid: str) -> bytes:
        """The value of a characteristic.

        Raises:
            Refused: it has none.
        """
        ...

    def write(self, uuid: str, value: bytes) -> list[Sent]:
        """Carry out a command; return the answers."""
        ...

    def follow(self, uuid: str, on: bool) -> None:
        """Notifications of a characteristic are wanted, or no more."""
        ...

    def packets(self, uv: Floats, at: Moment) -> list[Sent]:
        """The notifications with these samples: (n,) uV, NaN = leads off."""
        ...


class _Strap:
    """What all kinds have."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.running = False
        self.battery = _CHARGE
        self.query = ""
        self.reading: tuple[str, ...] = ()

    def read(self, uuid: str) -> bytes:
        """See StrapModel."""
        if uuid == polar.BATTERY and any(uuid in characteristics for characteristics in self.services.values()):
            return bytes([self.battery])
        raise Refused(_NOT_PERMITTED)

    def write(self, uuid: str, value: bytes) -> list[Sent]:  # noqa: ARG002
        """See StrapModel."""
        raise Refused(_NOT_PERMITTED)

    def follow(self, uuid: str, on: bool) -> None:
        """See StrapModel."""


class PolarStrap(_Strap):
    """A Polar H10.

    Args:
        answers: whole answers to the start command, in turn; the last one stays. Empty = as an H10.
        features: bytes read from its control point.
        contact: the flags of its heart rate, with contact and without.
    """

    name, address = "Polar H10 E5E5E5E5", "A0:9E:1A:E5:E5:E5"
    fs_hz, n, data = polar.FS_HZ, 73, polar.PMD_DATA

    def __init__(
        self,
        answers: Sequence[bytes] = (),
        features: bytes = bytes([0x0F, 0x05]) + bytes(15),
        contact: tuple[int, int] = (0x16, 0x14),
    ) -> None:
        pmd = {polar.PMD_CONTROL: ["read", "write", "indicate"], polar.PMD_DATA: ["notify"]}
        super().__init__(_HEART_RATE | _BATTERY | _FIRMWARE | {polar.PMD_SERVICE: pmd})
        self._answers, self._features, self._contact = list(answers), features, contact
        self._off = False

    def read(self, uuid: str) -> bytes:
        """See StrapModel."""
        values = {polar.FIRMWARE: b"3.1.1\0", polar.PMD_CONTROL: self._features}
        return values[uuid] if uuid in values else super().read(uuid)

    def write(self, uuid: str, value: bytes) -> list[Sent]:
        """See StrapModel. Commands: start and stop of the ECG; others are refused as an H10 does."""
        if uuid != polar.PMD_CONTROL:
            raise Refused(_NOT_PERMITTED)
        if value == polar.STOP_ECG:
            self.running = False
            return [(uuid, bytes([0xF0, 3, 0, 0, 0]))]
        if value[:2] != polar.START_ECG[:2]:
            return [(uuid, bytes([0xF0, *value[:1], 0, 1, 0]))]
        answer = bytes([0xF0, 2, 0, 6 if self.running else 0, 0, 0])
        if self._answers:
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.running = self.running or answer[:4] == bytes([0xF0, 2, 0, 0])
        return [(uuid, answer)] if answer else []

    def packets(self, uv: Floats, at: Moment) -> list[Sent]:
        """See StrapModel. A heart rate goes before where the contact changes; without contact the samples are 0."""
        off = bool(np.isnan(uv).any())
        flags = self._contact[off]
        rate = [(polar.HEART_RATE, bytes([flags, 0 if off else 72]))] if off != self._off else []
        self._off = off
        counts = np.round(np.nan_to_num(uv)).clip(-(1 << 23), (1 << 23) - 1).astype("<i4").view(np.uint8)
        stamp = round((_BOOT_S + at.stamp_s) * 1e9) % (1 << 64)
        head = bytes([0]) + stamp.to_bytes(8, "little") + bytes([0])
        return [*rate, (polar.PMD_DATA, head + counts.reshape(-1, 4)[:, :3].tobytes())]


class MovesenseStrap(_Strap):
    """A Movesense sensor with the vendor's firmware.

    Args:
        fs_hz: of the four that are read; a start with another one is refused.
        status: answer to the start, 200 = done; 0 = none.
        greets: it answers the greeting.
        part_bytes: longest notification; longer ones come in two parts.
    """

    name, address = "Movesense 210330000123", "0C:8C:DC:E5:E5:E5"
    n, data = 16, movesense.DATA

    def __init__(
        self, fs_hz: float = movesense.USUAL_HZ, status: int = 200, greets: bool = True, part_bytes: int = 244
    ) -> None:
        gsp = {movesense.COMMAND: ["write"], movesense.DATA: ["notify"]}
        super().__init__(_HEART_RATE | _BATTERY | {movesense.SERVICE: gsp})
        self.fs_hz, self._status, self._greets, self._part_bytes = fs_hz, status, greets, part_bytes
        self.reading = () if fs_hz == movesense.USUAL_HZ else ("--fs", f"{fs_hz:g}")

    def write(self, uuid: str, value: bytes) -> list[Sent]:
        """See StrapModel."""
        if uuid != movesense.COMMAND:
            raise Refused(_NOT_PERMITTED)
        if value[:1] == b"\0":
            names = b"\x01" + b"\x00".join(
                (b"210330000123", b"Movesense MD", b"0C8CDCE5E5E5", b"default", b"2.3.1", b"")
            )
            return [(self.data, bytes([1, *value[1:2]]) + names)] if self._greets else []
        status = 200 if value == movesense.unsubscribe() else 501
        if value == movesense.subscribe(self.fs_hz):
            status = self._status
            self.running = status in (0, 200)
        elif status == 200:
            self.running = False
        return [(self.data, bytes([1, *value[1:2]]) + status.to_bytes(2, "little"))] if status else []

    def packets(self, uv: Floats, at: Moment) -> list[Sent]:
        """See StrapModel. Without contact the samples are 0: the documents name no sign of it."""
        counts = np.round(np.nan_to_num(uv) / movesense.UV_PER_COUNT).clip(-(1 << 31), (1 << 31) - 1).astype("<i4")
        payload = (round(at.stamp_s * 1e3) % (1 << 32)).to_bytes(4, "little") + counts.tobytes()
        room = self._part_bytes - 2
        parts = [payload[:room], payload[room:]] if len(payload) > room else [payload]
        return [(self.data, bytes([2 + i, movesense.REFERENCE]) + part) for i, part in enumerate(parts)]


class GenericStrap(_Strap):
    """A device of the user, as an ESP32 with the Nordic UART service: it sends while its notifications are turned on.

    Args:
        layout: of its notifications; `n` is given.
        uv_per_unit: uV in one unit of its numbers.
    """

    name, address = "MyECG", "24:0A:C4:E5:E5:E5"

    def __init__(self, fs_hz: float = 250.0, layout: Layout | None = None, uv_per_unit: float = 1.0) -> None:
        self.layout = layout or Layout("6e400003-b5a3-f393-e0a9-e50e24dcca9e", skip=1, n=10, counter=0)
        service = self.layout.service or "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
        self._control, _, command = self.layout.start.partition(":")
        self._command = command.encode(errors="surrogateescape")
        control = {self._control: ["write-without-response"]} if command else {}
        super().__init__({service: {self.layout.characteristic: ["notify"]} | control})
        self.fs_hz, self.n, self.data = fs_hz, self.layout.n, self.layout.characteristic
        self._uv_per_unit = uv_per_unit
        default = Layout("")
        keys = {name: getattr(self.layout, name) for name in Layout.__slots__}
        given = {key: value for key, value in keys.items() if value != getattr(default, key)}
        self.query = f"?{urlencode(given, safe=':', errors='surrogateescape')}"
        unit = ("--unit", "uV") if uv_per_unit == 1 else ("--unit", "adc", "--mv-per-unit", f"{uv_per_unit / 1e3:g}")
        self.reading = ("--fs", f"{fs_hz:g}", *unit)

    def follow(self, uuid: str, on: bool) -> None:
        """See StrapModel."""
        if uuid == self.data and not (on and self._command):
            self.running = on

    def write(self, uuid: str, value: bytes) -> list[Sent]:
        """See StrapModel. Samples start by the command of the layout, if it has one."""
        if not self._command or uuid != self._control:
            raise Refused(_NOT_PERMITTED)
        self.running = value == self._command
        return []

    def packets(self, uv: Floats, at: Moment) -> list[Sent]:
        """See StrapModel. Leads off is 0 mV, or NaN in float32; 0 mV of uint16 is 32768."""
        layout = self.layout
        order = "<" if layout.order == "little" else ">"
        numbers = uv / self._uv_per_unit
        if layout.type == "float32":
            body = numbers.astype(f"{order}f4").tobytes()
        else:
            half = 1 << 8 * layout.sample_bytes - 1
            counts = np.round(np.nan_to_num(numbers)).clip(-half, half - 1) + (half if layout.type == "uint16" else 0)
            whole = counts.astype(np.int64).astype(f"{order}i4").view(np.uint8).reshape(-1, 4)
            keep = slice(0, layout.sample_bytes) if order == "<" else slice(4 - layout.sample_bytes, 4)
            body = whole[:, keep].tobytes()
        data = bytearray(bytes(layout.skip) + body + bytes(layout.tail))
        if layout.stride:
            blocks = np.zeros((uv.size, layout.stride), dtype=np.uint8)
            blocks[:, layout.skip : layout.skip + layout.sample_bytes] = np.frombuffer(body, np.uint8).reshape(
                uv.size, -1
            )
            data = bytearray(blocks.tobytes())
        if layout.counter >= 0:
            number = at.number * (uv.size if layout.counts == "samples" else 1)
            count = (number % layout.counter_values).to_bytes(layout.counter_bytes, layout.order)
            data[layout.counter : layout.counter + layout.counter_bytes] = count
        return [(self.data, bytes(data))]


# Format of `ecg-monitor emulate` -> the strap, at a rate where it has several.
STRAPS: Final[dict[str, Callable[[float | None], StrapModel]]] = {
    "polar": lambda _: PolarStrap(),
    "movesense": lambda fs_hz: MovesenseStrap(fs_hz or movesense.USUAL_HZ),
    "ble": lambda fs_hz: GenericStrap(fs_hz or 250.0),
}
