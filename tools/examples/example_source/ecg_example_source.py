"""An example of a source of your own, `example:BPM`; docs/sources.md explains it.

It simulates a device on a radio link with packets of 25 samples. `example:75,lossy` loses every 40th packet;
`example:75,loose` loses the electrode for one second after every 8 s.
"""

from __future__ import annotations

import numpy as np

from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream, Notice, SourceOptions

PACKET = 25  # samples
WORDS = {"lossy", "loose"}


class ExampleSource:
    """The device. Attributes and methods are those of monitor.sources.Source."""

    live = True  # samples arrive at the pace of the device; False: the monitor asks for them at --speed
    rails_mv = (-5.0, 5.0)  # limits of the ADC, so that clipping is seen; None = unknown
    start_time = None  # ISO 8601 time of sample 0; None = unknown
    total_samples = None  # length; None = unknown or endless

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
        self._clock = options.clock  # time.monotonic, or the clock of a test
        self._began_s = self._clock()
        self._stop = None if options.duration_s is None else round(options.duration_s * self.fs_hz)
        self._packet = 0  # number of the next packet
        self._closed = False

    def read(self, max_samples: int) -> Chunk | None:
        """Samples that have arrived since the last call. Never wait: the monitor calls fifty times a second."""
        first = self._packet * PACKET
        if self._closed or (self._stop is not None and first >= self._stop):
            raise EndOfStream  # not an error; a device that is gone for good raises SourceError
        arrived = first + PACKET <= (self._clock() - self._began_s) * self.fs_hz
        if not arrived or max_samples < PACKET:
            return None
        self._packet += 1
        if "lossy" in self._words and self._packet % 40 == 0:
            # Do not invent lost samples: the next first_sample jumps, and the monitor sees the gap.
            return Chunk(first, np.empty(0), self._clock(), (Notice("bad_input", f"{self.name}: a packet was torn"),))
        return Chunk(first, self._millivolts(first), self._clock())

    def close(self) -> None:
        """Release ports, threads and files; the monitor may call it twice."""
        self._closed = True

    def _millivolts(self, first: int) -> np.ndarray:
        time_s = (first + np.arange(PACKET)) / self.fs_hz
        beat_s = time_s % self._rr_s - 0.3
        mv = np.exp(-((beat_s / 0.012) ** 2)) + 0.2 * np.exp(-(((beat_s - 0.25) / 0.05) ** 2))
        if "loose" in self._words:
            mv[time_s % 9 >= 8] = np.nan  # leads off is NaN, never 0 mV: 0 mV is a heart that stands still
        return mv


def open_example(what: str, options: SourceOptions, name: str) -> ExampleSource:
    """The entry point: `what` follows `example:`, `name` is the whole value of --source."""
    return ExampleSource(what, options, name)
