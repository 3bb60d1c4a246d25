"""The dialogue with each kind of strap: start its ECG, decode its notifications, stop it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from monitor.errors import SourceError, plain_line
from monitor.sources.ble import movesense, polar
from monitor.sources.ble.frame import Frame
from monitor.sources.ble.layout import Layout

if TYPE_CHECKING:
    from bleak import BleakClient

__all__ = ["ANSWER_S", "NAMES", "SENDS_ECG", "Generic", "Movesense", "PolarH10", "Strap", "strap_of"]

NAMES: Final = ("Polar H10", "Movesense")  # first words of the names of straps with an ECG
ANSWER_S: Final = 5.0
SENDS_ECG: Final = (
    "a Polar H10 with firmware 3.0.35 or newer and a Movesense with firmware 2.3 or newer send it; for a device of your"
    " own give ?characteristic=UUID"
)
_UPDATE: Final = "update its firmware by the vendor's app"
_ALREADY: Final = 6  # error of Polar's control point: the ECG runs already
_OK: Final = (200, 201, 202)

Take = Callable[[bytes], None]
_T = TypeVar("_T")


class Strap(Protocol):
    """One kind of strap on one connection.

    Attributes:
        fs_hz: sampling rate, Hz.
        unit: of the values of its frames.
        contact: its heart rate notifications report contact with the skin.
        counter_values: its counter starts again after this number; 0 = no counter.
        stamped: its frames have time stamps.
        version: firmware, for the user; empty until `start`, or unknown.
    """

    fs_hz: float
    unit: str
    contact: bool
    counter_values: int
    stamped: bool
    version: str

    async def start(self, client: BleakClient, take: Take) -> None:
        """Start the ECG; `take` is called with each notification of it.

        Raises:
            SourceError: the strap refuses; one line with the remedy.
        """
        ...

    async def stop(self, client: BleakClient) -> None:
        """Ask the strap to stop, which saves its battery."""
        ...

    def frame(self, data: bytes) -> Frame | None:
        """Decode a notification; None for one without samples of its own.

        Raises:
            ValueError: it is not understood.
        """
        ...


class PolarH10:
    """Polar H10; see `polar`."""

    fs_hz = polar.FS_HZ
    unit = "uV"
    contact, stamped, counter_values = True, True, 0

    def __init__(self, fs_hz: float | None = None) -> None:
        if fs_hz not in (None, self.fs_hz):
            raise SourceError(f"--fs {fs_hz:g} Hz, but the strap has {self.fs_hz:g} Hz; leave out --fs")
        self.version = ""

    async def start(self, client: BleakClient, take: Take) -> None:
        """Start the ECG; one that an earlier connection left running is stopped first. See Strap."""
        from bleak.exc import BleakError

        if client.services.get_characteristic(polar.PMD_CONTROL) is None:  # an old firmware has others
            raise SourceError(f"its ECG service is an older one; {_UPDATE}")
        with contextlib.suppress(BleakError):
            firmware = bytes(await client.read_gatt_char(polar.FIRMWARE)).strip(b"\0 ")
            self.version = plain_line(firmware.decode(errors="replace"))
        with contextlib.suppress(BleakError):
            if polar.offers_ecg(bytes(await client.read_gatt_char(polar.PMD_CONTROL))) is False:
                raise SourceError(f"the strap measures no ECG; {SENDS_ECG}")
        answers: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)
        await client.start_notify(polar.PMD_CONTROL, lambda _, data: _put(answers, bytes(data)))
        await client.start_notify(polar.PMD_DATA, lambda _, data: take(bytes(data)))
        answer = await self._ask(client, answers, polar.START_ECG)
        if answer.error == _ALREADY:
            await self._ask(client, answers, polar.STOP_ECG)
            answer = await self._ask(client, answers, polar.START_ECG)
        if answer.error:
            raise SourceError(f"the strap refuses to send its ECG ({answer.text}); {answer.remedy}")

    async def stop(self, client: BleakClient) -> None:
        """See Strap."""
        await client.write_gatt_char(polar.PMD_CONTROL, polar.STOP_ECG, response=True)

    def frame(self, data: bytes) -> Frame | None:
        """See Strap."""
        return polar.ecg_frame(data)

    async def _ask(self, client: BleakClient, answers: asyncio.Queue[bytes], command: bytes) -> polar.Answer:
        await client.write_gatt_char(polar.PMD_CONTROL, command, response=True)
        got = b""
        try:
            async with asyncio.timeout(ANSWER_S):
                while True:
                    got = await answers.get()
                    answer = polar.control_answer(got)
                    if answer is not None and answer.command == command[0]:
                        return answer
        except TimeoutError:
            what = f"answers {got[:16].hex(' ')}, which is not understood" if got else "does not answer the start"
            raise SourceError(f"the strap {what}; turn it off and on: take it off for a minute; {_UPDATE}") from None


class Movesense:
    """Movesense MD, HR+, HR2 and Flash with the vendor's own firmware; see `movesense`."""

    unit = "uV"
    contact, stamped, counter_values = False, True, 0

    def __init__(self, fs_hz: float | None = None) -> None:
        if fs_hz not in (None, *movesense.RATES_HZ):
            rates = ", ".join(f"{rate:g}" for rate in movesense.RATES_HZ)
            raise SourceError(f"--fs {fs_hz:g} Hz; a Movesense is read with {rates} Hz")
        self.fs_hz = fs_hz or movesense.USUAL_HZ
        self.version = ""
        self._parts = movesense.EcgParts()
        self._answers: asyncio.Queue[movesense.Answer] = asyncio.Queue(maxsize=64)
        self._greeted = asyncio.Event()
        self._running = asyncio.Event()

    async def start(self, client: BleakClient, take: Take) -> None:
        """See Strap. The vendor's sample firmware does not answer a start: its first sample counts as the answer."""

        def received(_: object, data: bytearray) -> None:
            got = bytes(data)
            if (version := movesense.product(got)) is not None:
                self.version = plain_line(version)
                self._greeted.set()
            elif (answer := movesense.answer(got)) is not None:
                _put(self._answers, answer)
            else:
                if got[:2] == bytes((2, movesense.REFERENCE)):
                    self._running.set()
                take(got)

        await client.start_notify(movesense.DATA, received)
        await client.write_gatt_char(movesense.COMMAND, movesense.hello(), response=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._greeted.wait()
        await client.write_gatt_char(movesense.COMMAND, movesense.subscribe(self.fs_hz), response=True)
        answer = await self._answer()
        if answer is not None and answer.status not in _OK:
            raise SourceError(
                f"the sensor refuses to send its ECG ({answer.text}); end other programs that use it, and {_UPDATE}"
            )

    async def stop(self, client: BleakClient) -> None:
        """See Strap."""
        await client.write_gatt_char(movesense.COMMAND, movesense.unsubscribe(), response=True)

    def frame(self, data: bytes) -> Frame | None:
        """See Strap."""
        return self._parts.frame(data)

    async def _answer(self) -> movesense.Answer | None:
        """The answer to the start; None where the ECG came without one.

        Raises:
            SourceError: neither came.
        """
        waiting = {asyncio.create_task(self._answers.get()), asyncio.create_task(self._running.wait())}
        try:
            done, _ = await asyncio.wait(waiting, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if not done:
            raise SourceError(f"the sensor does not answer the start of its ECG; {_UPDATE}")
        return next((got for task in done if isinstance(got := task.result(), movesense.Answer)), None)


class Generic:
    """A device whose notifications have the layout that the user describes; see `layout`."""

    contact, stamped = False, False

    def __init__(self, layout: Layout, fs_hz: float, unit: str) -> None:
        self.fs_hz, self.unit = fs_hz, unit
        self.counter_values = layout.counter_values if layout.counter >= 0 else 0
        self.version = ""
        self._layout = layout

    async def start(self, client: BleakClient, take: Take) -> None:
        """See Strap."""
        await client.start_notify(self._sender(client), lambda _, data: take(bytes(data)))
        uuid, _, command = self._layout.start.partition(":")
        if command:
            control = client.services.get_characteristic(uuid)
            if control is None:
                raise SourceError(f"the device has no characteristic {uuid} for the start")
            data = command.encode(errors="surrogateescape")
            await client.write_gatt_char(control, data, response="write" in control.properties)

    async def stop(self, client: BleakClient) -> None:
        """See Strap."""
        await client.stop_notify(self._sender(client))

    def frame(self, data: bytes) -> Frame | None:
        """See Strap."""
        return self._layout.frame(data)

    def _sender(self, client: BleakClient) -> int:
        """Handle of the characteristic."""
        layout = self._layout
        found = [
            characteristic
            for characteristic in client.services.characteristics.values()
            if characteristic.uuid == layout.characteristic and layout.service in ("", characteristic.service_uuid)
        ]
        if len(found) == 1 and {"notify", "indicate"} & set(found[0].properties):
            return found[0].handle
        able = [
            characteristic.uuid
            for characteristic in client.services.characteristics.values()
            if {"notify", "indicate"} & set(characteristic.properties)
        ]
        what = "several" if len(found) > 1 else "no" if not found else "no notifications of"
        remedy = "add service=UUID" if len(found) > 1 else f"those that send are {', '.join(able[:8]) or 'none'}"
        raise SourceError(f"the device has {what} characteristic {layout.characteristic}; {remedy}")


def strap_of(client: BleakClient, name: str, fs_hz: float | None) -> Strap:
    """The dialogue for the connected device, by its services.

    Raises:
        SourceError: it sends no ECG that is known, or not at `fs_hz`.
    """
    if client.services.get_service(polar.PMD_SERVICE) is not None:
        return PolarH10(fs_hz)
    if client.services.get_service(movesense.SERVICE) is not None:
        return Movesense(fs_hz)
    raise SourceError(f"{name} has no ECG; {SENDS_ECG}")


def _put(queue: asyncio.Queue[_T], item: _T) -> None:
    """Put an answer; further ones than fit are dropped, so that no strap fills the memory."""
    with contextlib.suppress(asyncio.QueueFull):
        queue.put_nowait(item)
