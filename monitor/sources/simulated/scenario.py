"""Scenario of a simulated patient, as the user writes it.

    sinus=60,vt=8,sinus=30,asystole=6;seed=7;fs=250;hr=70;repeat=yes

Kinds of rhythm with their durations, s, in order; options after semicolons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from monitor.errors import SourceError

__all__ = ["DEFAULT_SCENARIO", "KINDS", "OPTIONS", "Scenario", "Segment", "parse_scenario"]

KINDS: dict[str, str] = {
    "sinus": "sinus rhythm at `hr`",
    "pvc": "sinus rhythm, every 4th or 5th beat a premature ventricular one",
    "pac": "sinus rhythm, every 4th or 5th beat a premature atrial one",
    "bigeminy": "sinus rhythm, every 2nd beat a premature ventricular one",
    "vt": "monomorphic ventricular tachycardia, 180/min",
    "vf": "ventricular fibrillation",
    "af": "atrial fibrillation, about 95/min",
    "brady": "sinus bradycardia, 36/min",
    "tachy": "sinus tachycardia, 150/min",
    "pause": "sinus rhythm with one sinus arrest of 3.2 s",
    "asystole": "no heartbeat",
    "noise": "sinus rhythm under muscle noise and electrode motion",
    "leadsoff": "electrode off: no valid sample",
}
OPTIONS = ("seed", "fs", "hr", "repeat")

# 15 s of clean sinus rhythm settle the filters and the baseline; the VT holds 17 beats above 140/min.
DEFAULT_SCENARIO = "sinus=15,pvc=5,pac=4,vt=8,sinus=4,asystole=6,sinus=3,af=5,noise=4,leadsoff=3,sinus=3;repeat=yes"

DEFAULT_FS_HZ = 250.0
DEFAULT_HR_BPM = 72.0
HR_RANGE_BPM = (20.0, 220.0)
MIN_SEGMENT_S = 0.1


@dataclass(frozen=True, slots=True)
class Segment:
    """A time of one kind of rhythm: `start_s` <= t < `end_s`, s; `index` continues through repeats."""

    index: int
    kind: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A parsed scenario.

    Attributes:
        parts: (kind, duration in s), in order.
        seed: seed of all random numbers.
        fs_hz: sampling rate, Hz.
        hr_bpm: heart rate of sinus rhythm, beats a minute.
        repeat: start again at the end, without limit, with new random numbers.
    """

    parts: tuple[tuple[str, float], ...]
    seed: int
    fs_hz: float
    hr_bpm: float
    repeat: bool

    @property
    def duration_s(self) -> float:
        """Length of one pass, s."""
        return math.fsum(seconds for _, seconds in self.parts)

    @property
    def total_samples(self) -> int | None:
        """Length in samples; None if it repeats."""
        return None if self.repeat else round(self.duration_s * self.fs_hz)

    def segment(self, index: int) -> Segment | None:
        """Return segment `index`, counted from time 0; None after the end."""
        cycle, part = divmod(index, len(self.parts))
        if cycle and not self.repeat:
            return None
        start_s = cycle * self.duration_s + math.fsum(seconds for _, seconds in self.parts[:part])
        kind, seconds = self.parts[part]
        return Segment(index, kind, start_s, start_s + seconds)


def _fail(what: str) -> SourceError:
    return SourceError(
        f"simulator: {what}; write KIND=SECONDS,... with kinds {', '.join(KINDS)}"
        f" and options ;{'=...;'.join(OPTIONS)}=..."
    )


def _number(text: str, what: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _fail(f"{what} {text!r} is no number") from None
    if not low <= value <= high:  # False for NaN too
        raise _fail(f"{what} {text} is outside {low:g} to {high:g}")
    return value


def parse_scenario(text: str, *, seed: int = 1, fs_hz: float | None = None) -> Scenario:
    """Parse a scenario.

    Args:
        text: the grammar above; no kinds = DEFAULT_SCENARIO with the options of `text`.
        seed: used where `text` names none.
        fs_hz: sampling rate, Hz, used where `text` names none; None = 250.

    Raises:
        SourceError: unknown kind or option, no number, out of range: one line that lists the kinds and options.
    """
    kinds, *settings = (part.strip() for part in text.split(";"))
    if not kinds:
        kinds, *defaults = DEFAULT_SCENARIO.split(";")
        settings = defaults + settings
    parts: list[tuple[str, float]] = []
    for item in kinds.split(","):
        kind, equals, seconds = (piece.strip() for piece in item.partition("="))
        if kind in OPTIONS:
            raise _fail(f"{kind!r} is an option, write it after a semicolon")
        if kind not in KINDS:
            raise _fail(f"unknown kind {kind!r}")
        if not equals:
            raise _fail(f"{kind!r} has no seconds")
        parts.append((kind, _number(seconds, f"seconds of {kind}", MIN_SEGMENT_S, 1e7)))

    chosen: dict[str, str] = {}
    for item in filter(None, settings):
        name, _, value = (piece.strip() for piece in item.partition("="))
        if name not in OPTIONS:
            raise _fail(f"unknown option {name!r}")
        chosen[name] = value
    if (repeat := chosen.get("repeat", "no")) not in ("yes", "no"):
        raise _fail(f"repeat {repeat!r} is neither yes nor no")
    seed_number = _number(chosen.get("seed", str(seed)), "seed", 0, 2**31)
    if seed_number != int(seed_number):
        raise _fail(f"seed {chosen['seed']} is no whole number")
    fs_text = chosen.get("fs", str(DEFAULT_FS_HZ if fs_hz is None else fs_hz))
    return Scenario(
        parts=tuple(parts),
        seed=int(seed_number),
        fs_hz=_number(fs_text, "fs", 100, 1000),
        hr_bpm=_number(chosen.get("hr", str(DEFAULT_HR_BPM)), "hr", *HR_RANGE_BPM),
        repeat=repeat == "yes",
    )
