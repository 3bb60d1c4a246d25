"""Verdicts that several rows share: why a variant fails, in one phrase, or None."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from clinical_rows.cases import Fault
from clinical_rows.received import HIGH, Received, Stretch

BRADY = ("extreme_bradycardia", "bradycardia")
TACHY = ("extreme_tachycardia", "tachycardia")


def first_of(*faults: Fault) -> Fault:
    """The first reason, if any."""
    return next((fault for fault in faults if fault), None)


def near(rate: float, bpm: float) -> bool:
    """Within 10 % or 5 bpm, whichever is more."""
    return abs(rate - bpm) <= max(5.0, 0.1 * bpm)


def raised(
    received: Received, kinds: Iterable[str], since_s: float, within_s: float = 10.0, **wanted: Sequence[str]
) -> Fault:
    """One of the kinds is up within this time, or was already."""
    kinds = tuple(kinds)
    found = received.of(kinds, since_s=since_s, **wanted)  # type: ignore[arg-type]
    name = kinds[0] if kinds else "high alarm"
    if not found:
        return f"no {name}"
    after_s = found[0].since_s - since_s
    return f"{name} after {after_s:.1f} s" if after_s > within_s else None


def high_within(received: Received, since_s: float, within_s: float = 10.0) -> Fault:
    """Any high physiological alarm within this time."""
    return raised(received, (), since_s, within_s, priorities=(HIGH,))


def quiet(
    received: Received, since_s: float = 0.0, until_s: float = np.inf, *, priorities: Sequence[str] = (HIGH,),
    kinds: Iterable[str] = (), besides: Iterable[str] = (),
) -> Fault:  # fmt: skip
    """No physiological alarm of these priorities and kinds that begins in this time."""
    besides = tuple(besides)
    false = [
        each
        for each in received.of(kinds, priorities=priorities, since_s=since_s, until_s=until_s)
        if each.kind not in besides and each.since_s >= since_s
    ]
    return f"false {false[0].kind} at {false[0].since_s:.0f} s" + _more(false) if false else None


def _more(stretches: Sequence[Stretch]) -> str:
    return f" and {len(stretches) - 1} more" if len(stretches) > 1 else ""


def rate_right(received: Received, bpm: float, since_s: float, until_s: float, within: float | None = None) -> Fault:
    """The median of the rate shown is right, and a rate is shown most of the time."""
    shown = received.rates_between(since_s, until_s)
    asked = sum(since_s < at_s <= until_s for at_s, _ in received.rates)
    if len(shown) < (0.8 if bpm > 25 else 0.1) * asked:
        return f"rate shown in {len(shown)} of {asked} half seconds (true {bpm:.0f})"
    median = float(np.median(shown))
    right = near(median, bpm) if within is None else abs(median - bpm) <= within
    return None if right else f"rate {median:.0f}, true {bpm:.0f}"


def true_bpm(beats_s: Sequence[float], since_s: float, until_s: float) -> float:
    """Mean rate of the true beats of a time."""
    inside = [at_s for at_s in beats_s if since_s <= at_s <= until_s]
    return 60 * (len(inside) - 1) / (inside[-1] - inside[0])


def counted(received: Received, since_s: float, until_s: float, share: float = 0.03) -> Fault:
    """Beats are found, and nothing else is."""
    true = [at_s for at_s in received.tape.beats_s if since_s <= at_s < until_s]
    missed, extra = len(received.missed(true)), len(received.extra(since_s, until_s))
    if missed > share * len(true):
        return f"{missed} of {len(true)} beats missed"
    return f"{extra} false beats beside {len(true)}" if extra > share * len(true) else None


def shown_after(received: Received, bpm: float, since_s: float, within_s: float) -> Fault:
    """A new rate is shown within this time, and stays."""
    later = [(at_s - since_s, rate) for at_s, rate in received.rates if at_s > since_s]
    wrong = [after_s for after_s, rate in later if rate is None or not near(rate, bpm)]
    after_s = (wrong[-1] + 0.5) if wrong else 0.0
    if wrong and wrong[-1] == later[-1][0]:
        return f"{bpm:.0f} bpm not shown: {later[-1][1] or float('nan'):.0f}"
    return f"{bpm:.0f} bpm shown after {after_s:.1f} s" if after_s > within_s else None


def standstill(
    received: Received, last_s: float, back_s: float | None = None, *, until_s: float | None = None
) -> Fault:
    """Asystole within 10 s of the last QRS, up until beats are back, no rate meanwhile; then over, and a rate, in 10 s.

    Args:
        last_s: the last QRS.
        back_s: the first QRS after the standstill; None: there is none.
        until_s: judged up to here; default: `back_s`, or the end.
    """
    until_s = until_s if until_s is not None else (back_s if back_s is not None else received.tape.seconds)
    fault = raised(received, ("asystole",), last_s)
    if fault:
        return fault
    up = received.of(("asystole",), since_s=last_s)
    first = up[0]
    if first.since_s < last_s:
        return f"asystole at {first.since_s:.0f} s, before the standstill"
    if first.until_s < until_s - 0.01:
        return f"asystole over after {first.until_s - first.since_s:.0f} s of {until_s - first.since_s:.0f}" + _more(up)
    shown = received.rates_between(first.since_s, until_s)
    if shown:
        return f"rate {shown[0]:.0f} shown in a standstill"
    other = quiet(received, last_s, until_s, besides=("asystole",))
    if other or back_s is None:
        return other
    if first.until_s > back_s + 10.0:
        return f"asystole up {first.until_s - back_s:.0f} s after beats are back"
    bpm = true_bpm(received.tape.beats_s, back_s, received.tape.seconds)
    shown = received.rates_between(back_s, back_s + 10.0)
    return None if any(near(rate, bpm) for rate in shown) else "no right rate 10 s after beats are back"
