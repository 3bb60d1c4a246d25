"""Faults of an emulated device: the grammar in which the user writes them.

    drop=0.1%,unplug@60s for 5s,leadsoff@90s for 10s

Times are seconds since the device's first sample. Lasting faults do not overlap, so that every lost sample has one
cause.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Final, NamedTuple

from monitor.errors import ConfigError

__all__ = [
    "BOOT_S",
    "GRAMMAR",
    "LASTING",
    "NO_FAULTS",
    "STRAP_GRAMMAR",
    "Fault",
    "Faults",
    "Rate",
    "Step",
    "parse_faults",
]

SHARES: Final = {
    "drop": "a sample's packet is lost with this probability; the device's counter continues",
    "garble": "up to three bytes of a packet are changed, inserted or removed with this probability",
    "drift": "the device's real rate is above its nominal rate by this share (below: drift=-1%)",
}
STRAP_SHARES: Final = {
    "late": "a notification comes after the next one with this probability",
    "twice": "a notification comes twice with this probability",
}
STEPS: Final = {
    "clock": "the strap's clock is set forward by this time, s (-60 = back)",
    "battery": "the strap reports this charge, %",
}
LASTING: Final = {
    "unplug": "the port vanishes and the device has no power: samples are lost, its counter starts again",
    "leadsoff": "the device shows that an electrode is off",
    "stall": "the device and its counter stop, as in a sketch that waits: samples are lost",
    "hiccup": "bytes are held back and come in one burst: nothing is lost",
    "noise": "random bytes are sent, as at a wrong baud rate: samples are lost, the device's counter continues",
}
BOOT_S: Final = 1.5  # time for which an Arduino's bootloader waits for a new sketch
MAX_HICCUP_S: Final = 60.0  # its bytes are held in memory
_RANGES: Final = dict.fromkeys(("drop", "garble", "late", "twice"), (0.0, 100.0)) | {"drift": (-50.0, 50.0)}
_STEP_RANGES: Final = {"clock": (-1e9, 1e9), "battery": (0.0, 255.0)}
_RATE_RANGE: Final = (0.01, 100.0)
_UNITS: Final = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_NUMBER: Final = r"[-+]?[0-9]+(?:\.[0-9]+)?"
_TIME: Final = re.compile(rf"({_NUMBER})\s*(ms|s|min|m|h|)")

GRAMMAR: Final = (
    "write, with commas between: drop=P%, garble=P%, drift=P%, rate=X, rate@T=X, banner@T, and with `@T for D`: "
    f"{', '.join(LASTING)}; times as 60s, 1.5s, 2m"
)
STRAP_GRAMMAR: Final = (
    "straps only: late=P%, twice=P%, clock@T=SECONDS, battery@T=PERCENT; unplug = out of reach, no banner"
)


class Fault(NamedTuple):
    """A lasting fault: `kind` of LASTING or `banner`, from `start_s` for `duration_s`, s."""

    kind: str
    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """End of the fault, s."""
        return self.start_s + self.duration_s

    def __str__(self) -> str:
        if self.kind == "banner":
            return f"banner@{self.start_s:g}s"
        return f"{self.kind}@{self.start_s:g}s for {self.duration_s:g}s"


class Rate(NamedTuple):
    """From `start_s`, s, on the device sends `factor` times as fast."""

    start_s: float
    factor: float


class Step(NamedTuple):
    """At `at_s`, s, the strap's `clock` is set forward by `value` s, or its `battery` is `value` %."""

    at_s: float
    kind: str
    value: float

    def __str__(self) -> str:
        return f"{self.kind}@{self.at_s:g}s={self.value:g}"


class Faults(NamedTuple):
    """All faults of a device.

    Attributes:
        drop: probability that a packet is lost, 0 to 1.
        garble: probability that a packet that is not lost is garbled, 0 to 1.
        drift: real rate / nominal rate - 1.
        rates: changes of the rate, in order of time.
        lasting: lasting faults, in order of time, without overlap.
        late, twice: probability that a notification of a strap comes after the next one, comes twice, 0 to 1.
        steps: settings of a strap, in order of time.
    """

    drop: float = 0.0
    garble: float = 0.0
    drift: float = 0.0
    rates: tuple[Rate, ...] = ()
    lasting: tuple[Fault, ...] = ()
    late: float = 0.0
    twice: float = 0.0
    steps: tuple[Step, ...] = ()

    def check(self, strap: bool, form: str) -> None:
        """Check that such a device can have these faults.

        Raises:
            ConfigError: a fault of a strap on a serial device, or a banner on a strap.
        """
        if strap and any(fault.kind == "banner" for fault in self.lasting):
            raise ConfigError(f"--faults: banner: {form} is a strap, which sends none; {STRAP_GRAMMAR}")
        if not strap and (self.late or self.twice or self.steps):
            kind = "late" if self.late else "twice" if self.twice else self.steps[0].kind
            raise ConfigError(f"--faults: {kind}: {form} is a serial device; {STRAP_GRAMMAR}")


