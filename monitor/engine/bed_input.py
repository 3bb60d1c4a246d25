"""Input of a bed: source, a detector for each lead, recent signal, and the times of the samples."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detector import Beat, Detector, Event, LeadChange, LeadChoice, Quality
from monitor.config import Config
from monitor.engine.latency import LiveArrivals, ReplayPace
from monitor.engine.signal_history import SignalHistory
from monitor.errors import ConfigError, plain_line
from monitor.quality_labels import quality_words
from monitor.sources import Chunk, EndOfStream, Notice, Source
from monitor.sources.checks import checked_chunk, usable_start

__all__ = ["BedInput", "State"]

State = Literal["starting", "running", "no_data", "source_lost", "ended"]

_HISTORY_S = 60.0


def _leads_of(source: Source) -> tuple[str, ...]:
    leads: tuple[str, ...] = getattr(source, "leads", (source.lead,))
    return leads


class BedInput:
    """Reads the source of a bed and collects the events that its detector finds; of two leads, those of the better one.

    Many attributes: its parts, the state of the stream, its times, and the events that wait to be scored.

    Args and errors: as of `Bed`.

    Attributes:
        source, detectors: the parts that read and analyse; a detector for each lead.
        rails_mv: range of each lead, (low, high) mV; None if unknown.
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
        self.rails_mv = (source.rails_mv, getattr(source, "second_rails_mv", None))[: len(_leads_of(source))]
        try:
            self.detectors = tuple(Detector(fs_hz, rails_mv, config.signal.mains) for rails_mv in self.rails_mv)
        except ValueError as error:
            raise ConfigError(f"bed {name}: {error}") from None
        self._choice = LeadChoice(fs_hz) if len(self.detectors) > 1 else None
        self._histories = tuple(SignalHistory(round(_HISTORY_S * fs_hz)) for _ in self.detectors)
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
        return self._histories[0].end

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads; a stream may state them after it has begun."""
        return _leads_of(self.source)

    @property
    def used(self) -> int:
        """The lead that is used, 0 or 1."""
        return 0 if self._choice is None else self._choice.used

    @property
    def detector(self) -> Detector:
        """The detector of the lead that is used."""
        return self.detectors[self.used]

    @property
    def history(self) -> SignalHistory:
        """The last 60 s of the lead that is used."""
        return self._histories[self.used]

    @property
    def silent_s(self) -> float:
        """Time without samples, s."""
        return self._clock() - self._data_s

    @property
    def unscored(self) -> list[Beat]:
        """Beats that wait for their score, in order; each with the same beat in the other lead after it, if any."""
        beats = [event for event in self.events if isinstance(event, Beat) and event.scorable]
        return [beat for each in beats for beat in (each, each.other) if beat is not None]

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

    def begin_at(self, sample: int) -> None:
        """The first sample to come has this index, or a later one."""
        for history in self._histories:
            history.begin(sample)

    def pieces(self, chunk: Chunk) -> list[tuple[Detector, NDArray[np.float64], int]]:
        """The samples of each lead, for `advance_together`; `apply` takes what it returns."""
        return [
            (detector, samples, chunk.first_sample)
            for detector, samples in zip(self.detectors, self.samples_of(chunk), strict=True)
        ]

    def apply(self, chunk: Chunk, found: Sequence[list[Event] | Exception]) -> None:
        """Take over a piece that the detectors have analysed, with the events that each of them found.

        Raises:
            Exception: the error of a detector.
        """
        leads = [self._events_of(events) for events in found]
        self.events += leads[0] if self._choice is None else self._choice.put(*leads)
        for history, samples, detector in zip(self._histories, self.samples_of(chunk), self.detectors, strict=True):
            history.put(chunk.first_sample, samples, detector.last_filtered)
        self._data_s = self._clock()
        self.state = "running"

    def take_events(self) -> list[Event]:
        """Events since the last call, to be scored and settled while the detector continues."""
        events, self.events = self.events, []
        self.taken = self.now
        return events

    def change_text(self, change: LeadChange) -> str:
        """Which lead is used from a change on, and why."""
        used, left = self.leads[change.lead], self.leads[1 - change.lead]
        if change.quality is not Quality.GOOD:
            return f"lead {used} is used; {left}: {quality_words(change.quality.value)}"
        return f"lead {used} is used" + (f"; no beats are seen in {left}" if change.lead else " again")

    def restart(self) -> None:
        """A lost source is back; the time without samples counts from now."""
        self.state, self._data_s = "starting", self._clock()

    def end(self) -> None:
        """Stop reading, and take the events that the detector still holds."""
        if not self.ended:
            self.ended, self.state = True, "ended"
            leads = [detector.flush() for detector in self.detectors]
            self.events += leads[0] if self._choice is None else self._choice.flush(*leads)
            for history, detector in zip(self._histories, self.detectors, strict=True):
                history.put(history.end, np.empty(0), detector.last_filtered)

    def stop(self) -> None:
        """Stop reading, without the detector."""
        self.ended = True
        if self.state != "source_lost":
            self.state = "ended"

    def samples_of(self, chunk: Chunk) -> list[NDArray[np.float64]]:
        """Samples of each lead; NaN where a source of two leads gives one."""
        if len(self.detectors) == 1:
            return [chunk.samples]
        return [chunk.samples, np.full(chunk.samples.size, np.nan) if chunk.second is None else chunk.second]

    @staticmethod
    def _events_of(found: list[Event] | Exception) -> list[Event]:
        if isinstance(found, Exception):
            raise found
        return found
