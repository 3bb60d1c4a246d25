"""One alarm of the journal in words and numbers, for `ecg-monitor alarms show`."""

from __future__ import annotations

import datetime

from monitor.journal import JournalReader
from monitor.messages import Evidence
from monitor.quality_labels import quality_words
from monitor.reports.episodes import PastAlarm, moment

__all__ = ["report"]


def report(reader: JournalReader, alarm: PastAlarm) -> str:
    """What is known of it, many lines."""
    last = alarm.last
    lines = [
        f"{last.alarm_id}: {last.kind.replace('_', ' ')}, {last.priority} priority, {last.category}; {alarm.outcome}",
        f"  {last.text}",
        f"  began {_clock(alarm.onset_time)}"
        + (f", lasted {alarm.lasted_s:.1f} s" if alarm.lasted_s is not None else ""),
        *_run(reader, alarm),
        "",
        "States",
        *_states(alarm),
        *_operators(reader, alarm),
        "",
        "Evidence",
        *_numbers(last.evidence),
        *_beats(last.evidence),
        *_strip(reader, alarm),
    ]
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines) + "\n"


def _run(reader: JournalReader, alarm: PastAlarm) -> list[str]:
    model = alarm.messages[0].model
    lines = [f"  model {model.name} (SHA-256 {model.sha256[:12]}...)"]
    lines += [
        f"  source {session.source}, lead {session.lead}, {session.fs_hz:g} Hz"
        for session in reader.sessions(alarm.epoch)
        if session.bed == alarm.last.bed
    ]
    for run in reader.runs():
        if run.epoch == alarm.epoch:
            version = f", ecg-monitor {run.version}" if run.version else ""
            end = "goes on" if run.ended == "running" else {
                "in order": "ended in order", "died": "was killed", "error": "ended by an error",
            }.get(run.ended, "is over")  # fmt: skip
            when = f" {_clock(_unix(run.ended_s))}" if run.ended_s is not None else ""
            lines.append(f"  run {run.epoch}{version}, began {_clock(_unix(run.started_s))}, {end}{when}")
    return lines


def _states(alarm: PastAlarm) -> list[str]:
    lines = []
    for message in alarm.messages:
        state = "(more words)" if message.alarm.update else message.alarm.state
        late = f", {message.latency_ms:.1f} ms after its sample" if message.latency_ms is not None else ""
        who = f" by {message.alarm.acknowledged_by}" if message.alarm.acknowledged_by else ""
        lines.append(
            f"  {_clock(moment(message.time))}  {state:<12}  {message.alarm.text}{who} "
            f"(sample {message.alarm.decided_sample}{late})"
        )
    return lines


def _operators(reader: JournalReader, alarm: PastAlarm) -> list[str]:
    done = [a for a in reader.actions(100_000) if a.alarm_id == alarm.last.alarm_id and a.epoch == alarm.epoch]
    lines = [f"  {_clock(_unix(a.wall_s))}  {a.who or 'somebody'}: {a.what} {a.detail}".rstrip() for a in done]
    return ["", "Operators (wall clock)", *(lines or ["  nobody has acknowledged it"])]


def _numbers(evidence: Evidence) -> list[str]:
    unit = f" {evidence.limit_unit}" if evidence.limit_unit else ""
    told = [
        f"measured {evidence.value:g}{unit}" if evidence.value is not None else "",
        f"limit {evidence.limit:g}{unit}" if evidence.limit is not None else "",
        f"heart rate {evidence.heart_rate_bpm:.0f} bpm" if evidence.heart_rate_bpm is not None else "",
        f"score threshold {evidence.threshold:.2f}" if evidence.threshold is not None else "",
        f"signal {quality_words(evidence.quality)}" if evidence.quality else "",
    ]
    line = ", ".join(part for part in told if part)
    return [f"  {line}"] if line else ["  none beyond the text"]


def _beats(evidence: Evidence) -> list[str]:
    if not evidence.r_samples:
        return []
    lines = [f"  {'R-peak':>10} {'log p':>9} {'score':>7} {'p-value':>9} {'RR/usual':>8} {'QRS ms':>7}  why"]
    for n, r_sample in enumerate(evidence.r_samples):
        cells = (
            (evidence.log_prob, ".2f", 9), (evidence.score, ".2f", 7), (evidence.p_value, ".2g", 9),
            (evidence.rr_ratio, ".2f", 8), (evidence.qrs_ms, ".0f", 7),
        )  # fmt: skip
        numbers = " ".join(_cell(column[n] if n < len(column) else None, form, width) for column, form, width in cells)
        words = ", ".join(evidence.words[n]) if n < len(evidence.words) else ""
        lines.append(f"  {r_sample:>10} {numbers}  {words}".rstrip())
    return lines


def _strip(reader: JournalReader, alarm: PastAlarm) -> list[str]:
    strip = reader.get_strip(alarm.last.alarm_id, alarm.epoch)
    if strip is None:
        return ["", "Strip: none in the journal"]
    seconds = strip.samples.shape[1] / strip.fs_hz
    return ["", f"Strip: {seconds:g} s from sample {strip.first_sample}; --svg FILE draws it"]


def _cell(value: float | None, form: str, width: int) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


def _unix(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _clock(when: datetime.datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d}"
