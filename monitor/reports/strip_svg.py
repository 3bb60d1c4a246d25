"""The strip of an alarm on ECG paper, as SVG in true millimetres: 25 mm/s, 10 mm/mV.

One unit of the drawing is one millimetre, so a print at 100 % may be measured with a ruler. Speed, gain and the
calibration pulse (1 mV for 200 ms) are those of the usual resting ECG (Kligfield et al., AHA/ACC/HRS recommendations
for the standardization of the electrocardiogram, part I, 2007, doi:10.1161/CIRCULATIONAHA.106.180200).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from monitor.messages import Alarm, BeatMessage

__all__ = ["MM_PER_MV", "MM_PER_S", "MarkedBeat", "StripPicture", "draw_strip", "marked_beats"]

MM_PER_S: Final = 25.0
MM_PER_MV: Final = 10.0
LEFT_MM: Final = 12.0  # of the paper; a second of the calibration pulse lies before the trace
PULSE_MM: Final = 15.0
RIGHT_MM: Final = 8.0
TOP_MM: Final = 38.0  # of the paper
UP_MM: Final = (20.0, 45.0)  # least and most above the baseline: room for 2 to 4.5 mV
DOWN_MM: Final = (15.0, 35.0)
SCORE_MM: Final = 22.0  # height of the score trace
CLIP_MARK_MM: Final = 3.0  # one mark for what leaves the paper within so much
GAP_WORDS_MM: Final = 22.0
CHAR_MM: Final = 0.55  # width of a letter, times its size

_STYLE: Final = (
    "text{font-family:'DejaVu Sans',Arial,sans-serif;fill:#222}"
    ".mm{stroke:#f3cfca;stroke-width:.1}.cm{stroke:#e39d94;stroke-width:.22}"
    ".ecg{stroke:#111;stroke-width:.32;fill:none;stroke-linejoin:round;stroke-linecap:round}"
    ".odd{fill:#c4122f}.usual{fill:#333}.unscored{fill:#fff;stroke:#666;stroke-width:.25}"
    ".band{fill:#c4122f;fill-opacity:.11}.clip{fill:#c4122f}"
    ".event{stroke:#1c4fa0;stroke-width:.3;stroke-dasharray:1.4 1}"
    ".limit{stroke:#b36b00;stroke-width:.3;fill:none;stroke-dasharray:2 1}.axis{stroke:#888;stroke-width:.2;fill:none}"
    ".stem{stroke:#333;stroke-width:.35}.stem.odd{stroke:#c4122f}"
)


class MarkedBeat(NamedTuple):
    """An R-peak of the strip.

    Attributes:
        r_sample: source samples.
        score, threshold: higher = more anomalous, and over which it counts; None where not scored.
        anomalous: whether it did.
        words: why, e.g. `("wide", "early")`.
    """

    r_sample: int
    score: float | None
    threshold: float | None
    anomalous: bool
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StripPicture:
    """What is drawn.

    Attributes:
        first_sample: index of the first column, source samples.
        fs_hz: sampling rate, Hz.
        samples: (n,) mV; NaN = no valid sample, left open.
        alarm: whose strip it is.
        beats: R-peaks, in order.
        time: of the onset, for the header.
        lead, source, filtered: for the header, e.g. `MLII`, `mitdb:208`, `0.5-40 Hz`.
        foot: one line below, e.g. model and run.
        title: instead of kind and priority, where it is no alarm's strip.
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


def marked_beats(beats: Iterable[BeatMessage], alarm: Alarm) -> list[MarkedBeat]:
    """Beats as the journal has them, and those of the evidence, which may know more words or be all that is left."""
    found = {b.r_sample: MarkedBeat(b.r_sample, b.score, b.threshold, b.anomalous, b.words) for b in beats}
    evidence = alarm.evidence
    for n, r_sample in enumerate(evidence.r_samples):
        score = evidence.score[n] if n < len(evidence.score) else None
        words = evidence.words[n] if n < len(evidence.words) else ()
        known = found.get(r_sample)
        if known is not None:
            found[r_sample] = known._replace(words=words or known.words)
        else:
            odd = bool(words) or (score is not None and evidence.threshold is not None and score > evidence.threshold)
            found[r_sample] = MarkedBeat(r_sample, score, evidence.threshold, odd, words)
    return [found[r_sample] for r_sample in sorted(found)]


