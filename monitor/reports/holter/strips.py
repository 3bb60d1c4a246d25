"""The strips of a report: which 6 s are shown, and their drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.messages import Alarm
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.measures import PAUSE_S, Episode, patterns_of, smoothed_rates_bpm
from monitor.reports.marked_beats import MarkedBeat
from monitor.reports.strip_svg import StripPicture, draw_strip

__all__ = ["STRIP_S", "ChosenStrip", "choose_strips", "draw_chosen"]

STRIP_S: Final = 6.0  # the widest at 25 mm/s that stands upright on A4 and Letter
_BEFORE_S: Final = 2.0
_APART_S: Final = 30.0
_WORST: Final = 4
_NAME: Final = 24  # characters of a record's name on a strip
_AROUND: Final = 9  # beats
_SERIOUS: Final = ("ventricular_fibrillation", "ventricular_run", "asystole")
_OF_A_KIND: Final = 2


@dataclass(frozen=True, slots=True)
class ChosenStrip:
    """A strip.

    Attributes:
        title, text: for its header.
        first_sample, n: its samples.
        at_sample: the sample that it is about; zero of its time axis.
    """

    title: str
    text: str
    first_sample: int
    n: int
    at_sample: int


def choose_strips(beats: HolterBeats, episodes: Sequence[Episode]) -> list[ChosenStrip]:
    """Typical strips first, then the worst; a strip that overlaps an earlier one is left out."""
    fs_hz = beats.fs_hz
    found: list[ChosenStrip] = []

    def add(title: str, text: str, sample: int, before_s: float = STRIP_S / 2) -> bool:
        first, n = max(0, sample - round(before_s * fs_hz)), round(STRIP_S * fs_hz)
        if any(first < other.first_sample + other.n and other.first_sample < first + n for other in found):
            return False
        found.append(ChosenStrip(title, text, first, n, sample))
        return True

    rates = smoothed_rates_bpm(beats)
    plain = np.zeros(beats.r_sample.size, np.bool_)
    if plain.size >= _AROUND:  # usual beats on both sides
        nn = np.lib.stride_tricks.sliding_window_view(beats.nn, _AROUND).all(axis=1)
        plain[_AROUND // 2 : plain.size - _AROUND // 2] = nn
    if plain.any():
        rows = np.flatnonzero(plain & np.isfinite(rates))
        if rows.size:
            usual = rows[np.argmin(np.abs(rates[rows] - np.median(rates[rows])))]
            add("typical", f"usual beats at the median rate, {rates[usual]:.0f} a minute", int(beats.r_sample[usual]))
    for kind in _SERIOUS:
        own = sorted((e for e in episodes if e.kind == kind), key=lambda e: e.first_sample - _end(e, beats))
        for episode in own[:_OF_A_KIND]:
            add(kind.replace("_", " "), episode.text, episode.first_sample, _BEFORE_S)
    runs = patterns_of(beats, beats.anomalous).runs
    if runs:
        longest = max(runs, key=lambda run: run.beats)
        add("longest run", f"{longest.beats} anomalous beats in a row", int(beats.r_sample[longest.first]), _BEFORE_S)
    rr_s = np.where(beats.between_scored, beats.rr_s, 0.0)
    if rr_s.size and rr_s.max() >= PAUSE_S:
        row = int(rr_s.argmax())
        add("longest pause", f"RR interval of {rr_s[row]:.2f} s", int(beats.r_sample[row - 1]), _BEFORE_S)
    if np.isfinite(rates).any():
        for title, at in (("fastest", int(np.nanargmax(rates))), ("slowest", int(np.nanargmin(rates)))):
            add(title, f"{rates[at]:.0f} a minute, mean of 8 intervals", int(beats.r_sample[at]), STRIP_S - 1.0)
    worst: list[int] = []
    odd = np.flatnonzero(beats.anomalous)
    for row in odd[np.argsort(-np.nan_to_num(beats.score[odd], nan=-np.inf), kind="stable")].tolist():
        if len(worst) == _WORST:
            break
        sample = int(beats.r_sample[row])
        if all(abs(sample - other) >= _APART_S * fs_hz for other in worst):
            add("highest score", f"anomaly score {beats.score[row]:.1f}", sample)
            worst.append(sample)
    return found


def draw_chosen(
    chosen: ChosenStrip, samples: NDArray[np.float32], beats: HolterBeats, name: str, lead: str, time: str,
    within: str,
) -> str:  # fmt: skip
    """Draw a strip as an SVG element; its ids begin with `within`."""
    name = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"  # the title stands on the same line
    low, high = np.searchsorted(beats.r_sample, [chosen.first_sample, chosen.first_sample + chosen.n]).tolist()
    marked = [
        MarkedBeat(
            int(beats.r_sample[row]),
            float(beats.score[row]) if beats.scored[row] else None,
            None,
            bool(beats.anomalous[row]),
            (),
        )
        for row in range(low, high)
    ]
    mark = Alarm(
        alarm_id=f"{name}/strip/{chosen.first_sample}",
        bed=name,
        kind="anomalous_beat",
        category="physiological",
        priority="low",
        state="onset",
        onset_sample=chosen.at_sample,
        decided_sample=chosen.at_sample,
        text=chosen.text,
    )
    return draw_strip(
        StripPicture(
            chosen.first_sample,
            beats.fs_hz,
            samples,
            mark,
            marked,
            time,
            lead,
            "",
            "0.5-40 Hz",
            title=chosen.title,
            compact=True,
        ),
        within,
    )


def _end(episode: Episode, beats: HolterBeats) -> int:
    """End of an episode; of one that lasts, the last beat."""
    last = int(beats.r_sample[-1]) if beats.r_sample.size else episode.first_sample
    return episode.end_sample if episode.end_sample >= 0 else max(last, episode.first_sample)
