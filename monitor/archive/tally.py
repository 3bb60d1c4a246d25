"""Counts over the beats and alarms of one record as they come; bounded but for one row an hour. Pure."""

from __future__ import annotations

from collections import Counter

from monitor.archive.summary import Hour, Pauses, Rates, Run
from monitor.config import AlarmsConfig
from monitor.messages import Alarm, BeatMessage

__all__ = ["Tally"]

_HOUR_S = 3600.0


class Tally:
    """Take the beats and alarms of a record, in order.

    Args:
        fs_hz: sampling rate, Hz.
        limits: alarms of this record: what is a pause, and how many beats are a run.

    Attributes:
        beats, abnormal: how many so far.
        unscored_by: quality -> beats that were not scored.
        runs: finished runs of abnormal beats, of at least `anomaly_run.beats` beats.
        longest_run: the longest of them.
        alarms: kind -> how many began.
    """

    def __init__(self, fs_hz: float, limits: AlarmsConfig) -> None:
        self.beats = 0
        self.abnormal = 0
        self.unscored_by: Counter[str] = Counter()
        self.runs = 0
        self.longest_run: Run | None = None
        self.alarms: Counter[str] = Counter()
        self._fs_hz = fs_hz
        self._run_beats = limits.anomaly_run.beats
        self._pause_s = limits.pause.limit
        self._hours: dict[int, _HourTally] = {}
        self._rr_n, self._rr_s = 0, 0.0
        self._low_bpm: float | None = None
        self._high_bpm: float | None = None
        self._pauses = 0
        self._longest_pause: tuple[float, int] | None = None  # s, R-peak before it
        self._last: BeatMessage | None = None
        self._run: list[int] = []  # first and last R-peak, beats; of the run that goes on
        self._alarm_ids: dict[str, str] = {}  # kind -> its last alarm that began

    @property
    def unscored(self) -> int:
        """Beats that were not scored."""
        return self.unscored_by.total()

    def beat(self, beat: BeatMessage) -> None:
        """The next beat."""
        hour = self._hours.setdefault(int(beat.r_sample / self._fs_hz / _HOUR_S), _HourTally())
        scored = beat.score is not None
        self.beats += 1
        hour.beats += 1
        self.abnormal += beat.anomalous
        hour.abnormal += beat.anomalous
        if not scored:
            self.unscored_by[beat.quality] += 1
            hour.unscored += 1
        last, self._last = self._last, beat
        if scored and last is not None and last.score is not None and beat.rr_s is not None:
            self._interval(hour, last.r_sample, beat.rr_s)
        if (bpm := beat.heart_rate_bpm) is not None:
            self._low_bpm = bpm if self._low_bpm is None else min(self._low_bpm, bpm)
            self._high_bpm = bpm if self._high_bpm is None else max(self._high_bpm, bpm)
        self._follow(beat)

    def alarm(self, alarm: Alarm) -> None:
        """A changed alarm; only that it began counts."""
        if alarm.state == "onset" and self._alarm_ids.get(alarm.kind) != alarm.alarm_id:
            self._alarm_ids[alarm.kind] = alarm.alarm_id
            self.alarms[alarm.kind] += 1

    def end(self) -> None:
        """The record is over."""
        self._end_run()

    def hours(self, duration_s: float) -> tuple[Hour, ...]:
        """Every hour up to `duration_s` from sample 0 on, also those without a beat."""
        n = max([-(-duration_s // _HOUR_S), *(hour + 1 for hour in self._hours)])
        return tuple(
            Hour(number, hour.beats, hour.unscored, hour.abnormal, _bpm(hour.rr_n, hour.rr_s))
            for number in range(int(n))
            for hour in (self._hours.get(number) or _HourTally(),)
        )

    def rates(self) -> Rates:
        """Heart rate over all."""
        return Rates(_bpm(self._rr_n, self._rr_s), self._low_bpm, self._high_bpm)

    def pauses(self) -> Pauses:
        """Pauses over all."""
        longest_s, sample = self._longest_pause or (None, None)
        time_s = None if sample is None else round(sample / self._fs_hz, 3)
        return Pauses(self._pause_s, self._pauses, longest_s, sample, time_s)

    def _interval(self, hour: _HourTally, before: int, rr_s: float) -> None:
        """An RR interval between two scored beats: noise that hides a beat makes no pause."""
        self._rr_n += 1
        self._rr_s += rr_s
        hour.rr_n += 1
        hour.rr_s += rr_s
        if rr_s >= self._pause_s:
            self._pauses += 1
            if self._longest_pause is None or rr_s > self._longest_pause[0]:
                self._longest_pause = rr_s, before

    def _follow(self, beat: BeatMessage) -> None:
        if not beat.anomalous or beat.rr_s is None:
            self._end_run()
        if beat.anomalous:
            first, n = (self._run[0], self._run[2]) if self._run else (beat.r_sample, 0)
            self._run = [first, beat.r_sample, n + 1]

    def _end_run(self) -> None:
        run, self._run = self._run, []
        if not run or run[2] < self._run_beats:
            return
        first, last, n = run
        self.runs += 1
        if self.longest_run is None or n > self.longest_run.beats:
            seconds = (last - first) / self._fs_hz
            self.longest_run = Run(first, last, round(first / self._fs_hz, 3), n, round(60.0 * (n - 1) / seconds, 1))


class _HourTally:
    __slots__ = ("abnormal", "beats", "rr_n", "rr_s", "unscored")

    def __init__(self) -> None:
        self.beats = self.unscored = self.abnormal = self.rr_n = 0
        self.rr_s = 0.0


def _bpm(n: int, seconds: float) -> float | None:
    return round(60.0 * n / seconds, 1) if seconds > 0 else None
