"""Bluetooth over TCP to an emulated strap: a scanner and a client that speak bleak's backend interface; see `link`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any, Final

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError

from monitor.errors import SourceError
from monitor.sources.ble.frame import MAX_BYTES
from monitor.sources.ble.link import MAX_LINE, Lines, Message, Services, line_of
from monitor.sources.ble.radio import Backend

__all__ = ["Client", "Scanner", "emulated_backend"]

_RSSI_DBM: Final = -40  # beside the machine


def emulated_backend(host: str, port: int) -> Backend:
    """Scanner and client for the strap that `ecg-monitor emulate` plays at this address."""
    at = {"host": host, "port": port}
    return Backend(type("Scanner", (Scanner,), at), type("Client", (Client,), at), alone=True)


class Scanner(BaseBleakScanner):
    """Receives the advertisements of the emulated strap; see BaseBleakScanner."""

    host: str
    port: int

    def __init__(self, detection_callback: Any, service_uuids: Any, scanning_mode: Any = None, **_: Any) -> None:
        super().__init__(detection_callback, service_uuids)
        self._scanning_mode = scanning_mode
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start scanning.

        Raises:
            SourceError: no emulator listens there.
        """
        self.seen_devices = {}
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port, limit=MAX_LINE)
        except OSError:
            raise SourceError(
                f"no emulator at {self.host}:{self.port}; start one: ecg-monitor emulate --format polar --port"
                f" {self.host}:{self.port}"
            ) from None
        writer.write(line_of(Message("scan")))
        self._task = asyncio.create_task(self._listen(reader, writer))

    async def stop(self) -> None:
        """Stop scanning."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = Lines()
        try:
            while data := await reader.read(MAX_LINE):
                for message in lines.feed(data):
                    if message.kind != "seen":
                        continue
                    advertised = AdvertisementData(message.name, {}, {}, [], None, _RSSI_DBM, ())
                    address, name = message.address, message.name
                    device = self.create_or_update_device(address, address, name, None, advertised)
                    self.call_detection_callbacks(device, advertised)
        except (OSError, ValueError):
            pass  # as a radio that receives nothing
        finally:
            writer.close()


class Client(BaseBleakClient):
    """The connection to the emulated strap; see BaseBleakClient."""

    host: str
    port: int

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(
            address_or_ble_device,
            disconnected_callback=kwargs.get("disconnected_callback"),
            timeout=kwargs["timeout"],
        )
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._callbacks: dict[str, Callable[[bytearray], None]] = {}
        self._offered: asyncio.Future[Services] | None = None

    @property
    def name(self) -> str:
        """See BaseBleakClient."""
        return self.address

    @property
    def mtu_size(self) -> int:
        """See BaseBleakClient."""
        return MAX_BYTES + 3

    @property
    def is_connected(self) -> bool:
        """See BaseBleakClient."""
        return self._writer is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """See BaseBleakClient."""
        async with asyncio.timeout(self._timeout):
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port, limit=MAX_LINE)
            except OSError:
                raise BleakDeviceNotFoundError(self.address) from None
            self._writer = writer
            self._offered = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._listen(reader))
            try:
                writer.write(line_of(Message("connect", address=self.address)))
                self.services = _collection(await self._offered)
            except BaseException:
                await self.disconnect()
                raise

    async def disconnect(self) -> None:
        """See BaseBleakClient."""
        self._disconnected_callback = None  # it reports only what was not asked for
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """See BaseBleakClient; nothing to do."""

    async def unpair(self) -> None:
        """See BaseBleakClient; nothing to do."""

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **kwargs: Any) -> bytearray:
        """See BaseBleakClient."""
        return bytearray((await self._ask("read", characteristic)).value)

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:
        """See BaseBleakClient. As with a device, it must be able to answer a write with response."""
        if ("write" if response else "write-without-response") not in characteristic.properties:
            raise BleakError(f"characteristic {characteristic.uuid} has no such write")
        await self._ask("write", characteristic, bytes(data))

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: Any, **kwargs: Any) -> None:
        """See BaseBleakClient."""
        self._callbacks[characteristic.uuid] = callback
        await self._ask("follow", characteristic)

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """See BaseBleakClient."""
        await self._ask("unfollow", characteristic)
        self._callbacks.pop(characteristic.uuid, None)

    async def read_gatt_descriptor(self, *args: Any, **kwargs: Any) -> bytearray:
        """See BaseBleakClient; an emulated strap has no descriptors."""
        raise BleakError("no descriptor")

    async def write_gatt_descriptor(self, *args: Any, **kwargs: Any) -> None:
        """See BaseBleakClient; an emulated strap has no descriptors."""
        raise BleakError("no descriptor")

    async def _ask(self, kind: Any, characteristic: BleakGATTCharacteristic, value: bytes = b"") -> Message:
        if self._writer is None:
            raise BleakError("Not connected")
        asked = next(self._ids)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[asked] = answer
        self._writer.write(line_of(Message(kind, id=asked, uuid=characteristic.uuid, value=value)))
        try:
            done = await answer
        finally:
            del self._asked[asked]
        if done.error:
            raise BleakError(f"refused with error {done.error} of the attribute protocol")
        return done

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        lines = Lines()
        try:
            while data := await reader.read(MAX_LINE):
                for message in lines.feed(data):
                    self._receive(message)
        except (OSError, ValueError):
            pass  # as a broken connection
        finally:
            self._lose()

    def _receive(self, message: Message) -> None:
        if message.kind == "value":
            callback = self._callbacks.get(message.uuid)
            if callback is not None:
                callback(bytearray(message.value))
            if self._writer is not None:
                self._writer.write(line_of(Message("got")))
        elif message.kind == "done":
            answer = self._asked.get(message.id)
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif message.kind == "services" and self._offered is not None and not self._offered.done():
            self._offered.set_result(message.services)

    def _lose(self) -> None:
        """Release the connection and report its loss."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for waiting in (self._offered, *self._asked.values()):
            if waiting is not None and not waiting.done():
                waiting.set_exception(BleakError("disconnected"))
                waiting.exception()  # marks it as retrieved: a cancelled request no longer awaits it
        if self._disconnected_callback is not None:
            self._disconnected_callback()


def _collection(services: Services) -> BleakGATTServiceCollection:
    collection, handle = BleakGATTServiceCollection(), 1
    for uuid, characteristics in services.items():
        service = BleakGATTService(None, handle, uuid)
        collection.add_service(service)
        for name, properties in characteristics.items():
            handle += 1
            made = BleakGATTCharacteristic(None, handle, name, properties, lambda: MAX_BYTES, service)  # type: ignore[arg-type]
            collection.add_characteristic(made)
        handle += 1
    return collection