NO_FAULTS: Final = Faults()


def parse_faults(text: str) -> Faults:
    """Parse faults; an empty text = none.

    Raises:
        ConfigError: one line that names the piece and the grammar.
    """
    shares: dict[str, float] = {}
    rates: list[Rate] = []
    lasting: list[Fault] = []
    steps: list[Step] = []
    for piece in (piece.strip() for piece in text.split(",")):
        if not piece:
            if text.strip():
                raise _fail("an empty piece")
            continue
        head, equals, value = (part.strip() for part in piece.partition("="))
        kind, at, when = (part.strip() for part in head.partition("@"))
        if kind in SHARES | STRAP_SHARES and not at:
            if kind in shares:
                raise _fail(f"{piece!r}: {kind} is given twice")
            shares[kind] = _share(kind, value, piece)
        elif kind == "rate" and equals:
            rates.append(Rate(_seconds(when, piece) if at else 0.0, _factor(value, piece)))
        elif kind in STEPS and at and equals:
            steps.append(Step(_seconds(when, piece), kind, _step(kind, value, piece)))
        elif kind in LASTING and at and not equals:
            lasting.append(_lasting(kind, when, piece))
        elif kind == "banner" and at and not equals:
            lasting.append(Fault(kind, _seconds(when, piece), BOOT_S))
        else:
            raise _fail(repr(piece))
    rates.sort(key=lambda rate: rate.start_s)
    for before, after in itertools.pairwise(rates):
        if before.start_s == after.start_s:
            raise _fail(f"two rates at {after.start_s:g} s")
    lasting.sort(key=lambda fault: fault.start_s)
    for first, second in itertools.pairwise(lasting):
        if second.start_s < first.end_s:
            raise _fail(f"{str(second)!r} begins before {str(first)!r} ends; faults must not overlap")
    steps.sort(key=lambda step: step.at_s)
    return Faults(**shares, rates=tuple(rates), lasting=tuple(lasting), steps=tuple(steps))


def _fail(what: str) -> ConfigError:
    return ConfigError(f"--faults: {what}; {GRAMMAR}")


def _lasting(kind: str, when: str, piece: str) -> Fault:
    start, word, duration = when.partition("for")
    if not word:
        raise _fail(f"{piece!r} has no duration")
    fault = Fault(kind, _seconds(start, piece), _seconds(duration, piece))
    if fault.duration_s <= 0:
        raise _fail(f"{piece!r} has duration 0")
    if kind == "hiccup" and fault.duration_s > MAX_HICCUP_S:
        raise _fail(f"{piece!r}: a hiccup lasts {MAX_HICCUP_S:g} s at most")
    return fault


def _seconds(text: str, piece: str) -> float:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise _fail(f"{piece!r}: {text.strip()!r} is no time")
    seconds = float(found[1]) * _UNITS[found[2]]
    if not (seconds >= 0 and math.isfinite(seconds)):
        raise _fail(f"{piece!r}: {text.strip()!r} is negative or infinite")
    return seconds


def _share(kind: str, text: str, piece: str) -> float:
    low, high = _RANGES[kind]
    found = re.fullmatch(rf"({_NUMBER})\s*%", text)
    if found is None or not low <= float(found[1]) <= high:
        raise _fail(f"{piece!r}: give {low:g}% to {high:g}%")
    return float(found[1]) / 100.0


def _step(kind: str, text: str, piece: str) -> float:
    low, high = _STEP_RANGES[kind]
    found = re.fullmatch(rf"({_NUMBER})\s*[s%]?", text)
    if found is None or not low <= float(found[1]) <= high:
        raise _fail(f"{piece!r}: give {low:g} to {high:g}")
    return float(found[1])


def _factor(text: str, piece: str) -> float:
    low, high = _RATE_RANGE
    found = re.fullmatch(_NUMBER, text)
    if found is None or not low <= float(text) <= high:
        raise _fail(f"{piece!r}: a rate is {low:g} to {high:g} times the nominal one")
    return float(text)
