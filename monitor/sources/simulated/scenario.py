"""Scenario of a simulated patient, as the user writes it.

    sinus=60,vt@200=8,sinus=30,asystole=6;seed=7;fs=250;hr=70;repeat=yes

Kinds of rhythm with their durations, s, in order, and with a rate, per minute, where wished; options after semicolons.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from monitor.errors import SourceError
from monitor.sources.simulated.kinds import KINDS, Kind
from monitor.sources.simulated.settings import HR_RANGE_BPM, Settings, option_fields

__all__ = ["DEFAULT_SCENARIO", "OPTIONS", "RUN_OPTIONS", "Part", "Scenario", "Segment", "parse_scenario"]

# Options of the run, beside those of the patient in Settings: what they are, and their range.
RUN_OPTIONS: dict[str, str] = {
    "seed": "number of the patient, a whole number; default --seed",
    "fs": "sampling rate, Hz, 100 to 1000; default --fs, else 250",
    "repeat": "yes: begin again at the end, with new random numbers",
}
OPTIONS = (*RUN_OPTIONS, *(option.name for option in option_fields()))

# 15 s of clean sinus rhythm settle the filters and the baseline; the VT holds 17 beats above 140/min.
DEFAULT_SCENARIO = "sinus=15,pvc=5,pac=4,vt=8,sinus=4,asystole=6,sinus=3,af=5,noise=4,leadsoff=3,sinus=3;repeat=yes"

_EXAMPLE = "sim:sinus=60,vt@200=8;hr=70"
_HELP = "ecg-monitor --help-sim"
DEFAULT_FS_HZ = 250.0
MIN_SEGMENT_S = 0.1
RATE_SPREAD = 0.04  # rates that neither the scenario nor `hr` and `pace` give differ this much between patients


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a scenario: its kind by name, length in s, rate per minute (None = not given)."""

    name: str
    seconds: float
    rate_bpm: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A time of one kind of rhythm: `start_s` <= t < `end_s`, s; `index` continues through repeats.

    Attributes:
        name: of the kind.
        kind: what is simulated.
        rate_bpm: of its beats, per minute; 0 = none.
    """

    index: int
    name: str
    kind: Kind
    start_s: float
    end_s: float
    rate_bpm: float

    @property
    def beats(self) -> str:
        """Key of its rhythm; empty = no QRS complex."""
        return self.kind.beats or ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A parsed scenario.

    Attributes:
        parts: in order.
        seed: seed of all random numbers.
        fs_hz: sampling rate, Hz.
        repeat: start again at the end, without limit, with new random numbers.
        settings: options of the patient and of the disturbances.
    """

    parts: tuple[Part, ...]
    seed: int
    fs_hz: float
    repeat: bool
    settings: Settings

    @property
    def duration_s(self) -> float:
        """Length of one pass, s."""
        return math.fsum(part.seconds for part in self.parts)

    @property
    def total_samples(self) -> int | None:
        """Length in samples; None if it repeats."""
        return None if self.repeat else round(self.duration_s * self.fs_hz)

    def segment(self, index: int) -> Segment | None:
        """Return segment `index`, counted from time 0; None after the end."""
        cycle, number = divmod(index, len(self.parts))
        if cycle and not self.repeat:
            return None
        start_s = cycle * self.duration_s + math.fsum(part.seconds for part in self.parts[:number])
        part = self.parts[number]
        return Segment(index, part.name, KINDS[part.name], start_s, start_s + part.seconds, self._rate_bpm(part))

    def _rate_bpm(self, part: Part) -> float:
        kind = KINDS[part.name]
        if part.rate_bpm is not None:
            return part.rate_bpm
        if isinstance(kind.rate, str):
            return float(getattr(self.settings, kind.rate))
        spread = np.random.default_rng([self.seed, 11]).uniform(-RATE_SPREAD, RATE_SPREAD)
        return kind.rate * (1 + float(spread))


def _fail(what: str) -> SourceError:
    return SourceError(f"simulator: {what}; write KIND=SECONDS,...;OPTION=VALUE, e.g. {_EXAMPLE}; see {_HELP}")


def _unknown(what: str, name: str, names: Iterable[str]) -> SourceError:
    near = ", ".join(difflib.get_close_matches(name, names, n=3))
    return _fail(f"unknown {what} {name!r}" + (f" (nearest: {near})" if near else ""))


def _number(text: str, what: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _fail(f"{what} {text!r} is no number") from None
    if not low <= value <= high:  # False for NaN too
        raise _fail(f"{what} {text} is outside {low:g} to {high:g}")
    return value


def _part(item: str) -> Part:
    head, equals, seconds = (piece.strip() for piece in item.partition("="))
    name, at, rate = (piece.strip() for piece in head.partition("@"))
    if name in OPTIONS and name not in KINDS:
        raise _fail(f"{name!r} is an option, write it after a semicolon")
    if name not in KINDS:
        raise _unknown("kind", name, KINDS)
    if not equals:
        raise _fail(f"{name!r} has no seconds")
    rate_bpm = None
    if at:
        if not KINDS[name].rate_of:
            raise _fail(f"{name!r} has no rate")
        low, high = HR_RANGE_BPM
        may_rest = KINDS[name].rate == 0 and rate == "0"
        rate_bpm = 0.0 if may_rest else _number(rate, f"rate of {name}", low, high)
    return Part(name, _number(seconds, f"seconds of {name}", MIN_SEGMENT_S, 1e7), rate_bpm)


def parse_scenario(text: str, *, seed: int = 1, fs_hz: float | None = None) -> Scenario:
    """Parse a scenario.

    Args:
        text: the grammar above; no kinds = DEFAULT_SCENARIO with the options of `text`.
        seed: used where `text` names none.
        fs_hz: sampling rate, Hz, used where `text` names none; None = 250.

    Raises:
        SourceError: unknown kind or option, no number, out of range: one line with the form of a scenario.
    """
    kinds, *settings = (part.strip() for part in text.split(";"))
    if not kinds:
        kinds, *defaults = DEFAULT_SCENARIO.split(";")
        settings = defaults + settings
    parts = tuple(_part(item) for item in kinds.split(","))

    chosen: dict[str, str] = {}
    for item in filter(None, settings):
        name, _, value = (piece.strip() for piece in item.partition("="))
        if name not in OPTIONS:
            raise _unknown("option", name, OPTIONS)
        chosen[name] = value
    if (repeat := chosen.get("repeat", "no")) not in ("yes", "no"):
        raise _fail(f"repeat {repeat!r} is neither yes nor no")
    seed_number = _number(chosen.get("seed", str(seed)), "seed", 0, 2**31)
    if seed_number != int(seed_number):
        raise _fail(f"seed {chosen['seed']} is no whole number")
    fs_text = chosen.get("fs", str(DEFAULT_FS_HZ if fs_hz is None else fs_hz))
    given = {
        option.name: _number(chosen[option.name], option.name, *option.metadata["range"])
        for option in option_fields()
        if option.name in chosen
    }
    if abs(given.get("polarity", 1.0)) != 1:
        raise _fail(f"polarity {chosen['polarity']} is neither 1 nor -1")
    return Scenario(
        parts=parts,
        seed=int(seed_number),
        fs_hz=_number(fs_text, "fs", 100, 1000),
        repeat=repeat == "yes",
        settings=Settings(**given),
    )
