"""A chest strap over Bluetooth Low Energy, `ble:NAME` or `ble:ADDRESS`; needs the extra `ble`.

A Polar H10 sends its ECG by a service of the vendor (see `polar`). Frames carry the strap's time stamps, by which lost
notifications are found; a strap that is out of reach is searched for until it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final

import numpy as np

from monitor.errors import SourceError, plain_line
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.ble import polar
from monitor.sources.ble.radio import client_of, find, load_bleak, reason
from monitor.sources.live_buffer import LiveBuffer, RateWatch
from monitor.sources.options import SourceOptions, sample_span
from monitor.sources.reader_thread import ReaderThread
from monitor.sources.timing.frame_clock import FrameClock
from monitor.sources.units import mv_per

if TYPE_CHECKING:
    from bleak import BleakClient

__all__ = ["BUFFER_S", "SILENT_S", "BleSource"]

BUFFER_S: Final = 30.0  # unread samples that are kept; older ones are dropped, and missing
SILENT_S: Final = 5.0  # a connection without ECG for this time is closed and opened again
_POLL_S: Final = 0.05
_OPEN_S: Final = 60.0  # to find the strap, to connect and to start its ECG
_ANSWER_S: Final = 5.0
_STOP_S: Final = 1.0
_BACKOFF_S: Final = (1.0, 30.0)  # first and longest wait between attempts to find the strap again
_LOW_BATTERY: Final = 15  # %
_SENDS_ECG: Final = "a Polar H10 with firmware 3.0.35 or newer sends it; update it by the vendor's app"
_ALREADY: Final = 6  # error of the control point: the ECG runs already


class BleSource(Source):
    """Live source of the ECG of one strap; a thread runs bleak's event loop, read() never waits.

    No rails: the strap's documents do not name a range. Many attributes: seven are those of the Source protocol.

    Args:
        what: name or address of the strap, or the first letters of its name; empty = the only Polar H10 in reach.
        options: `fs_hz` (must be 130), `unit`, `rate_tolerance`, `duration_s`, `clock`.

    Raises:
        SourceError: bleak is not installed; Bluetooth cannot be used; the strap is not in reach or sends no ECG.
    """

    live = True
    lead = "ECG"
    fs_hz = polar.FS_HZ

    def __init__(self, what: str, options: SourceOptions, name: str) -> None:
        self.name = name
        self._wanted = what
        self._clock = options.clock
        if options.start_s:
            raise SourceError(f"{name}: a strap begins now; leave out --start")
        if options.fs_hz is not None and options.fs_hz != self.fs_hz:
            raise SourceError(f"{name}: --fs {options.fs_hz:g} Hz, but the strap has {self.fs_hz:g} Hz; leave out --fs")
        self.unit = options.unit or "uV"
        self.mv_per_unit = mv_per(self.unit, options.mv_per_unit, name)
        load_bleak(name)
        duration = sample_span(options, self.fs_hz, None, name)[1]
        self._frames = FrameClock(self.fs_hz)
        rate = RateWatch(options.rate_tolerance, subject="the strap ")
        self._buffer = LiveBuffer(name, self.fs_hz, BUFFER_S, rate, self._clock(), duration, clock=self._frames)
        self._lock = threading.Lock()  # guards the buffer and what follows
        self._failure: str | None = None
        self._unknown = 0  # frames that could not be decoded
        self._odd = ""  # what was wrong with the last one, if it was wrong
        self._off = False  # no contact with the skin
        self._battery: int | None = None
        self._lost = ""  # reason; empty while the ECG arrives
        self._arrival_s = 0.0
        self._opened = threading.Event()  # the first frame has arrived, or opening failed
        self._thread = ReaderThread(lambda: asyncio.run(self._main()), f"ble {what}", self._fail, self._opened.set)
        options.report(f"{name}: looking for the strap")
        try:
            self._thread.start()
            self._opened.wait()
        except BaseException:
            self.close()
            raise
        with self._lock:
            self._check()
        options.note("format", self._format)
        options.note("rate", f"{self.fs_hz:g} Hz")
        options.note("unit", self.unit)

    def read(self, max_samples: int) -> Chunk | None:
        """Return the samples that arrived, at most `max_samples`; see Source."""
        with self._lock:
            self._check()
            if self._buffer.ended:
                raise EndOfStream
            return self._buffer.read(max_samples, *self._counted())

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
            self._failure = self._failure or f"{self.name}: {text}"

    def _counted(self) -> list[Notice]:
        """Notices of what was counted since the last call. The caller holds the lock."""
        notices = []
        for count, what in (
            (self._unknown, "notifications are no known ECG frame"),
            (self._frames.old, "notifications came twice or too late, and were dropped"),
            (self._frames.resets, "times the strap's clock was set or began again; the time of arrival counts"),
        ):
            if count:
                notices.append(Notice("bad_input", f"{self.name}: {count} {what}", count))
        self._unknown = self._frames.old = self._frames.resets = 0
        return notices

    # -- in the thread ---------------------------------------------------------------------------------------

    async def _main(self) -> None:
        """Keep the strap connected until the source is closed."""
        task = asyncio.create_task(self._attempts())
        while self._thread.running and not task.done():
            await asyncio.wait({task}, timeout=_POLL_S)
            with self._lock:
                now_s = self._clock()
                self._buffer.add(self._frames.poll(now_s), now_s)
        if task.done():
            task.result()
            return
        task.cancel()
        await asyncio.wait({task}, timeout=_ANSWER_S)

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
                    self._buffer.add(self._frames.cut(), self._clock())
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
                device = await find(self._wanted)
                client = await connection.enter_async_context(client_of(device, broken.set))
                connection.push_async_callback(_stop_ecg, client)
                if client.services.get_service(polar.PMD_SERVICE) is None:
                    raise SourceError(f"{device.name or device.address} has no ECG; {_SENDS_ECG}")
                self._wanted = device.address  # another strap with such a name must not take its place
                await self._describe(client, device.name or device.address)
                await self._start(client)
            self._arrival_s = self._clock()
            while not broken.is_set():
                if self._clock() - self._arrival_s > SILENT_S:
                    raise SourceError(self._why_silent())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S):
                        await broken.wait()
            raise SourceError("the connection broke: out of reach, taken off, or an empty battery")

    def _why_silent(self) -> str:
        if self._odd:
            return f"it sends no ECG that is understood ({self._odd}); {_SENDS_ECG}"
        return f"it sent no ECG for {SILENT_S:g} s; is it worn, with wet electrodes?"

    async def _describe(self, client: BleakClient, device: str) -> None:
        """Read firmware and battery, and follow battery and contact; the ECG does without what the strap refuses."""
        from bleak.exc import BleakError

        firmware = battery = b""
        with contextlib.suppress(BleakError):
            firmware = bytes(await client.read_gatt_char(polar.FIRMWARE)).strip(b"\0 ")
        version = f", firmware {plain_line(firmware.decode(errors='replace'))}" if firmware else ""
        self._format = f"{plain_line(device)} ({client.address}){version}, {self.fs_hz:g} Hz"
        with contextlib.suppress(BleakError):
            battery = bytes(await client.read_gatt_char(polar.BATTERY))
        self._take_battery(battery)
        with contextlib.suppress(BleakError):
            await client.start_notify(polar.BATTERY, lambda _, data: self._take_battery(bytes(data)))
        self._off, self._odd = False, ""
        with contextlib.suppress(BleakError):
            await client.start_notify(polar.HEART_RATE, lambda _, data: self._take_contact(bytes(data)))

    async def _start(self, client: BleakClient) -> None:
        """Start the ECG; one that an earlier connection left running is stopped first."""
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        await client.start_notify(polar.PMD_CONTROL, lambda _, data: answers.put_nowait(bytes(data)))
        await client.start_notify(polar.PMD_DATA, lambda _, data: self._take_frame(bytes(data)))
        answer = await self._ask(client, answers, polar.START_ECG)
        if answer.error == _ALREADY:
            await self._ask(client, answers, polar.STOP_ECG)
            answer = await self._ask(client, answers, polar.START_ECG)
        if answer.error:
            raise SourceError(f"the strap refuses to send its ECG ({answer.text}); {_SENDS_ECG}")

    async def _ask(self, client: BleakClient, answers: asyncio.Queue[bytes], command: bytes) -> polar.Answer:
        await client.write_gatt_char(polar.PMD_CONTROL, command, response=True)
        got = b""
        try:
            async with asyncio.timeout(_ANSWER_S):
                while True:
                    got = await answers.get()
                    answer = polar.control_answer(got)
                    if answer is not None and answer.command == command[0]:
                        return answer
        except TimeoutError:
            what = (
                f"answers {got[:16].hex(' ')}, which is not understood"
                if got
                else "does not answer the start of its ECG"
            )
            raise SourceError(f"the strap {what}; {_SENDS_ECG}") from None

    def _take_frame(self, data: bytes) -> None:
        now_s = self._clock()
        with self._lock:
            try:
                frame = polar.ecg_frame(data)
            except ValueError as error:
                self._unknown += 1
                self._odd = str(error)
                return
            self._arrival_s, self._odd = now_s, ""
            if not self._opened.is_set():
                self._buffer.notice("format", self._format)
            if self._lost:
                self._lost = ""
                self._buffer.notice("source_back", "the strap is back")
            mv = frame.uv * self.mv_per_unit
            self._buffer.add(
                self._frames.push(np.full(mv.size, np.nan) if self._off else mv, now_s, frame.stamp_s), now_s
            )
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


async def _stop_ecg(client: BleakClient) -> None:
    """Ask the strap to stop, which saves its battery; a broken connection does not matter."""
    if client.is_connected:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_STOP_S):
                await client.write_gatt_char(polar.PMD_CONTROL, polar.STOP_ECG, response=True)
