"""Text report of one past alarm, for `ecg-monitor alarms show`. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

from monitor.messages import Evidence
from monitor.quality_labels import quality_words
from monitor.reports.episodes import PastAlarm, moment
from monitor.terminal import printable

__all__ = ["Operation", "RunFacts", "SourceFacts", "report"]

_ENDED = {
    "running": "still running",
    "in order": "ended in order",
    "died": "was killed",
    "error": "ended by an error",
}  # any other value: how it ended is unknown


class RunFacts(NamedTuple):
    """The run that raised the alarm; times are Unix time, s."""

    version: str
    started_s: float
    ended: str
    ended_s: float | None


class SourceFacts(NamedTuple):
    """Source and lead of the bed in that run, e.g. `mitdb:208`, `MLII`."""

    source: str
    lead: str
    fs_hz: float


class Operation(NamedTuple):
    """What an operator did about the alarm, e.g. `acknowledge`; an unknown operator has an empty name."""

    wall_s: float
    who: str
    what: str
    detail: str


def report(
    alarm: PastAlarm,
    *,
    run: RunFacts | None = None,
    sources: Sequence[SourceFacts] = (),
    operations: Sequence[Operation] = (),
    strip: tuple[int, float] | None = None,
) -> str:
    """Multi-line report of an alarm with all its messages.

    Args:
        alarm: with all its messages.
        run: the run that raised it; None if the journal does not know it.
        sources: of the alarm's bed in that run.
        operations: acknowledgements and the like, oldest first.
        strip: first sample and duration (s) of the stored strip; None if there is none.
    """
    last, model = alarm.last, alarm.messages[0].model
    duration = f", lasted {alarm.lasted_s:.1f} s" if alarm.lasted_s is not None else ""
    lines = [
        f"{last.alarm_id}: {last.kind.replace('_', ' ')}, {last.priority} priority, {last.category}; {alarm.outcome}",
        f"  {last.text}",
        f"  began {_clock(alarm.onset_time)}{duration}",
        f"  model {model.name} (SHA-256 {model.sha256[:12]}...)",
        *(f"  source {name}, lead {lead}, {fs_hz:g} Hz" for name, lead, fs_hz in sources),
        *([] if run is None else [_run(alarm.epoch, run)]),
        "",
        "States",
        *_states(alarm),
        "",
        "Operators (wall clock)",
        *[f"  {_clock(_unix(o.wall_s))}  {o.who or 'unknown'}: {o.what} {o.detail}".rstrip() for o in operations],
        *([] if operations else ["  not acknowledged"]),
        "",
        "Evidence",
        *_numbers(last.evidence),
        *_beats(last.evidence),
        "",
        "Strip: none in the journal"
        if strip is None
        else f"Strip: {strip[1]:g} s from sample {strip[0]}; --svg FILE draws it",
    ]
    return "\n".join(map(printable, lines)) + "\n"


def _run(epoch: str, run: RunFacts) -> str:
    version = f", ecg-monitor {run.version}" if run.version else ""
    when = f" {_clock(_unix(run.ended_s))}" if run.ended_s is not None else ""
    return f"  run {epoch}{version}, began {_clock(_unix(run.started_s))}, {_ENDED.get(run.ended, 'ended')}{when}"


def _states(alarm: PastAlarm) -> list[str]:
    lines = []
    for message in alarm.messages:
        state = "(update)" if message.alarm.update else message.alarm.state
        late = f", {message.latency_ms:.1f} ms after its sample" if message.latency_ms is not None else ""
        who = f" by {message.alarm.acknowledged_by}" if message.alarm.acknowledged_by else ""
        lines.append(
            f"  {_clock(moment(message.time))}  {state:<12}  {message.alarm.text}{who} "
            f"(sample {message.alarm.decided_sample}{late})"
        )
    return lines


def _numbers(evidence: Evidence) -> list[str]:
    unit = f" {evidence.limit_unit}" if evidence.limit_unit else ""
    numbers = [
        f"measured {evidence.value:g}{unit}" if evidence.value is not None else "",
        f"limit {evidence.limit:g}{unit}" if evidence.limit is not None else "",
        f"heart rate {evidence.heart_rate_bpm:.0f} bpm" if evidence.heart_rate_bpm is not None else "",
        f"score threshold {evidence.threshold:.2f}" if evidence.threshold is not None else "",
        f"signal {quality_words(evidence.quality)}" if evidence.quality else "",
    ]
    line = ", ".join(part for part in numbers if part)
    return [f"  {line}"] if line else ["  none beyond the text"]


def _beats(evidence: Evidence) -> list[str]:
    if not evidence.r_samples:
        return []
    lines = [f"  {'R-peak':>10} {'log p':>9} {'score':>7} {'p-value':>9} {'RR/usual':>8} {'QRS ms':>7}  reasons"]
    for n, r_sample in enumerate(evidence.r_samples):
        cells = (
            (evidence.log_prob, ".2f", 9), (evidence.score, ".2f", 7), (evidence.p_value, ".2g", 9),
            (evidence.rr_ratio, ".2f", 8), (evidence.qrs_ms, ".0f", 7),
        )  # fmt: skip
        numbers = " ".join(_cell(column[n] if n < len(column) else None, form, width) for column, form, width in cells)
        words = ", ".join(evidence.words[n]) if n < len(evidence.words) else ""
        lines.append(f"  {r_sample:>10} {numbers}  {words}".rstrip())
    return lines


def _cell(value: float | None, form: str, width: int) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


def _unix(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _clock(when: datetime.datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d}"
