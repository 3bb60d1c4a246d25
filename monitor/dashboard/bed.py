"""What the dashboard knows of one bed, of bounded size.

Pure: no socket, no clock, no drawing. `now_s` is the subscriber's own monotonic clock and comes with each call;
it only ever answers "how long is it silent".
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from monitor.dashboard.lead import Lead
from monitor.dashboard.ring import WaveRing
from monitor.dashboard.scale import VerticalScale
from monitor.dashboard.urgency import most_urgent
from monitor.messages import (
    PRIORITY_RANK,
    Alarm,
    AlarmMessage,
    BeatMessage,
    EventMessage,
    Priority,
    StatusMessage,
    WaveHeader,
)

__all__ = ["AnomalousBeat", "BedState", "LastBeat", "RPeak", "StreamCondition", "TrendPoint"]

TREND_BEATS = 240
R_PEAKS = 96  # over 12.5 s at 400 bpm
CLEARED = 16
MAX_ACTIVE = 64
NO_DATA_AFTER_S = 2.0  # a source that stops is `no_data` within 2 s on every screen
NO_RATE_AFTER_S = 5.0  # without an R-peak for so long an old heart rate is no longer true
CLOCK_STILL_S = 3.0  # of a bed whose waves are not had, by the status that comes once a second
_ALARMED_EVENTS = ("gap", "source_lost", "sampling_rate")

StreamCondition = Literal["live", "starting", "no_data", "source_lost", "ended"]


class RPeak(NamedTuple):
    """An R-peak for the marker under the waveform."""

    sample: int
    anomalous: bool
    scored: bool


class TrendPoint(NamedTuple):
    """One beat of the score's trend; None = not scored, no threshold yet."""

    score: float | None
    threshold: float | None
    anomalous: bool


class AnomalousBeat(NamedTuple):
    """The newest anomalous beat and why it is one."""

    r_sample: int
    words: tuple[str, ...]


class LastBeat(NamedTuple):
    """Numbers of the newest beat, as in BeatMessage."""

    r_sample: int
    rr_s: float | None
    score: float | None
    p_value: float | None
    threshold: float | None
    anomalous: bool
    quality: str


