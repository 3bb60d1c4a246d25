"""What is told of one record: as JSON beside its beats, and as one row of the table of all records."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from monitor.archive.inputs import InputFile
from monitor.messages import ModelInfo

__all__ = ["FORMAT", "Hour", "Pauses", "Rates", "Run", "Summary", "WorstStrip"]

FORMAT: Final = "ecg-monitor-archive/1"


class Hour(msgspec.Struct, frozen=True):
    """One hour of a record.

    Attributes:
        hour: 0 = the first, from sample 0 of the record on.
        beats, unscored, abnormal: how many.
        mean_bpm: heart rate over its RR intervals between scored beats, beats a minute; None where there are none.
    """

    hour: int
    beats: int
    unscored: int
    abnormal: int
    mean_bpm: float | None


class Rates(msgspec.Struct, frozen=True):
    """Heart rate, beats a minute; None where not known.

    Attributes:
        mean_bpm: over all RR intervals between scored beats.
        min_bpm, max_bpm: of the mean of 8 RR intervals, which is what the monitor shows.
    """

    mean_bpm: float | None
    min_bpm: float | None
    max_bpm: float | None


class Run(msgspec.Struct, frozen=True):
    """Consecutive abnormal beats, each with a known RR interval to the one before.

    Attributes:
        first_sample, last_sample: R-peaks of its first and last beat.
        time_s: its first beat, s from sample 0 of the record.
        beats: how many.
        rate_bpm: over its intervals, beats a minute.
    """

    first_sample: int
    last_sample: int
    time_s: float
    beats: int
    rate_bpm: float


class Pauses(msgspec.Struct, frozen=True):
    """RR intervals between two scored beats that reach the limit of the alarm `pause`.

    Attributes:
        limit_s: that limit, s.
        count: how many.
        longest_s: the longest, s; None without any.
        longest_sample, longest_time_s: the R-peak after which it came, in samples and in s from sample 0.
    """

    limit_s: float
    count: int
    longest_s: float | None
    longest_sample: int | None
    longest_time_s: float | None


class WorstStrip(msgspec.Struct, frozen=True):
    """10 s around one of the beats with the highest scores.

    Attributes:
        file: its drawing, below the record's folder.
        first_sample, end_sample: what is drawn, samples of the record; the end is not included.
        r_sample, time_s: the beat, in samples and in s from sample 0.
        score, p_value, anomalous, words: of the beat, as in the table of beats.
    """

    file: str
    first_sample: int
    end_sample: int
    r_sample: int
    time_s: float
    score: float
    p_value: float | None
    anomalous: bool
    words: tuple[str, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One scored record.

    Attributes:
        format: FORMAT.
        name: of its folder.
        source, lead: what was scored, e.g. `mitdb:208`, `MLII`.
        fs_hz: sampling rate, Hz.
        start_time: ISO 8601 time of sample 0 where the record knows it.
        first_sample, end_sample: what was scored, samples of the record; the end is not included.
        duration_s: of that, s.
        samples, samples_lost: how many came, and how many are missing in gaps.
        gaps: how many.
        unreadable: values of the file that were no numbers and stand as invalid samples.
        beats, scored, unscored, abnormal: how many; abnormal = scored and anomalous.
        unscored_by: quality -> beats that were not scored for it.
        abnormal_share: abnormal / scored; None without scored beats.
        rates, hours, pauses: see there.
        runs: how many runs of abnormal beats, of at least `anomaly_run.beats` beats.
        longest_run: the longest of them, None without any.
        alarms: kind -> how many began.
        strips: the worst, highest score first.
        model: that scored.
        version: of the monitor.
        settings: what of the configuration changes results: `source`, `signal`, `alarms`.
        command: as it was given.
        inputs: files of the record.
        fingerprint: SHA-256 over model, version, settings and the content of the inputs: equal = not scored again.
        scored_at: ISO 8601 wall time, UTC.
        took_s: how long it took, s.
    """

    format: str
    name: str
    source: str
    lead: str
    fs_hz: float
    start_time: str | None
    first_sample: int
    end_sample: int
    duration_s: float
    samples: int
    samples_lost: int
    gaps: int
    unreadable: int
    beats: int
    scored: int
    unscored: int
    unscored_by: dict[str, int]
    abnormal: int
    abnormal_share: float | None
    rates: Rates
    hours: tuple[Hour, ...]
    runs: int
    longest_run: Run | None
    pauses: Pauses
    alarms: dict[str, int]
    strips: tuple[WorstStrip, ...]
    model: ModelInfo
    version: str
    settings: dict[str, Any]
    command: tuple[str, ...]
    inputs: tuple[InputFile, ...]
    fingerprint: str
    scored_at: str
    took_s: float
