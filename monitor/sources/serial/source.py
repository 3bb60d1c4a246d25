"""A device on a serial port: found, recognised, counted, timed, and followed through every loss.

Bytes come from a `SerialLink`, a decoder of the device's format makes samples of them, and a `SampleClock` gives each
its place: by the device's counter or by counting, with the time for what neither can show.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice
from monitor.sources.options import SourceOptions
from monitor.sources.serial.chords_greeting import ChordsGreeting
from monitor.sources.serial.decoded import Decoder
from monitor.sources.serial.format_guess import GUESS_S, Guess, guess_format
from monitor.sources.serial.formats import EXAMPLE_SCALE, FORMATS, Board, make_decoder
from monitor.sources.serial.link import SerialLink
from monitor.sources.serial.ports import choose_port
from monitor.sources.timing.arrival_line import measure_rate
from monitor.sources.timing.rate_watch import RateWatch
from monitor.sources.timing.sample_clock import Run, SampleClock
from monitor.sources.timing.sample_runs import SampleRuns

__all__ = ["BUFFER_S", "MEASURE_S", "SerialSource"]

BUFFER_S: Final = 30.0  # unread samples that are kept (10 s to measure the rate, some to begin); older ones are dropped
MEASURE_S: Final = 10.0
FIRST_BYTES_S: Final = 10.0  # boards need up to 2 s to boot after their port was opened
_PREPARE_MOST_S: Final = 60.0  # of wall time: a clock that stands still must not hang us
_EARLY_BYTES: Final = 1 << 22
_MAX_NOTICES: Final = 64  # a port that comes and goes unread


class SerialSource:
    """Live source of one serial port; a thread reads it, read() never waits.

    Opening takes as long as it must: no time where `format` and `fs_hz` are told, GUESS_S to recognise a format,
    MEASURE_S to measure a rate.

    Args:
        options: `port` (or `auto`), `baud`, `format` (or `auto`), `fs_hz` (what the device sends a second; None =
            measure it), `column`, `unit`, `mv_per_unit`, `adc_bits`, `vref`, `gain`, `rate_tolerance`, `clock`,
            `duration_s` (by the clock).
        name: as a person wrote it.

    Attributes:
        bytes_in: read from the port so far.

    Raises:
        SourceError: no such port, in use, not permitted; silent; no known format; a pulse sensor; no scale.
    """

    live = True
    never_blocks = True
    start_time: str | None = None
    total_samples: int | None = None

    def __init__(self, options: SourceOptions, name: str) -> None:
        self.name = self._who = name
        if options.start_s:
            raise SourceError(f"{name}: a device begins now; leave out --start")
        if options.format != "auto" and options.format not in FORMATS:
            raise SourceError(f"{name}: unknown format {options.format!r}; choose one of auto, {', '.join(FORMATS)}")
        port = choose_port(options.port, name)
        self._options, self._clock = options, options.clock
        self._format = options.format
        self._lock = threading.Lock()  # guards all that the link's thread shares with read()
        self._early: list[tuple[float, bytes]] | None = []  # (arrival s, bytes) until the device is understood
        self._runs = SampleRuns()
        self._notices: deque[tuple[int, Notice]] = deque(maxlen=_MAX_NOTICES)  # (samples before it, notice)
        self._dropped = self._bad_told = self.bytes_in = 0
        self._rate = RateWatch(options.rate_tolerance)
        self._failure: str | None = None
        self._opened_s = self._arrival_s = self._clock()
        self._greeting = ChordsGreeting(self._opened_s) if options.format in ("auto", "chords") else None
        if options.format not in ("auto", "chords"):
            make_decoder(options.format, options, name)  # what is wrong with the options is wrong before the port opens
        baud = options.baud or (115_200 if options.format == "auto" else FORMATS[options.format].baud)
        self._link = SerialLink(port, baud, name)
        self._link.start(self)
        if options.format == "auto" or options.fs_hz is None:
            span_s = MEASURE_S if options.fs_hz is None else GUESS_S
            options.tell(
                f"{name}: listening to {port.device} for {span_s:g} s to know format and rate"
                " (tell --format and --fs to begin at once)"
            )
        try:
            self._decoder, self.fs_hz = self._understand()
            self.rails_mv: tuple[float, float] | None = self._decoder.rails_mv
            self._places = SampleClock(self.fs_hz)
            with self._lock:
                early, self._early = self._early or [], None
                for arrival_s, data in early:
                    self._take(data, arrival_s)
        except BaseException:
            self._link.close()
            raise
        self.name = f"{name} {self._format}"
        wanted = options.column if options.column is not None else options.channel
        self.lead = wanted if isinstance(wanted, str) else "ECG"

    def read(self, max_samples: int) -> Chunk | None:
        """What has come and was not read, at most `max_samples`; see Source.

        Raises:
            EndOfStream: `duration_s` has passed.
            SourceError: the device is none we can watch, the reading thread failed, or the source is closed.
        """
        with self._lock:
            if self._failure is not None:
                raise SourceError(self._failure)
            duration_s = self._options.duration_s
            if duration_s is not None and self._clock() - self._opened_s >= duration_s:
                raise EndOfStream
            return self._runs.chunk(max_samples, self._arrival_s, self._take_notices(), self._places.time_s)

    @property
    def waiting(self) -> int:
        """Samples that came and were not read yet."""
        return self._runs.size

    def close(self) -> None:
        """Stop the thread and close the port; may be called twice."""
        if self._format == "chords":
            self._link.write(b"STOP\n")
        self._link.close()
        with self._lock:
            self._failure = self._failure or f"{self._who}: closed"

    # -- told by the link, in its thread ---------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Bytes that came together, or none."""
        now_s = self._clock()
        with self._lock:
            self.bytes_in += len(data)
            reply = b""
            if self._greeting is not None:
                reply = self._greeting.heard(data, now_s) if data else self._greeting.quiet(now_s)
            if reply:
                pass  # what is replied to is no sample
            elif self._early is None:
                self._take(data, now_s)
            elif self.bytes_in > _EARLY_BYTES:
                self._failure = f"{self._who}: {self._link.port.device} sends too much to be an ECG"
            elif data:
                self._early.append((now_s, data))
        if reply:
            self._link.write(reply)  # may wait, so not under the lock

    def lost(self, reason: str) -> None:
        """The port failed."""
        with self._lock:
            if self._early is None:
                self._decoder.restart()
                self._keep(self._places.cut())
            self._tell("source_lost", reason)

    def back(self, device: str) -> None:
        """The port is open again."""
        with self._lock:
            if self._greeting is not None:
                self._greeting.back(self._clock())
            self._tell("source_back", f"{device} is back")

    def failed(self, reason: str) -> None:
        """The thread ended."""
        with self._lock:
            self._failure = f"{self._who}: {reason}"

    @property
    def _board(self) -> Board | None:
        """The Chords board that answered."""
        return None if self._greeting is None else self._greeting.board

    # -- understanding the device ----------------------------------------------------------------------------

    def _understand(self) -> tuple[Decoder, float]:
        """Decoder and rate, as told or as found out."""
        options, channels = self._options, 0
        if options.format in ("auto", "chords"):
            self._wait_for(GUESS_S, FIRST_BYTES_S)
            wanted = options.column if options.column is not None else options.channel
            found = guess_format(b"".join(data for _, data in self._so_far()), wanted)
            if options.format == "auto" and self._board is None:
                self._accept(found)
            elif options.format == "auto":
                self._format = "chords"
            if self._format != "chords":
                self._greeting = None
            channels = found.channels if found.format == self._format else 0
        decoder = make_decoder(self._format, options, self._who, self._board, channels)
        fs_hz = options.fs_hz or self._measure(channels)
        how = "" if options.fs_hz else ", measured"
        self._tell("format", f"{self._format}, {FORMATS[self._format].what}, {fs_hz:g} Hz{how}")
        return decoder, fs_hz

    def _accept(self, found: Guess) -> None:
        """Take a recognised format.

        Raises:
            SourceError: it is none, or cannot be watched as it is.
        """
        if not found.format:
            raise SourceError(f"{self._who}: {found.problem}; tell it with --format, or --baud")
        if found.problem:
            raise SourceError(f"{self._who}: {found.problem}")
        options = self._options
        if found.counts and not (options.unit or options.adc_bits or options.vref or options.gain):
            raise SourceError(
                f"{self._who}: its numbers, e.g. {found.counts}, look like ADC counts; tell their scale, e.g."
                f" {EXAMPLE_SCALE}, or --unit mV if they are mV"
            )
        self._format = found.format

    def _measure(self, channels: int) -> float:
        self._wait_for(MEASURE_S, FIRST_BYTES_S)
        decoder = make_decoder(self._format, self._options, self._who, self._board, channels)
        arrivals = []
        for arrival_s, data in self._so_far():
            decoded = decoder.feed(data)
            arrivals.append((arrival_s, decoded.mv.size, decoded.counters))
        if decoder.problem:
            raise SourceError(f"{self._who}: {decoder.problem}")
        try:
            return measure_rate(arrivals)
        except ValueError as error:
            raise SourceError(f"{self._who}: its rate cannot be measured ({error}); tell it, e.g. --fs 250") from None

    def _so_far(self) -> list[tuple[float, bytes]]:
        with self._lock:
            return list(self._early or [])

    def _wait_for(self, span_s: float, first_s: float) -> None:
        """Until bytes of `span_s` are there.

        Raises:
            SourceError: none came within `first_s`, or the thread failed.
        """
        until_s = time.monotonic() + _PREPARE_MOST_S
        while time.monotonic() < until_s:
            with self._lock:
                if self._failure is not None:
                    raise SourceError(self._failure)
                first = self._early[0][0] if self._early else None
            now_s = self._clock()
            if first is not None and now_s - first >= span_s:
                return
            if first is None and now_s - self._opened_s >= first_s:
                raise SourceError(
                    f"{self._who}: {self._link.port.device} sent nothing for {first_s:g} s; is the device on?"
                )
            time.sleep(0.01)
        raise SourceError(f"{self._who}: {self._link.port.device} was not understood within {_PREPARE_MOST_S:g} s")

    # -- samples ---------------------------------------------------------------------------------------------

    def _take(self, data: bytes, now_s: float) -> None:
        """Samples out of bytes, to their places. The lock is held."""
        if data:
            decoded = self._decoder.feed(data)
            if self._decoder.problem:
                self._failure = f"{self._who}: {self._decoder.problem}"
                return
            runs = self._places.push(decoded.mv, now_s, decoded.counters)
        else:
            runs = self._places.poll(now_s)
        if runs:
            self._arrival_s = now_s
            self._keep(runs)
            if (told := self._rate.look(self._places)) is not None:
                kind, text = told
                self._tell(kind, f"{text}; correct --fs" if kind == "sampling_rate" else text)

    def _keep(self, runs: list[Run]) -> None:
        """Put samples into the buffer. The lock is held."""
        for run in runs:
            self._runs.put(*run)
        self._dropped += self._runs.drop(round(BUFFER_S * self.fs_hz))

    def _tell(self, kind: str, text: str) -> None:
        """A notice that comes after the samples that are here now."""
        end = self._places.end if self._early is None else 0
        self._notices.append((end, Notice(kind, f"{self._who}: {text}")))

    def _take_notices(self) -> tuple[Notice, ...]:
        notices = []
        while self._notices and (not self._runs.size or self._notices[0][0] <= self._runs.next):
            notices.append(self._notices.popleft()[1])
        if new := self._decoder.bad - self._bad_told:
            self._bad_told = self._decoder.bad
            what = f"{new} lines were no sample" if self._format == "lines" else f"{new} unreadable"
            notices.append(Notice("bad_input", f"{self._who}: {what}, e.g. {self._decoder.example}", new))
        if self._dropped:
            text = f"{self._who}: {self._dropped} samples dropped, they were not read within {BUFFER_S:g} s"
            notices.append(Notice("overrun", text, self._dropped))
            self._dropped = 0
        return tuple(notices)
