"""Counts over the beats and alarms of one record; the memory is bounded but for one row per hour. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from monitor.archive.summary import BeatRun, Hour, Pauses, Rates
from monitor.config import AlarmsConfig
from monitor.messages import Alarm, BeatMessage

__all__ = ["Counts", "RunTally", "Tally"]

_HOUR_S = 3600.0


class Tally:
    """Count the beats and alarms of a record, given in order.

    Args:
        fs_hz: sampling rate, Hz.
        limits: of the alarms of this record: shortest pause, and beats of a run.

    Attributes:
        total: counts of the whole record.
        unscored_by: quality -> beats that were not scored.
        runs: of abnormal beats.
        alarms: kind -> number of onsets.
    """

    def __init__(self, fs_hz: float, limits: AlarmsConfig) -> None:
        self.total = Counts()
        self.unscored_by: Counter[str] = Counter()
        self.runs = RunTally(fs_hz, limits.anomaly_run.beats)
        self.alarms: Counter[str] = Counter()
        self._fs_hz = fs_hz
        self._hours: dict[int, Counts] = {}
        self._pauses = _PauseTally(limits.pause.limit)
        self._range_bpm: tuple[float, float] | None = None  # lowest, highest
        self._last: BeatMessage | None = None
        self._alarm_ids: dict[str, str] = {}  # kind -> alarm_id of its last onset

    def beat(self, beat: BeatMessage) -> None:
        """Count the next beat."""
        hour = self._hours.setdefault(int(beat.r_sample / self._fs_hz / _HOUR_S), Counts())
        scored = beat.score is not None
        last, self._last = self._last, beat
        # Only between two scored beats: noise that hides a beat is no pause.
        between = scored and last is not None and last.score is not None
        for counts in (self.total, hour):
            counts.add(beat, beat.rr_s if between else None)
        if not scored:
            self.unscored_by[beat.quality] += 1
        if last is not None and between and beat.rr_s is not None:
            self._pauses.add(beat.rr_s, last.r_sample)
        if (bpm := beat.heart_rate_bpm) is not None:
            low, high = self._range_bpm or (bpm, bpm)
            self._range_bpm = min(low, bpm), max(high, bpm)
        self.runs.beat(beat)

    def alarm(self, alarm: Alarm) -> None:
        """Count a changed alarm if it is a new onset."""
        if alarm.state == "onset" and self._alarm_ids.get(alarm.kind) != alarm.alarm_id:
            self._alarm_ids[alarm.kind] = alarm.alarm_id
            self.alarms[alarm.kind] += 1

    def hours(self, duration_s: float) -> tuple[Hour, ...]:
        """Every hour from sample 0 to `duration_s`, also hours without a beat."""
        n = max([-(-duration_s // _HOUR_S), *(hour + 1 for hour in self._hours)])
        return tuple(
            Hour(number, hour.beats, hour.unscored, hour.abnormal, hour.mean_bpm)
            for number in range(int(n))
            for hour in (self._hours.get(number, Counts()),)
        )

    def rates(self) -> Rates:
        """Heart rate of the whole record."""
        return Rates(self.total.mean_bpm, *(self._range_bpm or (None, None)))

    def pauses(self) -> Pauses:
        """Pauses of the whole record."""
        longest_s, sample = self._pauses.longest or (None, None)
        time_s = None if sample is None else round(sample / self._fs_hz, 3)
        return Pauses(self._pauses.limit_s, self._pauses.count, longest_s, sample, time_s)


class RunTally:
    """Runs of consecutive abnormal beats.

    Args:
        fs_hz: sampling rate, Hz.
        least: beats of the shortest run that counts.

    Attributes:
        count, longest: of the finished runs.
    """

    def __init__(self, fs_hz: float, least: int) -> None:
        self.count = 0
        self.longest: BeatRun | None = None
        self._fs_hz = fs_hz
        self._least = least
        self._open: tuple[int, int, int] | None = None  # first and last R-peak, beats

    def beat(self, beat: BeatMessage) -> None:
        """Extend or end the present run."""
        if not beat.anomalous or beat.rr_s is None:
            self.end()
        if beat.anomalous:
            first, _, n = self._open or (beat.r_sample, 0, 0)
            self._open = first, beat.r_sample, n + 1

    def end(self) -> None:
        """End the present run, also at the end of the record."""
        run, self._open = self._open, None
        if run is None or run[2] < self._least:
            return
        first, last, n = run
        self.count += 1
        if self.longest is None or n > self.longest.beats:
            seconds = (last - first) / self._fs_hz
            self.longest = BeatRun(first, last, round(first / self._fs_hz, 3), n, round(60.0 * (n - 1) / seconds, 1))


@dataclass(slots=True)
class Counts:
    """Beats of a record or an hour, and the number and sum (s) of the RR intervals between scored beats."""

    beats: int = 0
    unscored: int = 0
    abnormal: int = 0
    intervals: int = 0
    seconds: float = 0.0

    def add(self, beat: BeatMessage, rr_s: float | None) -> None:
        """Count a beat, with its RR interval if the beat before was scored too."""
        self.beats += 1
        self.unscored += beat.score is None
        self.abnormal += beat.anomalous
        if rr_s is not None:
            self.intervals += 1
            self.seconds += rr_s

    @property
    def mean_bpm(self) -> float | None:
        """Mean heart rate, beats a minute; None without an interval."""
        return round(60.0 * self.intervals / self.seconds, 1) if self.seconds > 0 else None


@dataclass(slots=True)
class _PauseTally:
    limit_s: float
    count: int = 0
    longest: tuple[float, int] | None = None  # s, R-peak before it

    def add(self, rr_s: float, before: int) -> None:
        if rr_s >= self.limit_s:
            self.count += 1
            if self.longest is None or rr_s > self.longest[0]:
                self.longest = rr_s, before
