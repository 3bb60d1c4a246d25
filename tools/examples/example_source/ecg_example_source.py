"""A source of one's own: `example:BPM`, a device that is made up, to copy from. docs/sources.md goes through it.

It stands for a device on a radio link: packets of 25 samples with a running number, of which every 40th is lost when
one asks for `example:75,lossy`, and whose electrode falls off for a second after every 8 s when one asks for
`example:75,loose`.
"""

from __future__ import annotations

import numpy as np

from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream, Notice, SourceOptions

PACKET = 25  # samples
WORDS = {"lossy", "loose"}


class ExampleSource:
    """The device. Attributes and methods are those of monitor.sources.Source."""

    live = True  # samples come in their own time; False: the monitor asks for them at the speed of --speed
    rails_mv = (-5.0, 5.0)  # what its ADC can give at most, so that clipping is seen; None = not known
    start_time = None  # ISO 8601 time of sample 0, where the source knows it
    total_samples = None  # its length, where it has one

    def __init__(self, what: str, options: SourceOptions, name: str) -> None:
        bpm, *words = what.split(",")
        try:
            self._rr_s = 60 / float(bpm or 75)
        except (ValueError, ZeroDivisionError):
            raise SourceError(f"{name}: {bpm!r} is no heart rate; write e.g. example:75") from None
        if unknown := sorted(set(words) - WORDS):
            raise SourceError(f"{name}: no option {unknown[0]!r}; there are {', '.join(sorted(WORDS))}")
        self.name = name
        self.lead = "II"
        self.fs_hz = options.fs_hz or 250.0
        self._words = words
        self._clock = options.clock  # time.monotonic, but a test may bring its own
        self._began_s = self._clock()
        self._stop = None if options.duration_s is None else round(options.duration_s * self.fs_hz)
        self._packet = 0  # number of the next packet
        self._closed = False

    def read(self, max_samples: int) -> Chunk | None:
        """What has come since the last call. Never wait here: the monitor asks fifty times a second."""
        first = self._packet * PACKET
        if self._closed or (self._stop is not None and first >= self._stop):
            raise EndOfStream  # an end is no error; a device that is gone for good raises SourceError
        arrived = first + PACKET <= (self._clock() - self._began_s) * self.fs_hz
        if not arrived or max_samples < PACKET:
            return None
        self._packet += 1
        if "lossy" in self._words and self._packet % 40 == 0:
            # A lost packet is not made up and not left out: the next first_sample jumps, the monitor sees the gap.
            return Chunk(first, np.empty(0), self._clock(), (Notice("bad_input", f"{self.name}: a packet was torn"),))
        return Chunk(first, self._millivolts(first), self._clock())

    def close(self) -> None:
        """Let go of ports, threads and files; the monitor may call it twice."""
        self._closed = True

    def _millivolts(self, first: int) -> np.ndarray:
        time_s = (first + np.arange(PACKET)) / self.fs_hz
        beat_s = time_s % self._rr_s - 0.3
        mv = np.exp(-((beat_s / 0.012) ** 2)) + 0.2 * np.exp(-(((beat_s - 0.25) / 0.05) ** 2))
        if "loose" in self._words:
            mv[time_s % 9 >= 8] = np.nan  # leads off is NaN, never 0 mV: 0 is a heart that stands still
        return mv


def open_example(what: str, options: SourceOptions, name: str) -> ExampleSource:
    """The entry point: `what` follows `example:`, `name` is the whole of what the person wrote."""
    return ExampleSource(what, options, name)