@dataclass
class BedState:
    """Everything known of one bed.

    Attributes:
        name: the bed.
        r_peaks, trend: newest last.
        status: the last status message.
        active: alarms not cleared, by id.
        cleared: the last few that cleared, newest last.
        raised: alarms seen since the start of this run, by priority.
        clock_sample: newest sample heard of in any message of the bed.
        stream_time: ISO 8601 time of the newest message that had one.
        heart_rate_bpm: the latest, beats a minute.
        event: the newest event that has no alarm of its own, and when it was heard of.
        wave_at_s, status_at_s, advanced_at_s: `now_s` of the last wave, status and step of the sample clock.
        waves_from_s: `now_s` since when waves are to come; None = they are not asked for.
        lead: the samples that are drawn.
    """

    name: str
    r_peaks: deque[RPeak] = field(default_factory=lambda: deque(maxlen=R_PEAKS))
    trend: deque[TrendPoint] = field(default_factory=lambda: deque(maxlen=TREND_BEATS))
    last_beat: LastBeat | None = None
    last_anomalous: AnomalousBeat | None = None
    status: StatusMessage | None = None
    active: dict[str, Alarm] = field(default_factory=dict)
    cleared: deque[Alarm] = field(default_factory=lambda: deque(maxlen=CLEARED))
    raised: dict[Priority, int] = field(default_factory=lambda: {"high": 0, "medium": 0, "low": 0})
    clock_sample: int = 0
    stream_time: str = ""
    heart_rate_bpm: float | None = None
    model_name: str = ""
    event: tuple[EventMessage, float] | None = None
    wave_at_s: float | None = None
    status_at_s: float | None = None
    advanced_at_s: float | None = None
    waves_from_s: float | None = -math.inf
    lead: Lead = field(default_factory=Lead)
    _beats_sample: int | None = None  # where the count of beats in the status last rose
    _top: tuple[Alarm | None] | None = None

    @property
    def wave(self) -> WaveRing | None:
        """The last seconds of the filtered lead; None before the first wave message."""
        return self.lead.wave

    @property
    def scale(self) -> VerticalScale:
        """The plot's vertical scale."""
        return self.lead.scale

    @property
    def fs_hz(self) -> float | None:
        """Sampling rate, Hz; None while unknown."""
        if (wave := self.wave) is not None:
            return wave.fs_hz
        return self.status.fs_hz if self.status is not None and self.status.fs_hz > 0 else None

    def alarms(self) -> list[Alarm]:
        """Active alarms, the most urgent first, then the newest."""
        return sorted(self.active.values(), key=lambda a: (-PRIORITY_RANK[a.priority], -a.onset_sample))

    def top_unacknowledged(self) -> Alarm | None:
        """The alarm an acknowledgement would be for."""
        return next((alarm for alarm in self.alarms() if alarm.state != "acknowledged"), None)

    @property
    def most_urgent(self) -> Alarm | None:
        """The alarm to look at first, see `urgency`."""
        if self._top is None:
            self._top = (most_urgent(self.active.values()),)
        return self._top[0]

    def look(self, now_s: float, *, waves: bool, closely: bool) -> None:
        """Learn what is asked for from now on; what is not asked for any more is forgotten, for it grows old.

        Args:
            now_s: the subscriber's monotonic clock, s.
            waves: its waves.
            closely: its beats and events.
        """
        if waves != (self.waves_from_s is not None):
            self.waves_from_s = now_s if waves else None
            self.lead, self.wave_at_s = Lead(), None
        if not closely:
            self.last_beat = self.last_anomalous = self.event = None
            self.r_peaks.clear()
            self.trend.clear()

    def age_s(self, alarm: Alarm, now_s: float) -> float | None:
        """Age of an alarm: by the sample clock, and by our own while that stands still; None without fs."""
        if self.fs_hz is None:
            return None
        still_s = 0.0 if self.advanced_at_s is None else now_s - self.advanced_at_s
        since_onset_s = (self.clock_sample - alarm.onset_sample) / self.fs_hz
        return max(0.0, since_onset_s + (still_s if still_s > NO_DATA_AFTER_S else 0.0))

    def audio_paused_s(self, now_s: float) -> float:
        """What is left of an audio pause, s; counted down between two status messages."""
        if self.status is None or self.status_at_s is None:
            return 0.0
        return max(0.0, self.status.audio_paused_s - (now_s - self.status_at_s))

    def silent_s(self, now_s: float) -> float:
        """How long no waveform has come, s; where there never was one, how long the sample clock stands still."""
        last_s = self.advanced_at_s if self.wave_at_s is None else self.wave_at_s
        return 0.0 if last_s is None else max(0.0, now_s - last_s)

    def stream_condition(self, now_s: float) -> StreamCondition:
        """Whether the waveform is live, from what the monitor says and from what we see ourselves."""
        said = "starting" if self.status is None else self.status.state
        if said in ("no_data", "source_lost", "ended"):
            return said
        if self.wave_at_s is None:
            if self.status_at_s is None or said == "starting":
                return "starting"
            if self.waves_from_s is not None and now_s - self.waves_from_s > NO_DATA_AFTER_S:
                return "no_data"
            still = self.advanced_at_s is None or now_s - self.advanced_at_s > CLOCK_STILL_S
            return "no_data" if still else "live"
        return "no_data" if self.silent_s(now_s) > NO_DATA_AFTER_S else "live"

    def shown_rate_bpm(self, now_s: float) -> float | None:
        """The heart rate, where it is true now: the stream is live and beats still come."""
        status = self.status
        if self.heart_rate_bpm is None or self.stream_condition(now_s) != "live":
            return None
        if status is not None and status.quality in ("leads_off", "flat"):
            return None
        if any(alarm.kind == "asystole" and alarm.state != "latched" for alarm in self.active.values()):
            return None  # the alarm comes up to a second before the status that takes the rate back
        if self.last_beat is not None and self.fs_hz is not None:
            since_beat_s = (self.clock_sample - self.last_beat.r_sample) / self.fs_hz
            if since_beat_s > NO_RATE_AFTER_S:
                return None
        elif (
            self._beats_sample is not None
            and self.fs_hz is not None
            # Counts come with the status, once a second.
            and (self.clock_sample - self._beats_sample) / self.fs_hz > NO_RATE_AFTER_S + 1.0
        ):
            return None
        return self.heart_rate_bpm

    def fold_wave(self, header: WaveHeader, raw_samples: bytes, now_s: float) -> bool:
        """Add a wave message; False where header and samples do not fit each other."""
        if not self.lead.add(header, raw_samples):
            return False
        self.wave_at_s = now_s
        self._step(header.first_sample + header.n, header.time, now_s)
        return True

    def fold_beat(self, beat: BeatMessage, now_s: float) -> None:
        """Add a beat; one that is known already (sent again to a new subscriber) changes nothing."""
        self._step(beat.sample, beat.time, now_s)
        if self.last_beat is not None and beat.r_sample <= self.last_beat.r_sample:
            return
        self.last_beat = LastBeat(
            beat.r_sample,
            beat.rr_s,
            beat.score,
            beat.p_value,
            beat.threshold,
            beat.anomalous,
            beat.quality,
        )
        if beat.anomalous:
            self.last_anomalous = AnomalousBeat(beat.r_sample, beat.words)
        self.r_peaks.append(RPeak(beat.r_sample, beat.anomalous, beat.score is not None))
        self.trend.append(TrendPoint(beat.score, beat.threshold, beat.anomalous))
        self.heart_rate_bpm = beat.heart_rate_bpm

    def fold_status(self, status: StatusMessage, now_s: float) -> None:
        """Add a status."""
        self._step(status.sample, status.time, now_s)
        if self.status is None or status.beats != self.status.beats:
            self._beats_sample = status.sample
        self.status = status
        self.status_at_s = now_s
        self.heart_rate_bpm = status.heart_rate_bpm
        self.model_name = status.model.name or self.model_name

    def fold_alarm(self, message: AlarmMessage, now_s: float) -> None:
        """Add a change of an alarm."""
        self._step(message.sample, message.time, now_s)
        alarm = message.alarm
        self.model_name = message.model.name or self.model_name
        known = self.active.pop(alarm.alarm_id, None)
        self._top = None
        if alarm.state == "cleared":
            if known is not None:
                self.cleared.append(alarm)
            return
        if known is None:
            self.raised[alarm.priority] += 1
        self.active[alarm.alarm_id] = alarm
        if len(self.active) > MAX_ACTIVE:
            del self.active[self.alarms()[-1].alarm_id]

    def fold_event(self, event: EventMessage, now_s: float) -> None:
        """Add an event; of those that an alarm tells of, the alarm is enough."""
        self._step(event.sample, "", now_s)
        if event.kind not in _ALARMED_EVENTS:
            self.event = event, now_s

    def _step(self, sample: int, time: str, now_s: float) -> None:
        if sample > self.clock_sample:
            self.clock_sample = sample
            self.advanced_at_s = now_s
            self.stream_time = time or self.stream_time
