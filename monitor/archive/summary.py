"""The summary of one record, written as JSON beside its beats."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from monitor.archive.inputs import InputFile
from monitor.messages import ModelInfo

__all__ = ["FORMAT", "BeatRun", "Hour", "Pauses", "Rates", "Summary", "WorstStrip"]

FORMAT: Final = "ecg-monitor-archive/1"


class Hour(msgspec.Struct, frozen=True):
    """One hour of a record.

    Attributes:
        hour: 0 = the first, from sample 0 of the record.
        beats, unscored, abnormal: counts.
        mean_bpm: heart rate over the RR intervals between scored beats, beats a minute; None without any.
    """

    hour: int
    beats: int
    unscored: int
    abnormal: int
    mean_bpm: float | None


class Rates(msgspec.Struct, frozen=True):
    """Heart rate, beats a minute; None where unknown.

    Attributes:
        mean_bpm: over all RR intervals between scored beats.
        min_bpm, max_bpm: of the mean of 4 to 8 RR intervals, as the monitor shows it.
    """

    mean_bpm: float | None
    min_bpm: float | None
    max_bpm: float | None


class BeatRun(msgspec.Struct, frozen=True):
    """Consecutive abnormal beats, each with a known RR interval to the one before.

    Attributes:
        first_sample, last_sample: R-peaks of the first and last beat.
        time_s: first beat, s from sample 0 of the record.
        beats: number.
        rate_bpm: heart rate over the intervals, beats a minute.
    """

    first_sample: int
    last_sample: int
    time_s: float
    beats: int
    rate_bpm: float


class Pauses(msgspec.Struct, frozen=True):
    """RR intervals between two scored beats that reach the limit of the alarm `pause`.

    Attributes:
        limit_s: the limit, s.
        count: number.
        longest_s: the longest, s; None without any.
        longest_sample, longest_time_s: R-peak before it, in samples and in s from sample 0.
    """

    limit_s: float
    count: int
    longest_s: float | None
    longest_sample: int | None
    longest_time_s: float | None


class WorstStrip(msgspec.Struct, frozen=True):
    """10 s around one of the beats with the highest scores.

    Attributes:
        file: drawing, relative to the folder of the record.
        first_sample, end_sample: of the strip, samples of the record; the end is excluded.
        r_sample, time_s: R-peak of the beat, in samples and in s from sample 0.
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

    Many attributes: one per key of summary.json.

    Attributes:
        format: FORMAT.
        name: of its folder.
        source, lead: e.g. `mitdb:208`, `MLII`.
        fs_hz: sampling rate, Hz.
        start_time: ISO 8601 time of sample 0; None if the record does not have it.
        first_sample, end_sample: scored part, samples of the record; the end is excluded.
        duration_s: length of the scored part, s.
        samples, samples_lost: samples read, and samples missing in gaps.
        gaps: number of gaps.
        unreadable: values of the file that are no numbers; they count as invalid samples.
        beats, scored, unscored, abnormal: counts; abnormal = scored and anomalous.
        unscored_by: quality -> beats that were not scored because of it.
        abnormal_share: abnormal / scored; None without scored beats.
        rates, hours, pauses: see their classes.
        runs: number of runs of abnormal beats with at least `anomaly_run.beats` beats.
        longest_run: the longest of them; None without any.
        alarms: kind -> number of onsets.
        strips: highest score first.
        model: name and hash of the model.
        version: of the monitor.
        settings: the part of the configuration that changes results: `source`, `signal`, `alarms`, `strips`.
        command: command line.
        inputs: files of the record.
        fingerprint: SHA-256 of model, version, settings and content of the inputs; an equal record is not scored again.
        scored_at: ISO 8601 wall time, UTC.
        took_s: duration of the work, s.
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
    longest_run: BeatRun | None
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
