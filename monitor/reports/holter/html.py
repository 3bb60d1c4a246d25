"""The report as one HTML document: inline CSS and SVG, no script, for A4 and Letter."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.messages import ModelInfo
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.charts import beat_picture, disclosure_line, ectopy_chart, rate_chart
from monitor.reports.holter.clusters import Shape
from monitor.reports.holter.elements import (
    LIMITS,
    NO_ST,
    REVIEWED,
    UNREVIEWED,
    clock,
    escaped_html,
    facts_table,
    moment_of,
    rows_table,
    share,
    span,
    value_text,
)
from monitor.reports.holter.hrv import HeartRateVariability
from monitor.reports.holter.hrv_section import hrv_section
from monitor.reports.holter.measures import HOUR_S, PAUSE_S, Episode, HourFigures, Kinds, Pattern, Patterns
from monitor.reports.holter.strips import ChosenStrip, draw_chosen
from monitor.reports.holter.style import STYLE
from monitor.reports.holter.survey import LINE_S, SignalSurvey

__all__ = ["HolterFacts", "holter_html"]

_SHAPES: Final = 12
_LISTED: Final = 8
_LINES_OF_A_PAGE: Final = 24
_EPISODES: Final = {
    "ventricular_fibrillation": "ventricular fibrillation",
    "ventricular_run": "ventricular run (VT)",
    "extreme_tachycardia": "extreme tachycardia",
    "asystole": "asystole",
    "extreme_bradycardia": "extreme bradycardia",
    "irregular_rhythm": "irregular rhythm (suspected AF)",
}


@dataclass(frozen=True, slots=True, eq=False)
class HolterFacts:
    """Content of a report.

    Many attributes: each is a part of the document.

    Attributes:
        name, source, lead: of the record.
        start_time: ISO 8601 time of sample 0; None if unknown.
        made: when the report was made, as shown.
        version: of the program.
        model: that scored the beats.
        patient: heading and text of each field of the patient line.
        samples_lost: samples missing in gaps.
        every_s: length of the stretches in `hours`, s: an hour, or less for a short record.
        beats, kinds, patterns, hours, hrv, shapes, episodes, strips, survey: results.
        full: add the full disclosure.
        review: how much a person has reviewed, one line; empty = nothing.
    """

    name: str
    source: str
    lead: str
    start_time: str | None
    made: str
    version: str
    model: ModelInfo
    patient: Sequence[tuple[str, str]]
    samples_lost: int
    beats: HolterBeats
    kinds: Kinds
    patterns: Patterns
    hours: Sequence[HourFigures]
    hrv: HeartRateVariability
    shapes: Sequence[Shape]
    episodes: Sequence[Episode]
    strips: Sequence[ChosenStrip]
    survey: SignalSurvey
    full: bool = False
    review: str = ""
    every_s: float = HOUR_S


def holter_html(facts: HolterFacts) -> str:
    """The document."""
    return _Document(facts).text()


class _Document:
    def __init__(self, facts: HolterFacts) -> None:
        self._f = facts
        self._fs_hz = facts.beats.fs_hz
        self._start = moment_of(facts.start_time)
        self._end_s = facts.survey.end_sample / self._fs_hz
        self._every = "hour" if facts.every_s == HOUR_S else f"{facts.every_s / 60:g} minutes"
        self._analysed_s = sum(hour.analysed_s for hour in facts.hours)

    def text(self) -> str:
        """The HTML."""
        f = self._f
        parts = [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>ECG report: {escaped_html(f.name)}</title>",
            '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">',
            f"<style>{STYLE}</style></head><body>",
            "<h1>ECG report</h1>",
            "<p class=warn>Not a medical device. For research and teaching only. "
            f"{'Checked in part by a person, see Review.' if f.review else 'Not checked by a person.'}</p>",
            facts_table(f.patient),
            facts_table(self._record()),
            "<h2>Summary</h2>",
            facts_table(self._summary()),
            f"<section><h2>Heart rate by {self._every}</h2><p>Bar: lowest to highest mean of 8 intervals, beats a "
            f"minute. Line: mean.</p>{rate_chart(f.hours, self._hour)}</section>",
            f"<section><h2>Anomalous beats by {self._every}</h2><p><b class=k-v></b>ventricular-looking "
            "<b class=k-s></b>early, usual shape <b class=k-o></b>other</p>"
            f"{ectopy_chart(f.hours, self._hour)}</section>",
            self._hour_table(),
            self._hrv(),
            self._patterns(),
            self._pauses(),
            self._episodes(),
            self._shapes(),
            self._strips(),
            self._about(),
            self._disclosure() if f.full else "",
            "</body></html>",
        ]
        return "\n".join(part for part in parts if part) + "\n"

    # -- times ---------------------------------------------------------------------------------------------------

    def _hour(self, hour: int) -> str:
        since_s = hour * self._f.every_s
        if self._start is None:
            return clock(since_s)[:-3]
        return f"{self._start + datetime.timedelta(seconds=since_s):%H:%M}"

    def _at(self, sample: float) -> str:
        """Time of a sample: by the clock where the start is known, with the day after the first."""
        if self._start is None:
            return clock(sample / self._fs_hz)
        moment = self._start + datetime.timedelta(seconds=sample / self._fs_hz)
        days = (moment.date() - self._start.date()).days
        return f"{moment:%H:%M:%S}" + (f" +{days} d" if days else "")

    # -- sections ------------------------------------------------------------------------------------------------

    def _record(self) -> list[tuple[str, str]]:
        f = self._f
        start = "not known" if self._start is None else f"{self._start:%Y-%m-%d %H:%M:%S} {self._start.tzname() or ''}"
        return [
            ("Record", f.name),
            ("Source", f.source),
            ("Lead", f"{f.lead or 'not known'}, {self._fs_hz:g} Hz"),
            ("Start", start.strip() + ("" if self._start else "; times count from the start of the record")),
            ("Made", f"{f.made}, ecg-monitor {f.version}"),
            *([("Review", f.review)] if f.review else []),
        ]

    def _summary(self) -> list[tuple[str, str]]:
        f, beats, survey = self._f, self._f.beats, self._f.survey
        read_s = survey.samples / self._fs_hz
        scored, odd = int(beats.scored.sum()), int(beats.anomalous.sum())
        rr_s = beats.rr_s[beats.between_scored]
        lows = [h.min_bpm for h in f.hours if h.min_bpm is not None]
        highs = [h.max_bpm for h in f.hours if h.max_bpm is not None]
        rate = "not known"
        if rr_s.size:
            rate = f"mean {60 / rr_s.mean():.0f}"
            rate += f", lowest {min(lows):.0f}, highest {max(highs):.0f} a minute" if lows and highs else " a minute"
        reasons: dict[str, int] = {}
        for row in np.flatnonzero(~beats.scored).tolist():
            reasons[beats.quality[row]] = reasons.get(beats.quality[row], 0) + 1
        why = ", ".join(f"{word} {n}" for word, n in sorted(reasons.items(), key=lambda pair: -pair[1])[:6])
        return [
            ("Signal", f"{span(read_s)} read, {span(f.samples_lost / self._fs_hz)} missing in gaps, "
                       f"{span(survey.invalid / self._fs_hz)} without a valid value"),
            ("Analysed", f"{span(self._analysed_s)} between scored beats, {share(self._analysed_s, read_s)} of it"),
            ("Beats", f"{beats.r_sample.size}, {scored} scored" + (f"; not scored: {why}" if why else "")),
            ("Heart rate", rate),
            ("Anomalous", f"{odd} beats, {share(odd, scored)} of scored: "
                          f"{int(f.kinds.ventricular.sum())} ventricular-looking, {int(f.kinds.early.sum())} early of "
                          f"usual shape, {int(f.kinds.other.sum())} other"),
            ("Irregular", self._burden()),
        ]  # fmt: skip

    def _burden(self) -> str:
        number, total_s = self._irregular()
        return (
            f"{span(total_s)} of irregular rhythm (suspected AF) in {number} episode{'s' * (number != 1)}, "
            f"{share(total_s, self._analysed_s)} of the analysed time"
        )

    def _irregular(self) -> tuple[int, float]:
        """Episodes of irregular rhythm: their number and their time, s."""
        own = [e for e in self._f.episodes if e.kind == "irregular_rhythm"]
        return len(own), sum(self._lasted_s(e) for e in own)

    def _hour_table(self) -> str:
        rows = [
            (
                self._hour(h.hour), str(h.beats), str(h.unscored), f"{h.analysed_s / 60:.1f}", value_text(h.min_bpm),
                value_text(h.mean_bpm), value_text(h.max_bpm), str(h.ventricular), str(h.early), str(h.other),
            )
            for h in self._f.hours
        ]  # fmt: skip
        heads = ("from", "beats", "not scored", "analysed, min", "min", "mean", "max", "ventricular", "early", "other")
        return f"<section class=long><h2>By {self._every}</h2>{rows_table(heads, rows)}</section>"

    def _hrv(self) -> str:
        beats = self._f.beats
        return hrv_section(self._f.hrv, float(beats.rr_s[beats.nn].sum()), self._irregular()[1], self._analysed_s)

    def _patterns(self) -> str:
        p = self._f.patterns
        rows = [
            ("single", str(p.single), "neither before nor after another one"),
            ("couplets", str(len(p.couplets)), self._first_of(p.couplets)),
            ("runs of three or more", str(len(p.runs)), self._first_of(p.runs)),
            ("bigeminy, three cycles or more", str(len(p.bigeminy)), self._longest_of(p.bigeminy)),
            ("trigeminy, three cycles or more", str(len(p.trigeminy)), self._longest_of(p.trigeminy)),
        ]
        text = rows_table(("ventricular-looking beats", "number", "where"), rows, left=(0, 2))
        runs = sorted(p.runs, key=lambda run: -run.beats)[:_LISTED]
        if runs:
            listed = [(self._at(self._r(run.first)), str(run.beats), self._rate(run)) for run in runs]
            text += f"<h3>Longest runs</h3>{rows_table(('time', 'beats', 'rate, a minute'), listed)}"
        return f"<section><h2>Ectopic beats</h2>{text}</section>"

    def _pauses(self) -> str:
        beats = self._f.beats
        rr_s = np.where(beats.between_scored, beats.rr_s, 0.0)
        rows = np.flatnonzero(rr_s >= PAUSE_S)
        rows = rows[np.argsort(-rr_s[rows], kind="stable")]
        text = f"<p>RR intervals of {PAUSE_S:g} s or more: {rows.size}; of 3 s or more: {int(np.sum(rr_s >= 3.0))}.</p>"
        if rows.size:
            listed = [(self._at(self._r(row - 1)), f"{rr_s[row]:.2f}") for row in rows[:_LISTED].tolist()]
            text += rows_table(("after the beat at", "RR, s"), listed)
        return f"<section><h2>Pauses</h2>{text}</section>"

    def _episodes(self) -> str:
        rows: list[tuple[str, ...]] = []
        listed: list[tuple[str, ...]] = []
        for kind, name in _EPISODES.items():
            own = [e for e in self._f.episodes if e.kind == kind]
            spans_s = [self._lasted_s(e) for e in own]
            rows.append((name, str(len(own)), span(sum(spans_s)), span(max(spans_s, default=0.0))))
            longest = sorted(zip(spans_s, own, strict=True), key=lambda pair: -pair[0])[:_LISTED]
            for s, e in longest:
                lasted = span(s) + ("" if e.end_sample >= 0 else ", to the end")
                listed.append((self._at(e.first_sample), name, lasted, e.text))
        text = rows_table(("alarm", "episodes", "in all", "longest"), rows, left=(0,))
        if listed:
            text += (
                f"<h3>Longest of each</h3>{rows_table(('time', 'alarm', 'duration', 'reason'), listed, left=(0, 1, 3))}"
            )
        note = "An alarm that is switched off, or covered by a more serious one, is not counted."
        return f"<section class=flow><h2>Rhythm episodes</h2><p>{note}</p>{text}<p>{NO_ST}</p></section>"

    def _shapes(self) -> str:
        shapes = self._f.shapes
        scored = int(self._f.beats.scored.sum())
        cells = []
        for number, shape in enumerate(shapes[:_SHAPES], 1):
            n, odd = shape.rows.size, int(self._f.beats.anomalous[shape.rows].sum())
            cells.append(
                f"<figure>{beat_picture(shape.mean_mv, shapes[0].mean_mv)}<figcaption><b>{number}</b>: "
                f"{n} beat{'s' * (n != 1)}, {share(n, scored)}<br>{odd} anomalous, likeness {shape.likeness:.2f}<br>"
                f"first at {escaped_html(self._at(self._r(int(shape.rows[0]))))}</figcaption></figure>"
            )
        in_more = sum(shape.rows.size for shape in shapes[_SHAPES:])
        left = scored - sum(shape.rows.size for shape in shapes)
        more = f"<p>{in_more} beats in {len(shapes) - _SHAPES} further shapes.</p>" if len(shapes) > _SHAPES else ""
        more += f"<p>{left} scored beats at the edge of the signal or in no shape.</p>" if left > 0 else ""
        note = (
            "Scored beats whose QRS correlates. Black: mean of the shape; grey: mean of shape 1, the one with most "
            "usual beats; likeness is their correlation."
        )
        grid = f"<div class=grid>{''.join(cells)}</div>"
        return f"<section class=flow><h2>Shapes of beats</h2><p>{note}</p>{grid}{more}</section>"

    def _strips(self) -> str:
        f = self._f
        drawn = [
            draw_chosen(strip, samples, f.beats, f.name, f.lead, self._at(strip.at_sample), f"s{number}-")
            for number, (strip, samples) in enumerate(zip(f.strips, f.survey.strips, strict=True))
        ]
        body = "".join(f"<div class=strip>{svg}</div>" for svg in drawn) or "<p>No strip: no scored beat.</p>"
        return f"<section class=long><h2>Strips</h2>{body}</section>"

    def _about(self) -> str:
        f = self._f
        limits = "".join(f"<li>{escaped_html(limit)}</li>" for limit in (*LIMITS, REVIEWED if f.review else UNREVIEWED))
        model = f"Model {escaped_html(f.model.name)}, SHA-256 <code>{escaped_html(f.model.sha256)}</code>."
        return f"<section><h2>Limits</h2><ul>{limits}</ul><p>{model}</p></section>"

    def _disclosure(self) -> str:
        f, beats = self._f, self._f.beats
        odd_s = beats.time_s[beats.anomalous]
        pages: list[str] = []
        for first in range(0, len(f.survey.lowest), _LINES_OF_A_PAGE):
            lines = []
            for n in range(first, min(first + _LINES_OF_A_PAGE, len(f.survey.lowest))):
                low, high = np.searchsorted(odd_s, [n * LINE_S, (n + 1) * LINE_S]).tolist()
                marks = (odd_s[low:high] / LINE_S - n).tolist()
                label = self._at(n * LINE_S * self._fs_hz).split(" ")[0]
                lines.append(disclosure_line(f.survey.lowest[n], f.survey.highest[n], label, marks))
            pages.append(f"<div class=full>{''.join(lines)}</div>")
        note = "One line is one minute, 3 mm/mV; a red mark is an anomalous beat; no trace: no valid signal."
        return f"<section class='long page'><h2>Full disclosure</h2><p>{note}</p>{''.join(pages)}</section>"

    # -- parts ---------------------------------------------------------------------------------------------------

    def _r(self, row: int) -> int:
        return int(self._f.beats.r_sample[row])

    def _rate(self, run: Pattern) -> str:
        seconds = (self._r(run.last) - self._r(run.first)) / self._fs_hz
        return f"{60 * (run.beats - 1) / seconds:.0f}"

    def _first_of(self, patterns: Sequence[Pattern]) -> str:
        return f"first at {self._at(self._r(patterns[0].first))}" if patterns else "-"

    def _longest_of(self, patterns: Sequence[Pattern]) -> str:
        if not patterns:
            return "-"
        longest = max(patterns, key=lambda pattern: pattern.beats)
        return f"longest: {longest.beats} beats at {self._at(self._r(longest.first))}"

    def _lasted_s(self, episode: Episode) -> float:
        end = episode.end_sample if episode.end_sample >= 0 else self._f.survey.end_sample
        return max(0.0, (end - episode.first_sample) / self._fs_hz)
