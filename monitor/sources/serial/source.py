"""A device on a serial port: recognised, decoded, timed, and opened again after every loss.

A `SerialLink` reads the bytes, a decoder of the device's format converts them to samples, and a `LiveBuffer` places
and keeps the samples.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.channels import lead_names
from monitor.sources.live_buffer import LiveBuffer, RateWatch
from monitor.sources.options import SourceOptions
from monitor.sources.serial.format_guess import GUESS_S
from monitor.sources.serial.formats import FORMATS, make_decoder
from monitor.sources.serial.line_parser import LineParser
from monitor.sources.serial.link import SerialLink
from monitor.sources.serial.ports import choose_port
from monitor.sources.serial.recognition import MEASURE_S, Recognition

__all__ = ["BUFFER_S", "SerialSource"]

BUFFER_S: Final = 30.0  # unread samples that are kept (10 s to measure the rate, some to begin); older ones are dropped
_EARLY_BYTES: Final = 1 << 22


class SerialSource(Source):
    """Live source of one serial port; a thread reads the port, read() never waits.

    The constructor waits as long as necessary: not at all if `format` and `fs_hz` are given, GUESS_S to recognise a
    format, MEASURE_S to measure a rate.

    Many attributes: eleven are those of the Source protocol.

    Args:
        options: `port` (or `auto`), `baud`, `format` (or `auto`), `fs_hz` (samples a second of the device; None =
            measure it), `column`, `second`, `unit`, `mv_per_unit`, `adc_bits`, `vref`, `gain`, `rate_tolerance`,
            `clock`, `duration_s` (by the clock).

    Attributes:
        bytes_in: bytes read from the port so far.

    Raises:
        SourceError: no such port, in use, not permitted; silent; unknown format; a pulse sensor; no scale.
    """

    live = True
    never_blocks = True

    def __init__(self, what: str, options: SourceOptions, name: str) -> None:
        del what  # the port is an option
        if options.start_s:
            raise SourceError(f"{name}: a device begins now; leave out --start")
        if options.format != "auto" and options.format not in FORMATS:
            raise SourceError(f"{name}: unknown format {options.format!r}; choose one of auto, {', '.join(FORMATS)}")
        port = choose_port(options.port, name)
        if options.format not in ("auto", "chords"):
            make_decoder(options.format, options, name)  # reports wrong options before the port is opened
        self._spec, self._options, self._clock = name, options, options.clock
        self._lock = threading.Lock()  # guards everything that the link's thread shares with read()
        self._failure: str | None = None
        self._buffer: LiveBuffer | None = None  # None until the device is recognised
        self._early: list[tuple[str, str]] = []  # notices until then: (kind, text)
        self._bad_reported = self.bytes_in = 0
        self._opened_s = self._clock()
        self._recognition = Recognition(options, name, port.device, self._guard)
        baud = options.baud or (115_200 if options.format == "auto" else FORMATS[options.format].baud)
        self._link = SerialLink(port, baud, name, self)
        self._link.start()
        if options.format == "auto" or options.fs_hz is None:
            span_s = MEASURE_S if options.fs_hz is None else GUESS_S
            options.report(
                f"{name}: listening to {port.device} for {span_s:g} s to find format and rate"
                " (give --format and --fs to begin at once)"
            )
        try:
            self._decoder, self.fs_hz, description = self._recognition.run()
            with self._lock:
                self._begin(description)
            self.rails_mv: tuple[float, float] | None = self._decoder.rails_mv
            self.second_rails_mv = None if options.second is None else self.rails_mv  # one ADC
        except BaseException:
            self._link.close()
            raise
        self.name = f"{name} {self._recognition.format}"
        self.leads = self._lead_names()
        self.lead = ",".join(self.leads)
        options.note("lead", " and ".join(self.leads))
        options.note("unit", self.unit if self.unit != "adc" else f"adc, {self.mv_per_unit:.3g} mV a count")

    def _lead_names(self) -> tuple[str, ...]:
        """By the device's lines, else as the user wants them."""
        layout = self._decoder.layout if isinstance(self._decoder, LineParser) else None
        names, numbers = [], []
        for place, wanted in enumerate(map(str, self._options.wanted)):
            label = "" if layout is None else layout.leads[place].label
            is_number = wanted.isdecimal()
            names.append(label or ("ECG" if is_number or self._options.wanted[place] is None else wanted))
            numbers.append(int(wanted) if is_number else 0)
        return lead_names(names, numbers)

    def _begin(self, description: str) -> None:
        rate = RateWatch(self._options.rate_tolerance, remedy="; correct --fs")
        self._buffer = LiveBuffer(
            self._spec, self.fs_hz, BUFFER_S, rate, self._opened_s, counter_values=self._decoder.counter_values
        )
        for kind, text in [*self._early, ("format", description)]:
            self._buffer.notice(kind, text)
        arrivals, self._recognition.arrivals = self._recognition.arrivals, []
        for arrival_s, data in arrivals:
            self._take(self._buffer, data, arrival_s)

    def read(self, max_samples: int) -> Chunk | None:
        """Return the samples that arrived, at most `max_samples`; see Source."""
        with self._guard():
            duration_s = self._options.duration_s
            if duration_s is not None and self._clock() - self._opened_s >= duration_s:
                raise EndOfStream
            if self._buffer is None:
                return None
            more = []
            if new := self._decoder.bad - self._bad_reported:
                self._bad_reported = self._decoder.bad
                what = f"{new} lines were no sample" if self._recognition.format == "lines" else f"{new} unreadable"
                more.append(Notice("bad_input", f"{self._spec}: {what}, e.g. {self._decoder.example}", new))
            return self._buffer.read(max_samples, *more)

    @property
    def unit(self) -> str:
        """Unit of the device's numbers."""
        return self._decoder.unit

    @property
    def mv_per_unit(self) -> float:
        """mV in one of them."""
        return self._decoder.mv

    @property
    def waiting(self) -> int:
        """Samples received and not read yet."""
        return 0 if self._buffer is None else self._buffer.waiting

    def close(self) -> None:
        """Stop the thread and close the port; may be called twice."""
        if self._recognition.format == "chords":
            self._link.write(b"STOP\n")
        self._link.close()
        self.failed("closed")

    # -- events of the link, in its thread -------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Process bytes that came together; empty: none came for POLL_S."""
        now_s = self._clock()
        with self._lock:
            self.bytes_in += len(data)
            reply = self._recognition.reply(data, now_s)
            if reply:
                pass  # bytes with a reply are no samples
            elif self._buffer is not None:
                self._take(self._buffer, data, now_s)
            elif self.bytes_in > _EARLY_BYTES:
                self._failure = f"{self._spec}: {self._link.port.device} sends too much to be an ECG"
            elif data:
                self._recognition.arrivals.append((now_s, data))
        if reply:
            self._link.write(reply)  # may block, so not under the lock

    def lost(self, reason: str) -> None:
        """Process a failure of the port: unplugged, switched off, driver gone."""
        with self._lock:
            if self._buffer is not None:
                self._decoder.restart()
                self._buffer.cut()
            self._notice("source_lost", reason)

    def reopened(self, device: str) -> None:
        """Process the return of the port, possibly under another path."""
        with self._lock:
            if self._recognition.greeting is not None:
                self._recognition.greeting.reopened(self._clock())
            self._notice("source_back", f"{device} is back")

    def failed(self, reason: str) -> None:
        """Process an error that reopening cannot repair."""
        with self._lock:
            self._failure = self._failure or f"{self._spec}: {reason}"

    # -- with the lock held ----------------------------------------------------------------------------------

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Hold the lock; SourceError if the link's thread failed."""
        with self._lock:
            if self._failure is not None:
                raise SourceError(self._failure)
            yield

    def _take(self, buffer: LiveBuffer, data: bytes, now_s: float) -> None:
        """Decode bytes and add their samples to the buffer."""
        if not data:
            buffer.push(np.empty(0), now_s)
            return
        decoded = self._decoder.feed(data)
        if self._decoder.problem:
            self._failure = f"{self._spec}: {self._decoder.problem}"
        else:
            buffer.push(decoded.mv, now_s, decoded.counters)

    def _notice(self, kind: str, text: str) -> None:
        if self._buffer is None:
            self._early.append((kind, text))
        else:
            self._buffer.notice(kind, text)
