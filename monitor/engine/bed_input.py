"""Input of a bed: source, detector, recent signal, and the times of the samples."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from detector import Beat, Detector, Event
from monitor.config import Config
from monitor.engine.latency import LiveArrivals, ReplayPace
from monitor.engine.signal_history import SignalHistory
from monitor.errors import ConfigError, plain_line
from monitor.sources import Chunk, EndOfStream, Notice, Source
from monitor.sources.checks import checked_chunk, usable_start

__all__ = ["BedInput", "State"]

State = Literal["starting", "running", "no_data", "source_lost", "ended"]

_HISTORY_S = 60.0


class BedInput:
    """Reads the source of a bed and collects the events that its detector finds.

    Many attributes: its parts, the state of the stream, its times, and the events that wait to be scored.

    Args and errors: as of `Bed`.

    Attributes:
        source, detector: the parts that read and analyse.
        history: the last 60 s of signal.
        sample_0: wall time of sample 0.
        arrivals: arrival or due time of samples.
        state: state of the bed, as in the status message.
        ended: no more samples are read.
        began: any sample was read.
        first_sample: index of the first sample; 0 before it.
        duration_s: a live source ends after this time; 0 = never.
        taken: samples before this index are covered by `take_events`.
        events: found and not taken yet.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        config: Config,
        clock: Callable[[], float],
        started: datetime.datetime,
        paced: bool,
    ) -> None:
        fs_hz = source.fs_hz
        self.source = source
        try:
            self.detector = Detector(fs_hz, source.rails_mv, config.signal.mains)
        except ValueError as error:
            raise ConfigError(f"bed {name}: {error}") from None
        self.history = SignalHistory(round(_HISTORY_S * fs_hz))
        start = None if source.start_time is None else usable_start(source.start_time)
        self.sample_0 = started if start is None else start
        self._notices: tuple[Notice, ...] = ()  # for the next piece
        if start is None and source.start_time is not None:
            text = f"the start time {plain_line(source.start_time)} cannot be used; times count from now"
            self._notices = (Notice("bad_input", f"{source.name}: {text}"),)
        self._sample_0_s = clock()
        self._anchor: tuple[int, float] | None = None  # a sample, and when a live device took it, by the clock
        speed = config.source.speed if paced else 0.0
        self.arrivals = LiveArrivals(fs_hz, clock) if source.live else ReplayPace(fs_hz, speed, clock)
        self.state: State = "starting"
        self.ended = False
        self.began = False
        self.first_sample = 0
        self.duration_s = config.source_of(name).duration_s
        self.taken = 0
        self._clock = clock
        self._data_s = clock()  # when samples came last
        self.events: list[Event] = []

    @property
    def now(self) -> int:
        """The sample clock: index of the next sample."""
        return self.history.end

    @property
    def silent_s(self) -> float:
        """Time without samples, s."""
        return self._clock() - self._data_s

    @property
    def unscored(self) -> list[Beat]:
        """Beats that wait for their score, in order."""
        return [event for event in self.events if isinstance(event, Beat) and event.scorable]

    def time_of(self, sample: int) -> str:
        """Wall time of a sample, ISO 8601 with milliseconds; of a live device, by its drift-corrected clock."""
        fs_hz = self.source.fs_hz
        if self._anchor is None:
            seconds = sample / fs_hz
        else:
            seconds = self._anchor[1] - self._sample_0_s + (sample - self._anchor[0]) / fs_hz
        return (self.sample_0 + datetime.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

    def start(self, now_s: float, began_s: float) -> None:
        """The monitor starts at `now_s`, the replay of this bed at `began_s`."""
        self._data_s = now_s
        self.arrivals.start(began_s)

    def read(self, max_samples: int) -> Chunk | None:
        """Read a piece; None when nothing came, or the source ended.

        Raises:
            SourceError: the source broke.
        """
        self.arrivals.begin_read()
        try:
            chunk = self.source.read(max_samples)
        except EndOfStream:
            self.end()
            return None
        if chunk is not None:
            name, fs_hz = self.source.name, self.source.fs_hz
            chunk = checked_chunk(chunk, name, due=self.now, most=max_samples, fs_hz=fs_hz, now_s=self._clock())
            if self._notices:
                chunk = replace(chunk, notices=(*self._notices, *chunk.notices))
                self._notices = ()
        if chunk is not None and chunk.samples.size:
            self.arrivals.put(chunk)
            if chunk.time_s is not None:
                self._anchor = chunk.first_sample, chunk.time_s
        return chunk

    def apply(self, chunk: Chunk, events: list[Event]) -> None:
        """Take over a piece that the detector has analysed, with the events it found."""
        self.events += events
        self.history.put(chunk.first_sample, chunk.samples, self.detector.last_filtered)
        self._data_s = self._clock()
        self.state = "running"

    def take_events(self) -> list[Event]:
        """Events since the last call, to be scored and settled while the detector continues."""
        events, self.events = self.events, []
        self.taken = self.now
        return events

    def restart(self) -> None:
        """A lost source is back; the time without samples counts from now."""
        self.state, self._data_s = "starting", self._clock()

    def end(self) -> None:
        """Stop reading, and take the events that the detector still holds."""
        if not self.ended:
            self.ended, self.state = True, "ended"
            self.events += self.detector.flush()
            self.history.put(self.now, np.empty(0), self.detector.last_filtered)

    def stop(self) -> None:
        """Stop reading, without the detector."""
        self.ended = True
        if self.state != "source_lost":
            self.state = "ended"
