"""Rows D6 and D7: atrial fibrillation, and patterns of ventricular beats in words and counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clinical_rows.cases import Case, Draw, Fault, Row
from clinical_rows.hearts import Heart, drawn_heart, irregular_times, times
from clinical_rows.noises import band
from clinical_rows.received import Received
from clinical_rows.tapes import Tape
from clinical_rows.verdicts import first_of

_AF = ("irregular_rhythm",)
_TACHYCARDIA_BPM = 120.0


def atrial_fibrillation(draw: Draw) -> Case:
    """D6: AF between two times of sinus rhythm; every fourth variant has none."""
    if draw.number % 4 == 3:
        return _regular_enough(draw)
    bpm, rng = draw.spread(60, 160), draw.rng
    heart, begin_s, end_s = drawn_heart(draw), 60.0, 180.0
    tape = Tape(draw.fs_hz, 270.0)
    sinus_bpm = draw.spread(55, 95)
    before = times(0.5, begin_s, sinus_bpm, rng)
    tape.rhythm(heart, before, rng)
    spread = draw.spread(0.16, 0.26)
    irregular = irregular_times(before[-1] + 0.7, end_s, bpm, rng, spread=spread)
    for at_s in irregular:
        tape.beat((*heart.qrs(), *heart.t_wave(60 / bpm)), at_s, 1 + 0.05 * rng.standard_normal())
    waves_mv = draw.spread(0.0, 0.05)
    tape.add(begin_s, end_s, band(rng, tape.fs_hz, tape.samples(121), 4.5, 8.5, max(1e-6, waves_mv)))
    tape.rhythm(heart, times(irregular[-1] + 0.9, tape.seconds, sinus_bpm, rng), rng)
    tape.electrodes(draw)

    def judge(received: Received) -> Fault:
        up = received.of(_AF)
        if not up:
            return "no irregular_rhythm"
        if up[0].since_s < begin_s:
            return f"irregular_rhythm at {up[0].since_s:.0f} s, in sinus rhythm"
        found = received.of(_AF, since_s=begin_s, until_s=end_s)
        after_s = found[0].since_s - begin_s if found else np.inf
        late = [each for each in up if each.until_s > end_s + 60]
        medium = [each for each in found if each.priority == "medium"]
        return first_of(
            f"irregular_rhythm after {after_s:.0f} s" if after_s > 60 else None,
            f"irregular_rhythm up {late[-1].until_s - end_s:.0f} s after its end" if late else None,
            "low above the tachycardia limit" if bpm > _TACHYCARDIA_BPM + 10 and not medium else None,
            "medium below the tachycardia limit" if bpm < _TACHYCARDIA_BPM - 15 and medium else None,
        )

    return Case(tape, judge, f"AF {bpm:.0f}, RR spread {spread:.2f}, waves {1000 * waves_mv:.0f} uV")


def _regular_enough(draw: Draw) -> Case:
    """Rhythms that are no AF: respiratory arrhythmia, bigeminy, premature beats."""
    kind, rng, bpm = draw.pick(("breath", "bigeminy", "premature")), draw.rng, draw.spread(55, 90)
    heart = drawn_heart(draw)
    tape = Tape(draw.fs_hz, 180.0)
    if kind == "breath":
        tape.rhythm(heart, times(0.5, 180.0, bpm, rng, breath=draw.spread(0.08, 0.15)), rng)
    else:
        every = 2 if kind == "bigeminy" else 7
        _with_ectopics(tape, heart, bpm, lambda nth: 1 if nth % every == every - 1 else 0, rng)
    tape.electrodes(draw)

    def judge(received: Received) -> Fault:
        up = received.of(_AF)
        return f"false irregular_rhythm at {up[0].since_s:.0f} s" if up else None

    return Case(tape, judge, f"no AF: {kind} at {bpm:.0f}")


def _with_ectopics(
    tape: Tape,
    heart: Heart,
    bpm: float,
    ectopics: Callable[[int], int],
    rng: np.random.Generator,
    early: float = 0.62,
) -> int:
    """Sinus rhythm in which `ectopics(nth)` ventricular beats follow the nth beat; their number."""
    pvc = heart.ventricular(heart.mv * rng.uniform(0.9, 1.6), rng.uniform(130, 165))
    at_s, rr_s, nth, number = 0.5, 60 / bpm, 0, 0
    while at_s < tape.seconds - 2:
        tape.beat(heart.beat(rr_s), at_s, 1 + 0.02 * rng.standard_normal())
        beats = ectopics(nth) if at_s > 20 else 0
        for turn in range(beats):
            at_s += early * rr_s if turn == 0 else 0.42
            tape.beat((*pvc.qrs(), *pvc.t_wave(rr_s)), at_s, 1 + 0.02 * rng.standard_normal())
            number += 1
        at_s += (2 - early) * rr_s if beats else rr_s * (1 + 0.01 * rng.standard_normal())
        nth += 1
    return number


def patterns(draw: Draw) -> Case:
    """D7: couplets, bigeminy, trigeminy, R on T."""
    kind, rng, bpm = draw.turn(("couplet", "bigeminy", "trigeminy", "R on T")), draw.rng, draw.spread(55, 85)
    heart = drawn_heart(draw)
    tape = Tape(draw.fs_hz, 140.0)
    every = {"couplet": 11, "bigeminy": 1, "trigeminy": 2, "R on T": 9}[kind]
    early = draw.spread(0.30, 0.36) * bpm / 60 if kind == "R on T" else draw.spread(0.58, 0.66)
    size = 2 if kind == "couplet" else 1
    number = _with_ectopics(tape, heart, bpm, lambda nth: size if nth % every == every - 1 else 0, rng, early)
    tape.electrodes(draw, breath_mv=0.1)

    def judge(received: Received) -> Fault:
        words = {word for _, words in received.rhythms for word in words.split(", ")}
        shown = {"couplet": "ventricular couplet", "R on T": "R on T"}.get(kind, f"ventricular {kind}")
        if received.status is None:
            return "no status was received"
        counts = received.status.last_hour
        if kind in ("couplet", "R on T"):
            counted = counts.couplets if kind == "couplet" else counts.r_on_t
            wanted = number // size
            fault = f"{counted} of {wanted} counted" if abs(counted - wanted) > 0.2 * wanted else None
        else:
            counted = counts.bigeminy if kind == "bigeminy" else counts.trigeminy
            fault = None if counted else "no episode counted"
            wrong = abs(counts.ventricular_beats - number) > 0.2 * number
            fault = fault or (f"{counts.ventricular_beats} of {number} ventricular beats counted" if wrong else None)
        return first_of(None if shown in words else f"{kind} never named", fault)

    return Case(tape, judge, f"{kind} at {bpm:.0f}, {number} ventricular beats")


ROWS_D67 = (
    Row("D6", "atrial fibrillation at 60 to 160 bpm", "`irregular_rhythm` within 60 s, over when it ends",
        atrial_fibrillation),
    Row("D7", "couplets, bigeminy, trigeminy, R on T", "named and counted", patterns),
)  # fmt: skip
