"""What a source was understood as: its description, its gaps, and its first seconds as samples."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector import Detector, QualitySpan, Tick
from monitor.engine.scale_report import unit_text
from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream, Source
from monitor.sources.checks import checked_chunk

__all__ = ["DRAWN_S", "Inspection", "inspect_source"]

DRAWN_S: Final = 5.0
_CHUNK_S = 0.5
_LIVE_WAIT_S = 0.01
_LATE_S = 10.0  # beyond the wanted span; then a live source without signal is not waited for any more


@dataclass(slots=True)
class Inspection:
    """Result of reading the first seconds of a source.

    Attributes:
        read_s: signal read, gaps included, s.
        first_sample: index of the first sample that was read.
        drawn: (n,) float64, mV, the first DRAWN_S; NaN where there is no sample.
        low_mv, high_mv: range of the valid samples; NaN without any.
        gaps: (first missing sample, number of samples), in order.
        invalid: samples without a valid value.
        beats: R-peaks found.
        rate_bpm: median heart rate, 1/min; NaN with fewer than three R-peaks.
        unit_hint: likely unit and the flag that mends it, where the samples are not in mV; else empty.
        notices: texts of the source's notices.
        ended: the source ended within the span.
        error: why reading stopped; empty = it did not.

    Many attributes: each is a line of the report.
    """

    read_s: float = 0.0
    first_sample: int = 0
    drawn: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    low_mv: float = float("nan")
    high_mv: float = float("nan")
    gaps: list[tuple[int, int]] = field(default_factory=list)
    invalid: int = 0
    beats: int = 0
    rate_bpm: float = float("nan")
    unit_hint: str = ""
    notices: list[str] = field(default_factory=list)
    ended: bool = False
    error: str = ""


def inspect_source(source: Source, span_s: float) -> Inspection:
    """Read the first `span_s` seconds of signal of an open source, and find R-peaks in them.

    A live source is read for `span_s` seconds of its own time, and is waited for 10 s more at most.
    """
    found = Inspection()
    detector = Detector(source.fs_hz, source.rails_mv)
    r_peaks: list[int] = []
    next_sample: int | None = None
    until_s = time.monotonic() + span_s + _LATE_S
    while found.read_s < span_s and not found.ended and not found.error:
        most = max(1, round(min(_CHUNK_S, span_s - found.read_s) * source.fs_hz))
        try:
            if (chunk := source.read(most)) is not None:
                chunk = checked_chunk(chunk, source.name, due=next_sample or 0, most=most, fs_hz=source.fs_hz)
        except EndOfStream:
            found.ended = True
            break
        except SourceError as error:
            found.error = str(error)
            break
        if chunk is not None:
            found.notices += [notice.text for notice in chunk.notices]
        if chunk is None or not chunk.samples.size:
            if (chunk is None or source.live) and time.monotonic() > until_s:
                found.error = f"{source.name}: {found.read_s:.1f} s of signal came in {span_s + _LATE_S:g} s"
            time.sleep(_LIVE_WAIT_S)
            continue
        if next_sample is None:
            next_sample = found.first_sample = chunk.first_sample
        _take(found, chunk, next_sample, source.fs_hz)
        for event in detector.advance(chunk.samples, chunk.first_sample):
            if isinstance(event, Tick):
                r_peaks += event.r_samples
            elif isinstance(event, QualitySpan) and event.scale is not None:
                found.unit_hint = unit_text(
                    event.scale, getattr(source, "unit", "mV"), getattr(source, "mv_per_unit", 1.0)
                )
        next_sample = chunk.first_sample + chunk.samples.size
        found.read_s = (next_sample - found.first_sample) / source.fs_hz
    found.beats = len(r_peaks)
    if found.beats >= 3:
        found.rate_bpm = 60.0 * source.fs_hz / float(np.median(np.diff(r_peaks)))
    return found


def _take(found: Inspection, chunk: Chunk, next_sample: int, fs_hz: float) -> None:
    """Add the samples of a chunk to the counts and to the drawing."""
    missing = chunk.first_sample - next_sample
    if missing > 0:
        found.gaps.append((next_sample, missing))
    valid = chunk.samples[np.isfinite(chunk.samples)]
    found.invalid += chunk.samples.size - valid.size
    if valid.size:
        found.low_mv = float(np.fmin(found.low_mv, valid.min()))
        found.high_mv = float(np.fmax(found.high_mv, valid.max()))
    room = round(DRAWN_S * fs_hz) - found.drawn.size
    if room > 0:
        hole = np.full(min(max(0, missing), room), np.nan)
        found.drawn = np.concatenate([found.drawn, hole, chunk.samples])[: found.drawn.size + room]
