"""An ECG over Bluetooth Low Energy, `ble:NAME`, `ble:ADDRESS`, `ble:NAME?layout`; needs the extra `ble`.

Polar H10 and Movesense are recognised by their services; another device is read by the layout in its name
(see `layout`). Lost notifications are found by the strap's time stamps or counter, else by time; a strap that is out
of reach is searched for until it is back. `ble:NAME@HOST:PORT` is a strap that `ecg-monitor emulate` plays.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final

from monitor.errors import SourceError, plain_line
from monitor.sources.base import Chunk, EndOfStream, Source
from monitor.sources.ble import polar
from monitor.sources.ble.layout import Layout, parse_layout
from monitor.sources.ble.link import parse_endpoint
from monitor.sources.ble.radio import SYSTEM, Backend, client_of, find, load_bleak, reason
from monitor.sources.ble.strap_buffer import StrapBuffer
from monitor.sources.ble.straps import ANSWER_S, SENDS_ECG, Generic, Strap, strap_of
from monitor.sources.options import SourceOptions, check_fs, sample_span
from monitor.sources.reader_thread import ReaderThread
from monitor.sources.units import mv_per

if TYPE_CHECKING:
    from bleak import BleakClient

__all__ = ["SILENT_S", "BleSource"]

SILENT_S: Final = 5.0  # a connection without ECG for this time is closed and opened again
_POLL_S: Final = 0.05
_OPEN_S: Final = 60.0  # to find the strap, to connect and to start its ECG
_STOP_S: Final = 1.0
_BACKOFF_S: Final = (1.0, 30.0)  # first and longest wait between attempts to find the strap again
_LOW_BATTERY: Final = 15  # %


class BleSource(Source):
    """Live source of the ECG of one strap; a thread runs bleak's event loop, read() never waits.

    No rails: the straps' documents do not name a range. Many attributes: seven are those of the Source protocol.

    Args:
        what: name or address of the strap, or the first letters of its name; empty = the only known strap in reach.
            Then `@HOST:PORT` of an emulated strap, `?key=value&...` with the keys of `layout.Layout`, or both.
        options: `fs_hz`, `unit`, `mv_per_unit`, `rate_tolerance`, `duration_s`, `clock`.
        backend: of bleak.

    Raises:
        SourceError: bleak is not installed; Bluetooth cannot be used; the strap is not in reach or sends no ECG; a
            layout without rate or unit.
    """

    live = True
    lead = "ECG"

    def __init__(self, what: str, options: SourceOptions, name: str, backend: Backend = SYSTEM) -> None:
        self.name = name
        self._options, self._clock = options, options.clock
        if options.start_s:
            raise SourceError(f"{name}: a strap begins now; leave out --start")
        if options.second is not None:
            raise SourceError(f"{name}: a strap has one lead; leave out --channel")
        self._label = name.partition("?")[0]  # in notices
        what, question, query = what.partition("?")
        self._layout = parse_layout(query, name) if question else None
        self.unit = options.unit or ("mV" if self._layout else "uV")
        self.mv_per_unit = mv_per(self.unit, options.mv_per_unit, name)
        if self._layout is not None:
            _check_layout(self._layout, options, name)
        load_bleak(name)
        before, at, end = what.rpartition("@")
        if at and (endpoint := parse_endpoint(end)) is not None:
            from monitor.sources.ble.emulated import emulated_backend

            what, backend = before, emulated_backend(*endpoint)
        self._wanted, self._backend = what.strip(), backend
        if self._layout is not None and not (self._wanted or backend.alone):
            raise SourceError(
                f"{name}: give the device's name or address before the ?; ecg-monitor ports --ble lists them"
            )
        self._lock = threading.Lock()  # guards the buffer and what follows
        self._strap: Strap | None = None  # of the present or last connection
        self._failure: str | None = None
        self._odd = ""  # what was wrong with the last notification, if it was wrong
        self._off = False  # no contact with the skin
        self._battery: int | None = None
        self._lost = ""  # reason; empty while the ECG arrives
        self._arrival_s = 0.0
        self._opened = threading.Event()  # the first frame has arrived, or opening failed
        self._thread = ReaderThread(lambda: asyncio.run(self._main()), f"ble {what}", self._fail, self._opened.set)
        options.report(f"{self._label}: looking for the strap")
        try:
            self._thread.start()
            while not self._opened.wait(_POLL_S):  # on Windows Ctrl-C does not interrupt a longer wait
                pass
        except BaseException:
            self.close()
            raise
        with self._lock:
            self._check()
        options.note("format", self._format())
        options.note("rate", f"{self.fs_hz:g} Hz")
        options.note("unit", self.unit)

    def _begin(self, strap: Strap) -> None:
        """Make the buffer for the first strap; a later connection is to the same one. The caller holds the lock."""
        if self._strap is None:
            self.fs_hz = strap.fs_hz
            self._buffer = StrapBuffer(
                self._label,
                strap.fs_hz,
                stamped=strap.stamped,
                counter_values=strap.counter_values,
                counter_step=self._layout.n if self._layout and self._layout.counts == "notifications" else 1,
                mv_per_unit=self.mv_per_unit,
                rate_tolerance=self._options.rate_tolerance,
                duration=sample_span(self._options, strap.fs_hz, None, self.name)[1],
                now_s=self._clock(),
            )
        self._strap = strap

    def read(self, max_samples: int) -> Chunk | None:
        """Return the samples that arrived, at most `max_samples`; see Source."""
        with self._lock:
            self._check()
            if self._buffer.ended:
                raise EndOfStream
            return self._buffer.read(max_samples)

    @property
    def waiting(self) -> int:
        """Samples received and not read yet."""
        return self._buffer.waiting

    def close(self) -> None:
        """Disconnect and stop the thread; may be called twice."""
        self._thread.stop(timeout_s=10.0)
        self._fail("closed")

    def _check(self) -> None:
        if self._failure is not None:
            raise SourceError(self._failure)

    def _fail(self, text: str) -> None:
        """Let all further calls of read() raise."""
        with self._lock:
            self._failure = self._failure or f"{self._label}: {text}"

    # -- in the thread ---------------------------------------------------------------------------------------

    async def _main(self) -> None:
        """Keep the strap connected until the source is closed."""
        task = asyncio.create_task(self._attempts())
        while self._thread.running and not task.done():
            await asyncio.wait({task}, timeout=_POLL_S)
            with self._lock:
                if self._strap is not None:
                    self._buffer.poll(self._clock())
        if task.done():
            task.result()
            return
        task.cancel()
        await asyncio.wait({task}, timeout=ANSWER_S)

    async def _attempts(self) -> None:
        pause_s = _BACKOFF_S[0]
        while True:
            try:
                await self._connected()
            except Exception as error:  # D-Bus and the backends raise classes of their own
                why = reason(error)
            if not self._opened.is_set():
                self._fail(why)
                return
            with self._lock:
                if not self._lost:
                    pause_s = _BACKOFF_S[0]
                    self._buffer.cut(self._clock())
                if why != self._lost:
                    self._buffer.notice("source_lost", f"the strap is lost ({why})")
                self._lost = why
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _BACKOFF_S[1])

    async def _connected(self) -> None:
        """Find the strap, connect, and take its ECG until the connection is lost.

        Raises:
            Exception: always; the reason of the loss, see `radio.reason`.
        """
        broken = asyncio.Event()
        async with contextlib.AsyncExitStack() as connection:
            async with asyncio.timeout(_OPEN_S):  # a backend may hang
                device = await find(self._wanted, self._backend)
                client = await connection.enter_async_context(client_of(device, broken.set, self._backend))
                self._device = f"{plain_line(device.name or device.address)} ({client.address})"
                strap = self._strap_on(client, device.name or device.address)
                connection.push_async_callback(_stop_ecg, strap, client)
                self._wanted = device.address  # another strap with such a name must not take its place
                with self._lock:
                    self._begin(strap)
                await self._describe(client, strap)
                await strap.start(client, self._take_frame)
            self._arrival_s = self._clock()
            while not broken.is_set():
                if self._clock() - self._arrival_s > SILENT_S:
                    raise SourceError(self._why_silent())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S):
                        await broken.wait()
            raise SourceError("the connection broke: out of reach, taken off, or an empty battery")

    def _strap_on(self, client: BleakClient, name: str) -> Strap:
        if self._layout is not None:
            return Generic(self._layout, check_fs(self._options.fs_hz or 0.0, self.name), self.unit)
        return strap_of(client, plain_line(name), self._options.fs_hz)

    def _format(self) -> str:
        version = f", firmware {self._strap.version}" if self._strap and self._strap.version else ""
        return f"{self._device}{version}, {self.fs_hz:g} Hz"

    def _why_silent(self) -> str:
        if self._odd and self._layout is not None:
            return f"it sends nothing that fits the layout ({self._odd}); check type, skip, tail and n"
        if self._odd:
            return f"it sends no ECG that is understood ({self._odd}); {SENDS_ECG}"
        return f"it sent no ECG for {SILENT_S:g} s; is it worn, with wet electrodes?"

    async def _describe(self, client: BleakClient, strap: Strap) -> None:
        """Read the battery, and follow battery and contact; the ECG does without what the strap refuses."""
        from bleak.exc import BleakError

        battery = b""
        with contextlib.suppress(BleakError):
            battery = bytes(await client.read_gatt_char(polar.BATTERY))
        self._take_battery(battery)
        with contextlib.suppress(BleakError):
            await client.start_notify(polar.BATTERY, lambda _, data: self._take_battery(bytes(data)))
        self._off, self._odd = False, ""
        if strap.contact:
            with contextlib.suppress(BleakError):
                await client.start_notify(polar.HEART_RATE, lambda _, data: self._take_contact(bytes(data)))

    def _take_frame(self, data: bytes) -> None:
        now_s = self._clock()
        with self._lock:
            if self._strap is None:
                return
            try:
                frame = self._strap.frame(data)
            except ValueError as error:
                self._odd = str(error)
                self._buffer.add_unknown(self._odd)
                return
            if frame is None:
                return
            self._arrival_s, self._odd = now_s, ""
            if not self._opened.is_set():
                self._buffer.notice("format", self._format())
            if self._lost:
                self._lost = ""
                self._buffer.notice("source_back", "the strap is back")
            self._buffer.add(frame, now_s, self._off)
        self._opened.set()

    def _take_contact(self, data: bytes) -> None:
        self._off = polar.contact(data) is False

    def _take_battery(self, data: bytes) -> None:
        if not data or data[0] > 100 or data[0] == self._battery:
            return
        self._battery = data[0]
        low = "; replace the battery" if data[0] <= _LOW_BATTERY else ""
        with self._lock:
            self._buffer.notice("battery", f"battery {data[0]} %{low}")


def _check_layout(layout: Layout, options: SourceOptions, name: str) -> None:
    """Check that what a layout cannot tell is given.

    Raises:
        SourceError: rate or unit is missing.
    """
    if options.fs_hz is None:
        raise SourceError(f"{name}: a layout has no rate; give --fs, e.g. --fs 250")
    if options.unit is None and layout.type != "float32":
        raise SourceError(f"{name}: {layout.type} numbers have no unit; give --unit uV, or --unit adc --mv-per-unit")


async def _stop_ecg(strap: Strap, client: BleakClient) -> None:
    """Ask the strap to stop, which saves its battery; a broken connection does not matter."""
    if client.is_connected:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_STOP_S):
                await strap.stop(client)
