"""The worst strips of a record as SVG files, drawn like those of alarms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.archive.summary import WorstStrip
from monitor.archive.worst import BeatStrip
from monitor.engine.bed import Bed
from monitor.messages import Alarm
from monitor.reports.marked_beats import MarkedBeat
from monitor.reports.strip_svg import StripPicture, draw_strip

__all__ = ["write_strips"]


def write_strips(folder: Path, below: str, bed: Bed, strips: Sequence[BeatStrip]) -> tuple[WorstStrip, ...]:
    """Draw strips into `folder`/`below`, the first as `1.svg`, or raise OSError."""
    written = []
    for number, strip in enumerate(strips, 1):
        file = f"{below}/{number}.svg"
        (folder / file).write_text(_drawn(bed, strip, number, len(strips)), encoding="utf-8")
        beat = strip.beat
        written.append(
            WorstStrip(
                file=file,
                first_sample=strip.first_sample,
                end_sample=strip.first_sample + strip.samples.size,
                r_sample=beat.r_sample,
                time_s=round(beat.r_sample / bed.source.fs_hz, 3),
                score=beat.score or 0.0,
                p_value=beat.p_value,
                anomalous=beat.anomalous,
                words=beat.words,
            )
        )
    return tuple(written)


def _drawn(bed: Bed, strip: BeatStrip, number: int, of: int) -> str:
    beat = strip.beat
    why = ", ".join(beat.words) if beat.anomalous else "not anomalous for this patient"
    text = f"score {beat.score:g}, limit {beat.threshold:g}, p {beat.p_value:g}" + (f": {why}" if why else "")
    mark = Alarm(
        alarm_id=f"{bed.name}/worst/{beat.r_sample}",
        bed=bed.name,
        kind="anomalous_beat",
        category="physiological",
        priority="low",
        state="onset",
        onset_sample=beat.r_sample,
        decided_sample=beat.r_sample,
        text=text,
    )
    return draw_strip(
        StripPicture(
            strip.first_sample,
            bed.source.fs_hz,
            strip.samples,
            mark,
            [MarkedBeat(b.r_sample, b.score, b.threshold, b.anomalous, b.words) for b in strip.beats],
            f"{beat.r_sample / bed.source.fs_hz:.1f} s into the record",
            bed.source.lead,
            bed.source.name,
            "filter 0.5 to 40 Hz",
            f"R-peak at sample {beat.r_sample}  ·  model {bed.model.name} {bed.model.sha256[:12]}",
            title=f"highest scores, {number} of {of}",
            pulses=strip.pulses,
        )
    )
