"""State of one bed on the dashboard, of bounded size. Pure: no socket, no clock, no drawing.

`now_s` is the subscriber's own monotonic clock, s, and comes with each call.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from monitor.dashboard.bed_alarms import BedAlarms
from monitor.dashboard.lead import Lead
from monitor.messages import Alarm, AlarmMessage, BeatMessage, EventMessage, StatusMessage, WaveHeader

__all__ = ["CLOCK_STILL_S", "DashboardBed", "StreamClock", "StreamCondition"]

BEATS = 240
NO_DATA_AFTER_S = 2.0  # a source that stops is `no_data` within 2 s on every screen
CLOCK_STILL_S = 3.0  # the same without waves, from the status once a second
NO_RATE_AFTER_S = 5.0  # without an R-peak for this long the last heart rate is out of date
STATUS_EVERY_S = 1.0  # beats are counted in the status
_ALARMED_EVENTS = ("gap", "source_lost", "sampling_rate")

StreamCondition = Literal["live", "starting", "no_data", "source_lost", "ended"]


@dataclass
class StreamClock:
    """Sample clock and arrival times.

    Attributes:
        sample: newest sample index in any message of the bed.
        time: ISO 8601 time of the newest message that has one.
        advanced_at_s: when `sample` last grew.
        wave_at_s: when the last wave message arrived.
        status_at_s: when the last status arrived.
        waves_from_s: since when wave messages are subscribed; None = they are not subscribed.
    """

    sample: int = 0
    time: str = ""
    advanced_at_s: float | None = None
    wave_at_s: float | None = None
    status_at_s: float | None = None
    waves_from_s: float | None = -math.inf

    def advance(self, sample: int, time: str, now_s: float) -> None:
        """Take over the sample clock of a message; a message of the past changes nothing."""
        if sample > self.sample:
            self.sample = sample
            self.advanced_at_s = now_s
            self.time = time or self.time

    def still_s(self, now_s: float) -> float:
        """Time since the sample clock last advanced, s; 0 before its first step."""
        return 0.0 if self.advanced_at_s is None else now_s - self.advanced_at_s

    def silent_s(self, now_s: float) -> float:
        """Time since the last wave message, s; without any, since the sample clock last advanced."""
        return max(0.0, self.still_s(now_s) if self.wave_at_s is None else now_s - self.wave_at_s)

    def flows(self, now_s: float) -> bool:
        """Whether signal arrives: by the waves, or by the sample clock where no wave has arrived."""
        if self.wave_at_s is not None:
            return self.silent_s(now_s) <= NO_DATA_AFTER_S
        if self.waves_from_s is not None and now_s - self.waves_from_s > NO_DATA_AFTER_S:
            return False
        return self.advanced_at_s is not None and self.still_s(now_s) <= CLOCK_STILL_S


@dataclass
class DashboardBed:
    """State of one bed.

    Attributes:
        name: of the bed.
        beats: the latest beats, newest last.
        alarms: active and cleared alarms.
        clock: the sample clock and when each stream last arrived.
        lead: samples for the plot.
        status: the last status message.
        heart_rate_bpm: the latest, beats a minute.
        model_name: of the model that scores.
        event: the newest event that has no alarm of its own, and `now_s` of its arrival.
    """

    name: str
    beats: deque[BeatMessage] = field(default_factory=lambda: deque(maxlen=BEATS))
    alarms: BedAlarms = field(default_factory=BedAlarms)
    clock: StreamClock = field(default_factory=StreamClock)
    lead: Lead = field(default_factory=Lead)
    status: StatusMessage | None = None
    heart_rate_bpm: float | None = None
    model_name: str = ""
    event: tuple[EventMessage, float] | None = None
    _beats_sample: int | None = None  # sample clock when the status last counted a new beat

    @property
    def last_beat(self) -> BeatMessage | None:
        """The newest beat."""
        return self.beats[-1] if self.beats else None

    @property
    def fs_hz(self) -> float | None:
        """Sampling rate, Hz; None while unknown."""
        if (wave := self.lead.wave) is not None:
            return wave.fs_hz
        return self.status.fs_hz if self.status is not None and self.status.fs_hz > 0 else None

    def set_detail(self, now_s: float, *, waves: bool, beats: bool) -> None:
        """Note what is subscribed from `now_s` on; data of ended subscriptions is dropped because it goes stale."""
        if waves != (self.clock.waves_from_s is not None):
            self.clock.waves_from_s = now_s if waves else None
            self.lead, self.clock.wave_at_s = Lead(), None
        if not beats:
            self.beats.clear()
            self.event = None

    def age_s(self, alarm: Alarm, now_s: float) -> float | None:
        """Age of an alarm, s, by the sample clock, and by our own while that stands still; None without a rate."""
        if self.fs_hz is None:
            return None
        still_s = self.clock.still_s(now_s)
        since_onset_s = (self.clock.sample - alarm.onset_sample) / self.fs_hz
        return max(0.0, since_onset_s + (still_s if still_s > NO_DATA_AFTER_S else 0.0))

    def audio_paused_s(self, now_s: float) -> float:
        """Remaining audio pause, s; counted down between two status messages."""
        if self.status is None or self.clock.status_at_s is None:
            return 0.0
        return max(0.0, self.status.audio_paused_s - (now_s - self.clock.status_at_s))

    def stream_condition(self, now_s: float) -> StreamCondition:
        """Whether the waveform is live, by the monitor's status and by the arrival of messages."""
        state = "starting" if self.status is None else self.status.state
        if state in ("no_data", "source_lost", "ended"):
            return state
        if self.clock.wave_at_s is None and state == "starting":
            return "starting"
        return "live" if self.clock.flows(now_s) else "no_data"

    def shown_rate_bpm(self, now_s: float) -> float | None:
        """The heart rate if it is up to date: the stream is live and beats keep coming."""
        status, last, fs_hz = self.status, self.last_beat, self.fs_hz
        if self.heart_rate_bpm is None or self.stream_condition(now_s) != "live":
            return None
        if status is not None and status.quality in ("leads_off", "flat"):
            return None
        if any(alarm.kind == "asystole" and alarm.state != "latched" for alarm in self.alarms.active.values()):
            return None  # the alarm arrives up to a second before the status that withdraws the rate
        if fs_hz is None:
            return self.heart_rate_bpm
        since_s = 0.0
        if last is not None:
            since_s = (self.clock.sample - last.r_sample) / fs_hz
        elif self._beats_sample is not None:
            since_s = (self.clock.sample - self._beats_sample) / fs_hz - STATUS_EVERY_S
        return self.heart_rate_bpm if since_s <= NO_RATE_AFTER_S else None

    def fold_wave(self, header: WaveHeader, raw_samples: bytes, now_s: float) -> bool:
        """Add a wave message; False if header and samples do not match."""
        if not self.lead.add(header, raw_samples):
            return False
        self.clock.wave_at_s = now_s
        self.clock.advance(header.first_sample + header.n, header.time, now_s)
        return True

    def fold_beat(self, beat: BeatMessage, now_s: float) -> None:
        """Add a beat; one that is known already (sent again for a new subscriber) changes nothing."""
        self.clock.advance(beat.sample, beat.time, now_s)
        if not self.beats or beat.r_sample > self.beats[-1].r_sample:
            self.beats.append(beat)
            self.heart_rate_bpm = beat.heart_rate_bpm

    def fold_status(self, status: StatusMessage, now_s: float) -> None:
        """Add a status."""
        self.clock.advance(status.sample, status.time, now_s)
        self.clock.status_at_s = now_s
        if self.status is None or status.beats != self.status.beats:
            self._beats_sample = status.sample
        self.status = status
        self.heart_rate_bpm = status.heart_rate_bpm
        self.model_name = status.model.name or self.model_name

    def fold_alarm(self, message: AlarmMessage, now_s: float) -> None:
        """Add a change of an alarm."""
        self.clock.advance(message.sample, message.time, now_s)
        self.model_name = message.model.name or self.model_name
        self.alarms.add(message.alarm)

    def fold_event(self, event: EventMessage, now_s: float) -> None:
        """Add an event, unless an alarm reports it as well."""
        self.clock.advance(event.sample, "", now_s)
        if event.kind == "gap" and (wave := self.lead.wave) is not None:
            wave.note_gap(event.first_sample, event.n_samples)
        if event.kind not in _ALARMED_EVENTS:
            self.event = event, now_s