def draw_strip(picture: StripPicture) -> str:
    """The strip as an SVG document."""
    return _Drawing(picture).document()


class _Drawing:
    def __init__(self, picture: StripPicture) -> None:
        self._p = picture
        finite = picture.samples[np.isfinite(picture.samples)]
        # The median, not the mean: a few large beats must not move the line the rest lies on.
        self._zero_mv = float(np.median(finite)) if finite.size else 0.0
        high = float(finite.max()) - self._zero_mv if finite.size else 0.0
        low = self._zero_mv - float(finite.min()) if finite.size else 0.0
        self._up_mm = _room(high, UP_MM)
        self._down_mm = _room(low, DOWN_MM)
        self._seconds = picture.samples.size / picture.fs_hz
        self._x0 = LEFT_MM + PULSE_MM
        self._width_mm = math.ceil(self._seconds * MM_PER_S / 5) * 5.0
        self._x1 = self._x0 + self._width_mm
        self._base = TOP_MM + self._up_mm
        self._bottom = self._base + self._down_mm
        self._score_top = self._bottom + 12.0
        self._score_bottom = self._score_top + SCORE_MM
        last = picture.first_sample + picture.samples.size
        self._beats = [beat for beat in picture.beats if picture.first_sample <= beat.r_sample < last]

    def document(self) -> str:
        """All of it."""
        width, height = self._x1 + RIGHT_MM, self._score_bottom + 14.0
        parts = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
            f'viewBox="0 0 {width:g} {height:g}">',
            f"<title>{_plain(self._p.alarm.alarm_id)}</title>",
            f"<style>{_STYLE}</style>",
            f'<clipPath id="paper"><rect x="{LEFT_MM:g}" y="{TOP_MM:g}" width="{self._x1 - LEFT_MM:g}" '
            f'height="{self._bottom - TOP_MM:g}"/></clipPath>',
            f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
            *self._header(width),
            *self._paper(),
            *self._bands(),
            *self._events(),
            self._pulse(),
            self._trace(),
            *self._gaps(),
            *self._clip_marks(),
            *self._marks(),
            *self._seconds_axis(),
            *self._score(),
            *self._footer(height),
            "</svg>",
        ]
        return "\n".join(part for part in parts if part) + "\n"

    # -- around the paper ------------------------------------------------------------------------------------

    def _header(self, width: float) -> list[str]:
        p, alarm = self._p, self._p.alarm
        lead = f"lead {p.lead}" if p.lead else "lead not known"
        facts = [lead, p.source, f"{MM_PER_S:g} mm/s", f"{MM_PER_MV:g} mm/mV", p.filtered, f"{p.fs_hz:g} Hz"]
        title = p.title or f"{alarm.kind.replace('_', ' ')} ({alarm.priority}, {alarm.category})"
        most = int((width - 2 * LEFT_MM) / (3.4 * CHAR_MM))
        text = alarm.text if len(alarm.text) <= most else alarm.text[: most - 1] + "…"
        return [
            _text(LEFT_MM, 9, 5.0, title, weight="bold"),
            _text(width - RIGHT_MM, 9, 4.0, f"bed {alarm.bed}  ·  {p.time}", anchor="end"),
            _text(LEFT_MM, 15.5, 3.4, text),
            _text(LEFT_MM, 21, 3.0, "  ·  ".join(fact for fact in facts if fact)),
            _text(width - RIGHT_MM, 21, 2.6, "● usual   ▼ anomalous   ○ not scored", anchor="end"),
        ]

    def _footer(self, height: float) -> list[str]:
        return [
            _text(LEFT_MM, height - 3, 2.6, self._p.foot),
            _text(self._x1, height - 3, 2.6, "Not a medical device. For research and teaching only.", anchor="end"),
        ]

    def _paper(self) -> list[str]:
        width, height = self._x1 - LEFT_MM, self._bottom - TOP_MM
        fine: list[str] = []
        bold: list[str] = []
        for mm in range(round(width) + 1):
            (fine if mm % 5 else bold).append(f"M{LEFT_MM + mm:g} {TOP_MM:g}v{height:g}")
        for mm in range(round(height) + 1):
            (fine if mm % 5 else bold).append(f"M{LEFT_MM:g} {TOP_MM + mm:g}h{width:g}")
        return [
            f'<rect x="{LEFT_MM:g}" y="{TOP_MM:g}" width="{width:g}" height="{height:g}" fill="#fffafa"/>',
            f'<path id="grid-1mm" class="mm" d="{"".join(fine)}"/>',
            f'<path id="grid-5mm" class="cm" d="{"".join(bold)}"/>',
        ]

    def _pulse(self) -> str:
        high, wide = MM_PER_MV, 0.2 * MM_PER_S
        d = f"M{LEFT_MM + 2:g} {self._base:g}h3v{-high:g}h{wide:g}v{high:g}h3"
        return f'<path id="calibration" class="ecg" d="{d}"/>'

    def _seconds_axis(self) -> list[str]:
        """Seconds from the onset (of what is no alarm: from the beat), under each."""
        p = self._p
        onset_s = (p.alarm.onset_sample - p.first_sample) / p.fs_hz
        out = []
        for second in range(math.ceil(-onset_s), math.floor(self._seconds - onset_s) + 1):
            x = self._x0 + (onset_s + second) * MM_PER_S
            label = f"{second:+d} s" if second else "0 s" if p.title else "onset"
            out.append(f'<path class="axis" d="M{x:.2f} {self._bottom:g}v1.2"/>')
            out.append(_text(x, self._bottom + 4.2, 2.6, label, anchor="middle"))
        return out

    # -- on the paper ----------------------------------------------------------------------------------------

    def _x(self, sample: float) -> float:
        return self._x0 + (sample - self._p.first_sample) / self._p.fs_hz * MM_PER_S

    def _y(self, mv: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._base - (mv.astype(np.float64) - self._zero_mv) * MM_PER_MV

    def _trace(self) -> str:
        """One piece for each stretch of valid samples, so that a gap stays open."""
        pieces = []
        y = self._y(self._p.samples)
        for first, end in _runs(np.isfinite(self._p.samples)):
            points = [f"{self._x(self._p.first_sample + n):.3f} {y[n]:.3f}" for n in range(first, end)]
            pieces.append(f"M{points[0]}" + ("L" + " ".join(points[1:]) if len(points) > 1 else "h0"))
        return f'<path id="trace" class="ecg" clip-path="url(#paper)" d="{"".join(pieces)}"/>' if pieces else ""

    def _gaps(self) -> list[str]:
        """What an open stretch is, where there is room to say it."""
        out = []
        for first, end in _runs(~np.isfinite(self._p.samples)):
            left, right = self._x(self._p.first_sample + first), self._x(self._p.first_sample + end)
            if right - left >= GAP_WORDS_MM:
                out.append(_text((left + right) / 2, self._base - 1.2, 2.6, "no valid signal", anchor="middle"))
        return out

    def _clip_marks(self) -> list[str]:
        """An arrow at the edge where the trace has left the paper."""
        y = self._y(self._p.samples)
        out = []
        with np.errstate(invalid="ignore"):
            for beyond, edge, sign in ((y < TOP_MM, TOP_MM, 1.0), (y > self._bottom, self._bottom, -1.0)):
                last = -math.inf
                for first, end in _runs(beyond):
                    x = self._x(self._p.first_sample + (first + end - 1) / 2)
                    if x - last >= CLIP_MARK_MM:
                        out.append(f'<path class="clip" d="M{x:.2f} {edge:g}l-1.1 {2 * sign:g}h2.2z"/>')
                        last = x
        return out

    def _bands(self) -> list[str]:
        """A shade behind each anomalous beat, over about its QRS."""
        out = []
        for beat in self._beats:
            if beat.anomalous:
                x = self._x(beat.r_sample)
                left, right = max(self._x0, x - 2.5), min(self._x1, x + 3.0)
                out.append(
                    f'<rect class="band" x="{left:.2f}" y="{TOP_MM:g}" width="{right - left:.2f}" '
                    f'height="{self._bottom - TOP_MM:g}"/>'
                )
        return out

    def _events(self) -> list[str]:
        """Where the cause began, and where the alarm was decided."""
        alarm = self._p.alarm
        out = []
        for sample, label in ((alarm.onset_sample, ""), (alarm.decided_sample, "alarm")):
            x = self._x(sample)
            if self._x0 <= x <= self._x1:
                out.append(f'<path class="event" d="M{x:.2f} {TOP_MM:g}V{self._bottom:g}"/>')
                if label and sample > alarm.onset_sample:
                    end = x > self._x1 - 12
                    out.append(
                        _text(x + (-1 if end else 1), self._bottom - 1.2, 2.6, label, anchor="end" if end else "start")
                    )
        return out

    def _marks(self) -> list[str]:
        """R-peaks above the paper; of anomalous beats also why, where there is room."""
        out = []
        free = [-math.inf, -math.inf]  # where each line of words ends
        said: tuple[str, ...] = ()
        for beat in self._beats:
            x, y = self._x(beat.r_sample), TOP_MM - 1.0
            if not beat.anomalous:
                said = ()
                kind = "usual" if beat.score is not None else "unscored"
                out.append(f'<circle class="{kind}" cx="{x:.2f}" cy="{y - 1:g}" r=".7"/>')
                continue
            out.append(f'<path class="odd" data-r="{beat.r_sample}" d="M{x:.2f} {y:g}l-1.4 -2.6h2.8z"/>')
            words = ", ".join(beat.words)
            if not words or beat.words == said:
                continue
            left = max(LEFT_MM, min(x - 1.4, self._x1 - len(words) * 2.5 * CHAR_MM))
            for line, end in enumerate(free):
                if left > end + 1.5:
                    out.append(_text(left, TOP_MM - 5.2 - 3.3 * line, 2.5, words))
                    free[line] = left + len(words) * 2.5 * CHAR_MM
                    said = beat.words
                    break
        return out

    # -- score -----------------------------------------------------------------------------------------------

    def _score(self) -> list[str]:
        """Each beat's score on the same time axis, and the threshold it was held against."""
        top, bottom = self._score_top, self._score_bottom
        out = [f'<path class="axis" d="M{self._x0:g} {top:g}V{bottom:g}"/>']
        scored = [beat for beat in self._beats if beat.score is not None and math.isfinite(beat.score)]
        limits = [beat for beat in scored if beat.threshold is not None and math.isfinite(beat.threshold)]
        if not scored:
            middle = (self._x0 + self._x1) / 2
            return [*out, _text(middle, (top + bottom) / 2, 3.0, "no beat was scored", anchor="middle")]
        values = [beat.score or 0.0 for beat in scored] + [beat.threshold or 0.0 for beat in limits]
        low, high = min(0.0, *values), max(1.0, *values) * 1.08
        scale = (bottom - top) / (high - low)

        def at(value: float) -> float:
            return bottom - (value - low) * scale

        out.append(f'<path class="axis" d="M{self._x0:g} {at(0.0):.2f}H{self._x1:g}"/>')
        step = _nice((high - low) / 4)
        for n in range(math.ceil(low / step), math.floor(high / step) + 1):
            out.append(f'<path class="axis" d="M{self._x0:g} {at(n * step):.2f}h-1.2"/>')
            out.append(_text(self._x0 - 2, at(n * step) + 0.9, 2.4, f"{n * step:g}", anchor="end"))
        if limits:
            d = f"M{self._x0:g} {at(limits[0].threshold or 0.0):.3f}"
            d += "".join(f"H{self._x(b.r_sample):.3f}V{at(b.threshold or 0.0):.3f}" for b in limits) + f"H{self._x1:g}"
            out.append(f'<path id="threshold" class="limit" d="{d}"/>')
        last = f"; dashed: over which it is anomalous ({limits[-1].threshold:.1f})" if limits else ""
        out.append(_text(self._x0, top - 1.5, 2.6, f"anomaly score of each beat{last}"))
        for beat in scored:
            x, y, odd = self._x(beat.r_sample), at(beat.score or 0.0), " odd" if beat.anomalous else ""
            out.append(f'<path class="stem{odd}" d="M{x:.3f} {at(0.0):.3f}V{y:.3f}"/>')
            out.append(f'<circle class="{"odd" if odd else "usual"}" cx="{x:.3f}" cy="{y:.3f}" r=".8"/>')
        return out


def _room(mv: float, bounds: tuple[float, float]) -> float:
    """Millimetres on one side of the baseline, a multiple of 5."""
    return min(bounds[1], max(bounds[0], math.ceil((mv * MM_PER_MV + 2.0) / 5.0) * 5.0))


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and end index of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _nice(step: float) -> float:
    """The next larger of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step)


def _text(x: float, y: float, size: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size:g}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{_plain(text)}</text>"
    )


def _plain(text: str) -> str:
    """Escaped, and without the characters that XML does not know."""
    return escape("".join(c for c in text if c.isprintable()))
