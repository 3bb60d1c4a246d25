"""Counts and rates of a record: coverage, heart rate by hour, ectopic beats and their patterns, pauses, episodes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.clusters import Shape

__all__ = [
    "HOUR_S",
    "PAUSE_S",
    "SHORT_RECORD_S",
    "SHORT_S",
    "Episode",
    "HourFigures",
    "Kinds",
    "Pattern",
    "Patterns",
    "by_hour",
    "kinds_of",
    "patterns_of",
    "smoothed_rates_bpm",
]

PAUSE_S: Final = 2.0
LIKENESS: Final = 0.88  # a shape less like the first one is another one, as in `monitor.alarms.ectopy`
EARLY: Final = 0.85  # of the median of the 8 intervals before
_RATE_BEATS: Final = 8
HOUR_S: Final = 3600.0
SHORT_RECORD_S, SHORT_S = 2 * HOUR_S, 300.0  # up to this length a record is divided into these


@dataclass(frozen=True, slots=True)
class Episode:
    """An alarm as an episode.

    Attributes:
        kind: of the alarm.
        first_sample, end_sample: its cause, samples of the record.
        text: of the alarm.
    """

    kind: str
    first_sample: int
    end_sample: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Kinds of anomalous beats; each (n,) bool.

    Attributes:
        ventricular: anomalous, of another QRS shape than the patient's usual one; or labelled V or F by a reviewer.
        early: anomalous, of the usual shape, and early; or labelled S.
        other: anomalous, neither; or labelled Q.
    """

    ventricular: NDArray[np.bool_]
    early: NDArray[np.bool_]
    other: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class HourFigures:
    """One hour of a record, or another stretch of a fixed length.

    Attributes:
        hour: its number; 0 = the first, from sample 0 of the record.
        beats, unscored, ventricular, early, other: counts.
        analysed_s: time between scored beats, s.
        min_bpm, max_bpm: of the mean of 8 intervals, beats a minute; None without any.
        mean_bpm: over the intervals between scored beats.
    """

    hour: int
    beats: int
    unscored: int
    ventricular: int
    early: int
    other: int
    analysed_s: float
    min_bpm: float | None
    mean_bpm: float | None
    max_bpm: float | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sequence of beats, by their rows; `last` is included."""

    first: int
    last: int

    @property
    def beats(self) -> int:
        """Number of beats."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Patterns:
    """Sequences of ventricular-looking beats: two, three or more in a row, every second, every third (three cycles)."""

    single: int
    couplets: tuple[Pattern, ...]
    runs: tuple[Pattern, ...]
    bigeminy: tuple[Pattern, ...]
    trigeminy: tuple[Pattern, ...]


def kinds_of(beats: HolterBeats, shapes: Sequence[Shape]) -> Kinds:
    """Sort the anomalous beats by the label of a reviewer; without one by shape and prematurity."""
    differs = np.zeros(beats.r_sample.size, np.bool_)
    for shape in shapes:
        if shape.likeness < LIKENESS:
            differs[shape.rows] = True
    own = beats.anomalous & beats.labelled("")
    ventricular = (own & differs) | beats.labelled("V", "F")
    early = (own & ~differs & (beats.rr_s < EARLY * _usual_rr_s(beats.rr_s))) | beats.labelled("S")
    return Kinds(ventricular, early, beats.anomalous & ~ventricular & ~early)


def by_hour(beats: HolterBeats, kinds: Kinds, end_s: float, every_s: float = HOUR_S) -> list[HourFigures]:
    """Every hour (every `every_s`) from sample 0 to `end_s`, also those without a beat."""
    rr_s = np.where(beats.between_scored, beats.rr_s, np.nan)
    rates = smoothed_rates_bpm(beats)
    hour = (beats.time_s // every_s).astype(np.int64)
    hours = max(1, int(np.ceil(end_s / every_s)), *(hour[-1:] + 1).tolist())
    found = []
    edges = np.searchsorted(hour, np.arange(hours + 1))
    for number in range(hours):
        own = slice(int(edges[number]), int(edges[number + 1]))
        known = rr_s[own][np.isfinite(rr_s[own])]
        smooth = rates[own][np.isfinite(rates[own])]
        found.append(
            HourFigures(
                number,
                own.stop - own.start,
                int(np.sum(~beats.scored[own])),
                int(kinds.ventricular[own].sum()),
                int(kinds.early[own].sum()),
                int(kinds.other[own].sum()),
                float(known.sum()),
                float(smooth.min()) if smooth.size else None,
                float(60.0 * known.size / known.sum()) if known.size else None,
                float(smooth.max()) if smooth.size else None,
            )
        )
    return found


def patterns_of(beats: HolterBeats, ventricular: NDArray[np.bool_]) -> Patterns:
    """Sequences within stretches of scored beats with known intervals.

    Args:
        beats: of the record.
        ventricular: (n,) bool.
    """
    letters: list[str] = []
    rows: list[int] = []
    joined, scored = beats.between_scored.tolist(), beats.scored.tolist()
    for row, is_v in enumerate(ventricular.tolist()):
        if not joined[row]:
            letters.append("|")
            rows.append(row)
        letters.append("V" if is_v else "N" if scored[row] else "|")
        rows.append(row)
    text = "".join(letters)

    def found(pattern: str) -> tuple[Pattern, ...]:
        return tuple(Pattern(rows[m.start()], rows[m.end() - 1]) for m in re.finditer(pattern, text))

    in_a_row = Counter(min(3, len(match)) for match in re.findall("V+", text))
    return Patterns(
        in_a_row[1],
        found(r"(?<!V)VV(?!V)"),
        found(r"V{3,}"),
        found(r"(?:NV){3,}"),
        found(r"(?:NNV){3,}"),
    )


def smoothed_rates_bpm(beats: HolterBeats) -> NDArray[np.float64]:
    """(n,) heart rate over the last 8 intervals between scored beats, beats a minute; NaN where not known."""
    rr_s = np.where(beats.between_scored, beats.rr_s, np.nan)
    rates = np.full(rr_s.size, np.nan)
    if rr_s.size >= _RATE_BEATS:
        sums = np.lib.stride_tricks.sliding_window_view(rr_s, _RATE_BEATS).sum(axis=1)
        rates[_RATE_BEATS - 1 :] = 60.0 * _RATE_BEATS / sums
    return rates


def _usual_rr_s(rr_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) median of the 8 intervals before each; NaN at the start."""
    usual = np.full(rr_s.size, np.nan)
    if rr_s.size > _RATE_BEATS:
        usual[_RATE_BEATS:] = np.median(np.lib.stride_tricks.sliding_window_view(rr_s[:-1], _RATE_BEATS), axis=1)
    return usual
