"""A Polar H10 without hardware: a backend of bleak (scanner and client) with the faults of a radio link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakGATTProtocolError
from numpy.typing import NDArray

from monitor.sources.ble import polar
from monitor.sources.ble.radio import Backend
from tests.monitor.sources.helpers import Clock

NAME, ADDRESS = "Polar H10 A1B2C3D4", "A0:9E:1A:A1:B2:C3"
FRAME = 73  # samples
BOOT_S = 599_616_000.0  # 2019-01-01, at which the H10's clock begins

CHARACTERISTICS: dict[str, list[tuple[str, list[CharacteristicPropertyName]]]] = {
    "0000180d-0000-1000-8000-00805f9b34fb": [(polar.HEART_RATE, ["notify"])],
    "0000180f-0000-1000-8000-00805f9b34fb": [(polar.BATTERY, ["read", "notify"])],
    "0000180a-0000-1000-8000-00805f9b34fb": [(polar.FIRMWARE, ["read"])],
    polar.PMD_SERVICE: [(polar.PMD_CONTROL, ["read", "write", "indicate"]), (polar.PMD_DATA, ["notify"])],
}


def frame_of(uv: NDArray[np.float64], stamp_s: float) -> bytes:
    """A notification of PMD_DATA; NaN cannot be sent."""
    counts = np.round(uv).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]
    return bytes([0]) + round(stamp_s * 1e9).to_bytes(8, "little") + bytes([0]) + counts.tobytes()


@dataclass
class Strap:
    """A strap and what goes wrong with it; frames are counted from 0 over all connections.

    Attributes:
        uv: (n,) uV; after its end the strap sends no more.
        clock: moved by the strap with every frame; None = real time.
        others: names of further devices in reach.
        lost, twice: frames that do not arrive, and that arrive twice.
        late: frames that arrive after the next one.
        breaks: frame before which the connection breaks -> time until the strap is in reach again, s.
        stalls: frames before which the strap sends nothing until it is disconnected.
        contact: frame -> contact bits of the heart rate sent before it.
        battery: frame -> charge sent before it, %; charge at the begin under -1.
        jumps: frame -> shift of the strap's clock before it, s.
        answers: answers to the start command in turn, whole; the last one stays. Empty = success.
        garble: frame -> bytes sent in its place.
        scan_error, connect_error: raised by the scanner, by the client.
        hangs: connecting never ends.
        refused: characteristics that can neither be read nor followed.
        service: it has the ECG service.
        jitter_s: largest delay of a frame, s, in real time.
    """

    uv: NDArray[np.float64]
    clock: Clock | None = None
    fs_hz: float = 130.0
    others: list[str] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)
    breaks: dict[int, float] = field(default_factory=dict)
    stalls: set[int] = field(default_factory=set)
    contact: dict[int, int] = field(default_factory=dict)
    battery: dict[int, int] = field(default_factory=lambda: {-1: 80})
    jumps: dict[int, float] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    garble: dict[int, bytes] = field(default_factory=dict)
    scan_error: Exception | None = None
    connect_error: Exception | None = None
    hangs: bool = False
    refused: set[str] = field(default_factory=set)
    service: bool = True
    jitter_s: float = 0.0
    commands: list[bytes] = field(default_factory=list)
    connections: int = 0
    frame: int = 0
    shift_s: float = 0.0

    def backend(self) -> Backend:
        """Its scanner and client for bleak."""
        return Backend(type("Scanner", (_Scanner,), {"strap": self}), type("Client", (_Client,), {"strap": self}))

    async def send(self, notify: Callable[[str, bytes], None], connected: Callable[[], bool]) -> bool:
        """Send frames until the signal or the connection ends; False: the strap broke the connection."""
        rng = np.random.default_rng(1)
        loop = asyncio.get_running_loop()
        began_s, first = loop.time(), self.frame
        held: bytes | None = None
        while connected() and (self.frame + 1) * FRAME <= self.uv.size:
            i = self.frame
            if self.clock is None:
                due_s = began_s + (i + 1 - first) * FRAME / self.fs_hz
                await asyncio.sleep(max(0.0, due_s + rng.uniform(0, self.jitter_s) - loop.time()))
            else:
                await asyncio.sleep(0.002)
                self.clock.now_s += FRAME / self.fs_hz
            if i in self.stalls:
                while connected():  # until the task is cancelled
                    self.stalls.discard(i)
                    self.frame += 1
                    await asyncio.sleep(0.002)
                    if self.clock is not None:
                        self.clock.now_s += FRAME / self.fs_hz
                return True
            if (away_s := self.breaks.pop(i, None)) is not None:
                if self.clock is not None:
                    self.clock.now_s += away_s
                self.frame += round(away_s * self.fs_hz / FRAME)
                return False
            self.shift_s += self.jumps.get(i, 0.0)
            if i in self.contact:
                notify(polar.HEART_RATE, bytes([self.contact[i], 72]))
            if i in self.battery:
                notify(polar.BATTERY, bytes([self.battery[i]]))
            data = frame_of(self.uv[i * FRAME : (i + 1) * FRAME], BOOT_S + self.shift_s + (i + 1) * FRAME / self.fs_hz)
            data = self.garble.get(i, data)
            self.frame += 1
            if i in self.late:
                held = data
                continue
            for _ in range(0 if i in self.lost else 2 if i in self.twice else 1):
                notify(polar.PMD_DATA, data)
            if held is not None:
                notify(polar.PMD_DATA, held)
                held = None
        return True


class _Scanner(BaseBleakScanner):
    strap: Strap

    def __init__(self, detection_callback: Any, service_uuids: Any, scanning_mode: Any = None, **_: Any) -> None:
        super().__init__(detection_callback, service_uuids)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self.strap.scan_error is not None:
            raise self.strap.scan_error
        self.seen_devices = {}
        self._task = asyncio.create_task(self._advertise())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _advertise(self) -> None:
        while True:
            await asyncio.sleep(0.005)
            for i, name in enumerate([*self.strap.others, NAME]):
                address = ADDRESS if name == NAME else f"00:00:00:00:00:{i:02X}"
                advertised = AdvertisementData(name, {}, {}, [], None, -60 - i, ())
                device = self.create_or_update_device(address, address, name, None, advertised)
                self.call_detection_callbacks(device, advertised)


class _Client(BaseBleakClient):
    strap: Strap

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(
            address_or_ble_device,
            disconnected_callback=kwargs.get("disconnected_callback"),
            timeout=kwargs["timeout"],
        )
        self._connected = False
        self._task: asyncio.Task[None] | None = None
        self._callbacks: dict[str, Callable[[bytearray], None]] = {}

    @property
    def name(self) -> str:
        return NAME

    @property
    def mtu_size(self) -> int:
        return 232

    @property
    def is_connected(self) -> bool:
        return self._connected

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        if self.strap.connect_error is not None:
            raise self.strap.connect_error
        if self.strap.hangs:
            await asyncio.Event().wait()
        services, handle = BleakGATTServiceCollection(), 1
        for service_uuid, characteristics in CHARACTERISTICS.items():
            if service_uuid == polar.PMD_SERVICE and not self.strap.service:
                continue
            service = BleakGATTService(None, handle, service_uuid)
            services.add_service(service)
            for uuid, properties in characteristics:
                handle += 1
                services.add_characteristic(
                    BleakGATTCharacteristic(None, handle, uuid, properties, lambda: 229, service)
                )
            handle += 1
        self.services = services
        self._connected = True
        self.strap.connections += 1

    async def disconnect(self) -> None:
        self._connected = False
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def pair(self, *args: Any, **kwargs: Any) -> None: ...

    async def unpair(self) -> None: ...

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **kwargs: Any) -> bytearray:
        self._check(characteristic)
        values = {polar.BATTERY: bytes([self.strap.battery.get(-1, 80)]), polar.FIRMWARE: b"3.1.1\0"}
        return bytearray(values[characteristic.uuid])

    async def read_gatt_descriptor(self, *args: Any, **kwargs: Any) -> bytearray:
        raise NotImplementedError

    async def write_gatt_descriptor(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: Any, **kwargs: Any) -> None:
        self._check(characteristic)
        self._callbacks[characteristic.uuid] = callback

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        del self._callbacks[characteristic.uuid]

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:
        command = bytes(data)
        self.strap.commands.append(command)
        assert characteristic.uuid == polar.PMD_CONTROL
        assert response
        if command == polar.STOP_ECG:
            self._notify(polar.PMD_CONTROL, bytes([0xF0, 3, 0, 0, 0]))
            return
        answers = self.strap.answers
        answer = bytes([0xF0, 2, 0, 0, 0, 0]) if not answers else answers.pop(0) if len(answers) > 1 else answers[0]
        if answer:
            self._notify(polar.PMD_CONTROL, answer)
        if answer[:4] == bytes([0xF0, 2, 0, 0]):
            self._task = asyncio.create_task(self._send())

    def _check(self, characteristic: BleakGATTCharacteristic) -> None:
        if characteristic.uuid in self.strap.refused:
            raise BleakGATTProtocolError(2)

    def _notify(self, uuid: str, data: bytes) -> None:
        if self._connected and uuid in self._callbacks:
            self._callbacks[uuid](bytearray(data))

    async def _send(self) -> None:
        if not await self.strap.send(self._notify, lambda: self._connected):
            self._connected = False
            if self._disconnected_callback is not None:
                self._disconnected_callback()
