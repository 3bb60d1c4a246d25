"""Recognition of a serial device: its format and sampling rate, from the bytes after the port was opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from monitor.errors import SourceError
from monitor.sources.adc_counts import unfit
from monitor.sources.options import SourceOptions
from monitor.sources.serial.chords_greeting import ChordsGreeting
from monitor.sources.serial.format_guess import GUESS_S, Guess, guess_format
from monitor.sources.serial.formats import FORMATS, Board, Decoder, make_decoder
from monitor.sources.serial.line_layout import LineLayout
from monitor.sources.serial.line_parser import LineParser
from monitor.sources.timing.arrival_line import measure_rate

__all__ = ["MEASURE_S", "Recognition"]

MEASURE_S: Final = 10.0
FIRST_BYTES_S: Final = 10.0  # boards need up to 2 s to boot after their port was opened
_LONGEST_S: Final = 60.0  # wall time: bounds the wait if the injected clock stands still


class Recognition:
    """Collects the first bytes of a device and finds its format and rate.

    The reading thread calls `reply` and fills `arrivals`; the opening thread calls `run`.

    Args:
        guard: locks and raises SourceError if the reading thread failed; `run` uses it around every access.

    Attributes:
        format: one of FORMATS; `auto` until it is known.
        arrivals: (arrival, s; bytes) so far.
        greeting: dialogue with a Chords board; None = the device has another format.
    """

    def __init__(
        self, options: SourceOptions, name: str, device: str, guard: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.format = options.format
        self.arrivals: list[tuple[float, bytes]] = []
        self._options, self._name, self._device, self._guard = options, name, device, guard
        self._opened_s = options.clock()
        may_be_chords = options.format in ("auto", "chords")
        self.greeting = ChordsGreeting(self._opened_s) if may_be_chords else None

    def reply(self, data: bytes, now_s: float) -> bytes:
        """Return what to send to the device after `data` came, empty = nothing; see ChordsGreeting."""
        if self.greeting is None:
            return b""
        return self.greeting.received(data, now_s) if data else self.greeting.quiet(now_s)

    def run(self) -> tuple[Decoder, float, str]:
        """Wait for the bytes that are needed.

        Returns:
            Decoder, sampling rate in Hz, and one line about both for the user.

        Raises:
            SourceError: silent, an unknown format, no ECG, no scale, or no rate.
        """
        options, found = self._options, None
        if options.format in ("auto", "chords"):
            self._wait_for(GUESS_S)
            found = guess_format(
                b"".join(data for _, data in self._so_far()), options.column_or_channel, options.second
            )
            if self._board is not None:
                self.format = "chords"
            elif options.format == "auto":
                self._accept(found)
            if self.format != "chords":
                self.greeting = None
            if found.format != self.format:
                found = None
        decoder = self._make_decoder(found)
        options.note("format", f"{self.format}, {FORMATS[self.format].description}")
        fs_hz = options.fs_hz or self._measure(found)
        how = "" if options.fs_hz else ", measured"
        options.note("rate", f"{fs_hz:g} Hz{how}")
        return decoder, fs_hz, f"{self.format}, {FORMATS[self.format].description}, {fs_hz:g} Hz{how}"

    @property
    def _board(self) -> Board | None:
        return None if self.greeting is None else self.greeting.board

    def _make_decoder(self, found: Guess | None) -> Decoder:
        channels, layout = (0, None) if found is None else (found.channels, found.layout)
        return make_decoder(self.format, self._options, self._name, self._board, channels, layout)

    def _accept(self, found: Guess) -> None:
        """Take the recognised format; SourceError if there is none, or if it cannot be an ECG as it is."""
        options = self._options
        if found.format:
            options.note("format", f"{found.format}, {FORMATS[found.format].description}")
        if not found.format:
            raise SourceError(f"{self._name}: {found.problem}; give --format, or the right --baud")
        if found.layout is not None:
            options.note("columns", found.layout.columns)
        if found.problem:
            raise SourceError(f"{self._name}: {found.problem}")
        self.format = found.format
        if found.layout is not None:
            self._judge(found, found.layout)

    def _judge(self, found: Guess, layout: LineLayout) -> None:
        """SourceError where the numbers of lines do not fit their unit or the given ADC."""
        options = self._options
        decoder = self._make_decoder(found)
        problem: str | None = decoder.problem
        if isinstance(decoder, LineParser) and decoder.adc is not None:
            problem = problem or unfit(decoder.adc, found.numbers, options.adc_bits)
        elif options.unit is None:
            problem = problem or found.counts
        if problem:
            options.note("lead", " and ".join(each.label or f"column {each.position}" for each in layout.leads))
            options.note("unit", layout.unit or "not stated")
            raise SourceError(f"{self._name}: {problem}")

    def _measure(self, found: Guess | None) -> float:
        self._wait_for(MEASURE_S)
        decoder = self._make_decoder(found)
        arrivals = []
        for arrival_s, data in self._so_far():
            decoded = decoder.feed(data)
            arrivals.append((arrival_s, len(decoded.mv), decoded.counters))
        if decoder.problem:
            raise SourceError(f"{self._name}: {decoder.problem}")
        try:
            return measure_rate(arrivals, decoder.counter_values)
        except ValueError as error:
            raise SourceError(f"{self._name}: its rate cannot be measured ({error}); give it, e.g. --fs 250") from None

    def _so_far(self) -> list[tuple[float, bytes]]:
        with self._guard():
            return list(self.arrivals)

    def _wait_for(self, span_s: float) -> None:
        """Wait until `span_s` of bytes have come; SourceError if none came within FIRST_BYTES_S."""
        until_s = time.monotonic() + _LONGEST_S
        while time.monotonic() < until_s:
            with self._guard():
                first_s = self.arrivals[0][0] if self.arrivals else None
            now_s = self._options.clock()
            if first_s is not None and now_s - first_s >= span_s:
                return
            if first_s is None and now_s - self._opened_s >= FIRST_BYTES_S:
                raise SourceError(
                    f"{self._name}: {self._device} sent nothing for {FIRST_BYTES_S:g} s; is the device on?"
                )
            time.sleep(0.01)
        raise SourceError(f"{self._name}: {self._device} was not recognised within {_LONGEST_S:g} s")
