"""A strip of ECG on ECG paper, as SVG in true millimetres: 25 mm/s, 10 mm/mV.

One unit of the drawing is one millimetre: a print at 100 % can be measured with a ruler. Speed, gain and the
calibration pulse (1 mV for 200 ms) are those of the standard resting ECG (Kligfield et al., AHA/ACC/HRS recommendations
for the standardization of the electrocardiogram, part I, 2007, doi:10.1161/CIRCULATIONAHA.106.180200).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.messages import Alarm
from monitor.reports.marked_beats import MarkedBeat
from monitor.reports.score_trace import draw_scores
from monitor.reports.svg_text import escaped, svg_text

__all__ = ["MM_PER_MV", "MM_PER_S", "StripPicture", "draw_strip"]

MM_PER_S: Final = 25.0
MM_PER_MV: Final = 10.0
LEFT_MM: Final = 12.0  # left edge of the paper
PULSE_MM: Final = 15.0  # width kept for the calibration pulse, before the trace
TRACE_MM: Final = LEFT_MM + PULSE_MM  # where the trace begins
RIGHT_MM: Final = 8.0
TOP_MM: Final = 38.0  # top edge of the paper
COMPACT_TOP_MM: Final = 28.0  # without the lines for reasons
UP_MM: Final = (20.0, 45.0)  # minimum and maximum above the baseline: 2 to 4.5 mV
DOWN_MM: Final = (15.0, 35.0)
SCORE_GAP_MM: Final = 12.0  # between paper and score panel
SCORE_MM: Final = 22.0  # height of the score panel
FOOTER_MM: Final = 8.0
PACER_MM: Final = 8.0  # height of the mark of a pacing pulse
CLIP_MARK_MM: Final = 3.0  # least distance between two marks of clipped signal
GAP_WORDS_MM: Final = 22.0  # least width of a gap that gets a label
CHAR_MM: Final = 0.55  # width of a letter over its font size

_STYLE: Final = (
    "text{font-family:'DejaVu Sans',Arial,sans-serif;fill:#222}"
    ".mm{stroke:#f3cfca;stroke-width:.1}.cm{stroke:#e39d94;stroke-width:.22}"
    ".ecg{stroke:#111;stroke-width:.32;fill:none;stroke-linejoin:round;stroke-linecap:round}"
    ".odd{fill:#c4122f}.usual{fill:#333}.unscored{fill:#fff;stroke:#666;stroke-width:.25}"
    ".band{fill:#c4122f;fill-opacity:.11}.clip{fill:#c4122f}"
    ".event{stroke:#1c4fa0;stroke-width:.3;stroke-dasharray:1.4 1}"
    ".limit{stroke:#b36b00;stroke-width:.3;fill:none;stroke-dasharray:2 1}.axis{stroke:#888;stroke-width:.2;fill:none}"
    ".pacer{stroke:#0a7d6b;stroke-width:.5}"
    ".stem{stroke:#333;stroke-width:.35}.stem.odd{stroke:#c4122f}"
)


@dataclass(frozen=True, slots=True)
class StripPicture:
    """Content of the drawing.

    Many attributes: each is drawn, or is an option of the drawing.

    Attributes:
        first_sample: index of the first column, source samples.
        fs_hz: sampling rate, Hz.
        samples: (n,) mV; NaN = no valid sample, drawn as a gap.
        alarm: the alarm of the strip.
        beats: R-peaks, in order.
        time: time of the onset, for the header.
        lead, source, filtered: for the header, e.g. `MLII`, `mitdb:208`, `0.5-40 Hz`.
        foot: line at the bottom, e.g. model and run.
        pulses: pacing pulses, source samples.
        title: replaces kind and priority in the header, for a strip without an alarm.
        compact: without reasons of anomalous beats and without the panel of scores, for several on a page.
    """

    first_sample: int
    fs_hz: float
    samples: NDArray[np.float32]
    alarm: Alarm
    beats: Sequence[MarkedBeat]
    time: str
    lead: str = ""
    source: str = ""
    filtered: str = ""
    foot: str = ""
    title: str = ""
    pulses: Sequence[int] = ()
    compact: bool = False


def draw_strip(picture: StripPicture, within: str = "") -> str:
    """Draw a strip as SVG.

    Args:
        picture: its content.
        within: beginning of its ids, unique in a page that holds several strips: then an element of that page, without
            XML declaration and footer; empty = a document of its own.
    """
    return _Drawing(picture, within).document()


class _Drawing:
    def __init__(self, picture: StripPicture, within: str) -> None:
        self._p = picture
        self._within = within
        finite = picture.samples[np.isfinite(picture.samples)]
        # The median, not the mean: a few large beats must not shift the baseline.
        self._zero_mv = float(np.median(finite)) if finite.size else 0.0
        high_mv = float(finite.max()) - self._zero_mv if finite.size else 0.0
        low_mv = self._zero_mv - float(finite.min()) if finite.size else 0.0
        self._top = COMPACT_TOP_MM if picture.compact else TOP_MM
        self._base = self._top + _room(high_mv, UP_MM)
        self._bottom = self._base + _room(low_mv, DOWN_MM)
        self._seconds = picture.samples.size / picture.fs_hz
        self._right = TRACE_MM + math.ceil(self._seconds * MM_PER_S / 5) * 5.0
        last = picture.first_sample + picture.samples.size
        self._beats = [beat for beat in picture.beats if picture.first_sample <= beat.r_sample < last]

    def document(self) -> str:
        """The SVG."""
        own, compact = self._within, self._p.compact
        score_top = self._bottom + SCORE_GAP_MM
        score_bottom = self._bottom if compact else score_top + SCORE_MM
        width, height = self._right + RIGHT_MM, score_bottom + 6.0 + (0.0 if own else FOOTER_MM)
        parts = [
            "" if own else '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
            f'viewBox="0 0 {width:g} {height:g}">',
            f"<title>{escaped(self._p.alarm.alarm_id)}</title>",
            f"<style>{_STYLE}</style>",
            f'<clipPath id="{own}paper"><rect x="{LEFT_MM:g}" y="{self._top:g}" width="{self._right - LEFT_MM:g}" '
            f'height="{self._bottom - self._top:g}"/></clipPath>',
            f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
            *self._header(width),
            *self._paper(),
            *self._bands(),
            *self._events(),
            *self._pacer(),
            self._pulse(),
            self._trace(),
            *self._gaps(),
            *self._clip_marks(),
            *self._marks(),
            *self._seconds_axis(),
            *(
                []
                if compact
                else draw_scores(self._beats, self._x, TRACE_MM, self._right, score_top, score_bottom, own)
            ),
            *([] if own else self._footer(height)),
            "</svg>",
        ]
        return "\n".join(part for part in parts if part) + "\n"

    # -- around the paper ------------------------------------------------------------------------------------

    def _header(self, width: float) -> list[str]:
        p, alarm = self._p, self._p.alarm
        lead = f"lead {p.lead}" if p.lead else "lead not known"
        facts = [lead, p.source, f"{MM_PER_S:g} mm/s", f"{MM_PER_MV:g} mm/mV", p.filtered, f"{p.fs_hz:g} Hz"]
        title = p.title or f"{alarm.kind.replace('_', ' ')} ({alarm.priority}, {alarm.category})"
        paced = "   | pacing pulse" if p.pulses else ""
        most = int((width - 2 * LEFT_MM) / (3.4 * CHAR_MM))
        text = alarm.text if len(alarm.text) <= most else alarm.text[: most - 1] + "…"
        return [
            svg_text(LEFT_MM, 9, 5.0, title, weight="bold"),
            svg_text(width - RIGHT_MM, 9, 4.0, f"{'' if p.title else 'bed '}{alarm.bed}  ·  {p.time}", anchor="end"),
            svg_text(LEFT_MM, 15.5, 3.4, text),
            svg_text(LEFT_MM, 21, 3.0, "  ·  ".join(fact for fact in facts if fact)),
            svg_text(width - RIGHT_MM, 21, 2.6, "● usual   ▼ anomalous   ○ not scored" + paced, anchor="end"),
        ]

    def _footer(self, height: float) -> list[str]:
        return [
            svg_text(LEFT_MM, height - 3, 2.6, self._p.foot),
            svg_text(
                self._right, height - 3, 2.6, "Not a medical device. For research and teaching only.", anchor="end"
            ),
        ]

    def _paper(self) -> list[str]:
        width, height = self._right - LEFT_MM, self._bottom - self._top
        fine: list[str] = []
        bold: list[str] = []
        for mm in range(round(width) + 1):
            (fine if mm % 5 else bold).append(f"M{LEFT_MM + mm:g} {self._top:g}v{height:g}")
        for mm in range(round(height) + 1):
            (fine if mm % 5 else bold).append(f"M{LEFT_MM:g} {self._top + mm:g}h{width:g}")
        return [
            f'<rect x="{LEFT_MM:g}" y="{self._top:g}" width="{width:g}" height="{height:g}" fill="#fffafa"/>',
            f'<path id="{self._within}grid-1mm" class="mm" d="{"".join(fine)}"/>',
            f'<path id="{self._within}grid-5mm" class="cm" d="{"".join(bold)}"/>',
        ]

    def _pulse(self) -> str:
        high, wide = MM_PER_MV, 0.2 * MM_PER_S
        d = f"M{LEFT_MM + 2:g} {self._base:g}h3v{-high:g}h{wide:g}v{high:g}h3"
        return f'<path id="{self._within}calibration" class="ecg" d="{d}"/>'

    def _seconds_axis(self) -> list[str]:
        """Seconds from the onset (without an alarm: from the beat)."""
        p = self._p
        onset_s = (p.alarm.onset_sample - p.first_sample) / p.fs_hz
        out = []
        for second in range(math.ceil(-onset_s), math.floor(self._seconds - onset_s) + 1):
            x = TRACE_MM + (onset_s + second) * MM_PER_S
            label = f"{second:+d} s" if second else "0 s" if p.title else "onset"
            out.append(f'<path class="axis" d="M{x:.2f} {self._bottom:g}v1.2"/>')
            out.append(svg_text(x, self._bottom + 4.2, 2.6, label, anchor="middle"))
        return out

    # -- on the paper ----------------------------------------------------------------------------------------

    def _x(self, sample: float) -> float:
        return TRACE_MM + (sample - self._p.first_sample) / self._p.fs_hz * MM_PER_S

    def _y(self, mv: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._base - (mv.astype(np.float64) - self._zero_mv) * MM_PER_MV

    def _trace(self) -> str:
        """One sub-path per stretch of valid samples; gaps stay open."""
        pieces = []
        y = self._y(self._p.samples)
        for first, end in _runs(np.isfinite(self._p.samples)):
            points = [f"{self._x(self._p.first_sample + n):.3f} {y[n]:.3f}" for n in range(first, end)]
            pieces.append(f"M{points[0]}" + ("L" + " ".join(points[1:]) if len(points) > 1 else "h0"))
        if not pieces:
            return ""
        own = self._within
        return f'<path id="{own}trace" class="ecg" clip-path="url(#{own}paper)" d="{"".join(pieces)}"/>'

    def _gaps(self) -> list[str]:
        """Label of each gap that is wide enough."""
        out = []
        for first, end in _runs(~np.isfinite(self._p.samples)):
            left, right = self._x(self._p.first_sample + first), self._x(self._p.first_sample + end)
            if right - left >= GAP_WORDS_MM:
                out.append(svg_text((left + right) / 2, self._base - 1.2, 2.6, "no valid signal", anchor="middle"))
        return out

    def _clip_marks(self) -> list[str]:
        """Arrows at the edge where the trace leaves the paper."""
        y = self._y(self._p.samples)
        out = []
        with np.errstate(invalid="ignore"):
            for beyond, edge, sign in ((y < self._top, self._top, 1.0), (y > self._bottom, self._bottom, -1.0)):
                last = -math.inf
                for first, end in _runs(beyond):
                    x = self._x(self._p.first_sample + (first + end - 1) / 2)
                    if x - last >= CLIP_MARK_MM:
                        out.append(f'<path class="clip" d="M{x:.2f} {edge:g}l-1.1 {2 * sign:g}h2.2z"/>')
                        last = x
        return out

    def _bands(self) -> list[str]:
        """Shading behind each anomalous beat, about as wide as its QRS."""
        out = []
        for beat in self._beats:
            if beat.anomalous:
                x = self._x(beat.r_sample)
                left, right = max(TRACE_MM, x - 2.5), min(self._right, x + 3.0)
                out.append(
                    f'<rect class="band" x="{left:.2f}" y="{self._top:g}" width="{right - left:.2f}" '
                    f'height="{self._bottom - self._top:g}"/>'
                )
        return out

    def _events(self) -> list[str]:
        """Lines at the onset and at the decision."""
        alarm = self._p.alarm
        out = []
        for sample, label in ((alarm.onset_sample, ""), (alarm.decided_sample, "alarm")):
            x = self._x(sample)
            if TRACE_MM <= x <= self._right:
                out.append(f'<path class="event" d="M{x:.2f} {self._top:g}V{self._bottom:g}"/>')
                if label and sample > alarm.onset_sample:
                    end = x > self._right - 12
                    out.append(
                        svg_text(
                            x + (-1 if end else 1), self._bottom - 1.2, 2.6, label, anchor="end" if end else "start"
                        )
                    )
        return out

    def _pacer(self) -> list[str]:
        """A line in the upper part of the paper at each pacing pulse."""
        at = [self._x(sample) for sample in self._p.pulses]
        inside = [x for x in at if TRACE_MM <= x <= self._right]
        return [f'<path class="pacer" d="M{x:.2f} {self._top:g}v{PACER_MM:g}"/>' for x in inside]

    def _marks(self) -> list[str]:
        """Marks of R-peaks above the paper; the reasons of anomalous beats where there is room."""
        out = []
        free = [-math.inf, -math.inf]  # right end of each text line
        printed: tuple[str, ...] = ()  # reasons of the previous beat, not repeated
        for beat in self._beats:
            x, y = self._x(beat.r_sample), self._top - 1.0
            if not beat.anomalous:
                printed = ()
                kind = "usual" if beat.score is not None else "unscored"
                out.append(f'<circle class="{kind}" cx="{x:.2f}" cy="{y - 1:g}" r=".7"/>')
                continue
            out.append(f'<path class="odd" data-r="{beat.r_sample}" d="M{x:.2f} {y:g}l-1.4 -2.6h2.8z"/>')
            words = "" if self._p.compact else ", ".join(beat.words)
            if not words or beat.words == printed:
                continue
            left = max(LEFT_MM, min(x - 1.4, self._right - len(words) * 2.5 * CHAR_MM))
            for line, end in enumerate(free):
                if left > end + 1.5:
                    out.append(svg_text(left, self._top - 5.2 - 3.3 * line, 2.5, words))
                    free[line] = left + len(words) * 2.5 * CHAR_MM
                    printed = beat.words
                    break
        return out


def _room(mv: float, bounds: tuple[float, float]) -> float:
    """Height on one side of the baseline, mm, a multiple of 5."""
    return min(bounds[1], max(bounds[0], math.ceil((mv * MM_PER_MV + 2.0) / 5.0) * 5.0))


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and end index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
