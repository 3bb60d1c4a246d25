"""One state of an alarm with its evidence: the result of the alarm engine and the content of an alarm message."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = ["PRIORITY_RANK", "Alarm", "AlarmState", "Category", "Evidence", "Priority"]

Category = Literal["physiological", "technical"]
Priority = Literal["high", "medium", "low"]
PRIORITY_RANK: Final[dict[Priority, int]] = {"low": 0, "medium": 1, "high": 2}
AlarmState = Literal["onset", "latched", "acknowledged", "cleared"]


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an alarm was raised: the numbers for a clinician to check. Lists have one value per beat.

    Attributes:
        r_samples: R-peaks of the beats concerned, source samples; the other lists have the same order.
        log_prob: log p(x) of each beat, nats; higher = more normal.
        score: anomaly score of each beat from all evidence; higher = more anomalous.
        p_value: p-value of each beat against the patient's own reference, 0 to 1.
        words: why each beat is unusual, e.g. `["wide", "early", "then a pause"]`, as defined in
            `detector/explain.py`; `text` of the alarm has the same words with their numbers.
        rr_ratio: RR interval before each beat over the patient's usual RR interval (median of the last 64, or of the
            last 8 where an anomalous beat is further from that); 1 = usual.
        qrs_ms: QRS duration of each beat, ms; None where it was not measured (a usual beat).
        usual_qrs_ms: QRS duration of the patient's template at that time, ms.
        residual: distance of each beat to the patient's template, in QRS heights.
        threshold: a beat of this patient with a score above it counts as anomalous.
        heart_rate_bpm: heart rate at the deciding sample, beats a minute; None if not known.
        quality: signal quality at the deciding sample.
        limit: the configured limit that was crossed, in `limit_unit`.
        value: the measured value that crossed it, in `limit_unit`.
        limit_unit: unit of `limit` and `value`, e.g. `s`, `bpm`, `beats`.

    Many attributes: one per field of the message.
    """

    r_samples: tuple[int, ...] = ()
    log_prob: tuple[float | None, ...] = ()
    score: tuple[float | None, ...] = ()
    p_value: tuple[float | None, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    rr_ratio: tuple[float | None, ...] = ()
    qrs_ms: tuple[float | None, ...] = ()
    usual_qrs_ms: tuple[float | None, ...] = ()
    residual: tuple[float | None, ...] = ()
    threshold: float | None = None
    heart_rate_bpm: float | None = None
    quality: str = ""
    limit: float | None = None
    value: float | None = None
    limit_unit: str = ""


class Alarm(msgspec.Struct, frozen=True):
    """One state of one alarm, as the alarm engine returns it; time is the source's sample clock.

    Attributes:
        alarm_id: `<bed>/<kind>/<onset sample>`: the same replay gives the same ids.
        kind: a key of `[alarms]` in config.toml, e.g. `asystole`.
        state: onset, latched (cause gone, not yet acknowledged), acknowledged, cleared.
        onset_sample: where the cause began, source samples.
        decided_sample: the sample whose arrival decided this state, source samples.
        count: onsets of the cause while this alarm lasted; a recurrence is an update, not a new alarm.
        text: one line to read.
        update: same state, more text and evidence (what followed the beat is known now); not a new alarm.
        acknowledged_by: name of the operator; empty if not acknowledged.
        covered_by: id of the alarm of the same cause that replaced this one; empty if it ended by itself.

    Many attributes: one per field of the message.
    """

    alarm_id: str
    bed: str
    kind: str
    category: Category
    priority: Priority
    state: AlarmState
    onset_sample: int
    decided_sample: int
    text: str
    evidence: Evidence = Evidence()
    count: int = 1
    acknowledged_by: str = ""
    update: bool = False
    covered_by: str = ""
