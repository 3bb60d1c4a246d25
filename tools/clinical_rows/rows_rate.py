"""Rows B: the heart rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clinical_rows import leads
from clinical_rows.cases import Case, Draw, Fault, Row
from clinical_rows.hearts import Heart, drawn_heart, irregular_times, times
from clinical_rows.received import Received
from clinical_rows.tapes import Tape
from clinical_rows.verdicts import (
    BRADY,
    TACHY,
    counted,
    first_of,
    high_within,
    quiet,
    raised,
    rate_right,
    shown_after,
    true_bpm,
)  # fmt: skip


def any_rate(draw: Draw) -> Case:
    """B1: 15 to 300 bpm."""
    bpm, rng = draw.spread(15, 300), draw.rng
    heart = drawn_heart(draw, mv=(0.5, 5.0), qrs_ms=(60, 90 if bpm > 200 else 105))
    if bpm > 170:
        heart = replace(heart, t=heart.t * 0.6)
    seconds = 60.0 if bpm > 25 else 90.0
    tape = Tape(draw.fs_hz, seconds)
    tape.rhythm(heart, times(0.5, seconds, bpm, rng, breath=0.01 if bpm > 150 else 0.02), rng)
    tape.electrodes(draw)
    true = true_bpm(tape.beats_s, seconds - 25, seconds)
    return Case(
        tape,
        lambda received: rate_right(received, true, seconds - 20, seconds),
        f"{bpm:.0f} bpm, QRS {heart.mv:.1f} mV",
    )


def fast_vt(draw: Draw) -> Case:
    """B2: VT at 240 to 310 bpm."""
    bpm, rng, from_start = draw.spread(240, 310), draw.rng, draw.yes(0.25)
    if draw.real and draw.turn((0, 1, 0)):
        return _real_vt(draw, bpm)
    heart = drawn_heart(draw)
    begin_s = 0.0 if from_start else 25.0
    tape = Tape(draw.fs_hz, begin_s + 35)
    before = times(0.5, begin_s, draw.spread(55, 100), rng) if begin_s else []
    tape.rhythm(heart, before, rng)
    vt = heart.ventricular(heart.mv * draw.spread(0.8, 1.8), draw.spread(100, 130), t=0.0)
    first_s = before[-1] + 0.32 if before else 0.4
    for at_s in times(first_s, tape.seconds, bpm, rng, breath=0.005, jitter=0.008):
        tape.beat((*vt.qrs(), (-0.4 * vt.r_mv * vt.polarity, 0.55 * 60 / bpm, 0.045)), at_s)
    tape.electrodes(draw)
    about = f"VT {bpm:.0f}, {vt.mv:.1f} mV{', from the start' if from_start else ''}"
    return Case(tape, lambda received: high_within(received, first_s), about)


def _real_vt(draw: Draw, bpm: float) -> Case:
    """A run of ventricular beats of a record, at another speed, again and again."""
    name = draw.pick(("205", "203"))
    whole = leads.lead(name)
    is_v = whole.labels == "V"
    rr_s = np.diff(whole.beats_s)
    steady = np.r_[False, np.abs(np.diff(rr_s)) < 0.05]  # beats in step with those before
    even = is_v[1:] & is_v[:-1] & (rr_s < 0.42) & steady
    ends = np.flatnonzero(np.diff(np.r_[False, even, False].astype(np.int8)))
    runs = [(low, high) for low, high in zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True) if high - low > 2]
    first, last = runs[int(draw.rng.integers(len(runs)))]
    low_s, high_s = float(whole.beats_s[first]), float(whole.beats_s[last])
    own_bpm = 60 * (last - first) / (high_s - low_s)
    loop, _ = leads.cut(whole, low_s, high_s - low_s, draw.fs_hz * own_bpm / bpm)
    loop = loop - np.linspace(loop[0], loop[-1], loop.size)
    loop -= np.median(loop)
    sinus_s = 20.0
    mv, beats_s = leads.cut(whole, leads.stretch(whole, draw.rng, sinus_s, "NSV"), sinus_s, draw.fs_hz)
    tape = Tape(draw.fs_hz, sinus_s + 35)
    last_s = max(at_s for at_s in beats_s if at_s < sinus_s - 0.5)
    here = tape.part(last_s + 0.35, tape.seconds)
    tape.mv[: here.start] = mv[: here.start]
    tape.mv[here] = np.resize(loop, here.stop - here.start) + mv[here.start - 1]
    return Case(
        tape, lambda received: high_within(received, last_s + 0.35), f"mitdb {name}, VT {own_bpm:.0f} at {bpm:.0f}"
    )


def infant(draw: Draw) -> Case:
    """B3: infants; every fourth slows to 60 to 75 bpm."""
    bpm, rng = draw.spread(150, 230), draw.rng
    heart = drawn_heart(draw, mv=(0.5, 2.0), qrs_ms=(40, 60))
    heart = replace(heart, pr_s=0.10, t_s=0.22, t_sigma_s=0.035)
    slow = draw.number % 4 == 3
    change_s = 40.0 if slow else 60.0
    tape = Tape(draw.fs_hz, 60.0)
    fast = times(0.5, change_s, bpm, rng, breath=0.03)
    tape.rhythm(heart, fast, rng)
    if slow:
        slow_bpm = draw.rng.uniform(60, 75)
        tape.rhythm(heart, times(fast[-1] + 60 / slow_bpm, 60.0, slow_bpm, rng), rng)
    tape.electrodes(draw)
    true = true_bpm(fast, change_s - 25, change_s)

    def judge(received: Received) -> Fault:
        beats = [beat for beat in received.beats if 10 * tape.fs_hz < beat.r_sample < change_s * tape.fs_hz]
        odd = sum(beat.anomalous for beat in beats)
        allowed = TACHY if bpm > 180 else ()
        return first_of(
            rate_right(received, true, change_s - 20, change_s),
            f"{odd} of {len(beats)} beats anomalous" if odd > 0.05 * len(beats) else None,
            quiet(received, 0, change_s, priorities=("high", "medium"), besides=allowed),
            raised(received, BRADY, change_s) if slow else None,
        )

    return Case(
        tape, judge, f"{bpm:.0f} bpm, QRS {heart.qrs_ms:.0f} ms{', then slow' if slow else ''}", patient="neonate"
    )


def rate_step(draw: Draw) -> Case:
    """B4: steps from about 80 bpm."""
    after, within_s = draw.turn(((120.0, 8.0), (40.0, 10.0), (30.0, 10.0)))
    before, rng = draw.spread(76, 84), draw.rng
    after *= draw.spread(0.97, 1.03)
    heart, change_s = drawn_heart(draw), 30.0 + draw.spread(0, 3)
    tape = Tape(draw.fs_hz, 65.0)
    old = times(0.5, change_s, before, rng, breath=0.01)
    tape.rhythm(heart, old, rng)
    tape.rhythm(heart, times(old[-1] + 60 / after, 65.0, after, rng, breath=0.01), rng)
    tape.electrodes(draw)
    return Case(
        tape, lambda received: shown_after(received, after, old[-1], within_s), f"{before:.0f} to {after:.0f} bpm"
    )


def limit_crossed(draw: Draw) -> Case:
    """B5: a rate beyond the default limits."""
    fast, rng = draw.turn((True, False)), draw.rng
    after = draw.spread(130, 210) if fast else draw.spread(27, 40)
    before = draw.spread(65, 95)
    heart, change_s = drawn_heart(draw), 30.0 + draw.spread(0, 3)
    tape = Tape(draw.fs_hz, 60.0)
    old = times(0.5, change_s, before, rng)
    tape.rhythm(heart, old, rng)
    tape.rhythm(heart, times(old[-1] + 60 / after, 60.0, after, rng, breath=0.01), rng)
    tape.electrodes(draw)

    def judge(received: Received) -> Fault:
        return first_of(
            raised(received, TACHY if fast else BRADY, old[-1], priorities=("high", "medium")),
            quiet(received, 0, old[-1], priorities=("high", "medium"), kinds=(*TACHY, *BRADY)),
        )

    return Case(tape, judge, f"{before:.0f} to {after:.0f} bpm")


def any_size(draw: Draw) -> Case:
    """B6: QRS complexes of any size and width, from the first second."""
    bpm, rng = draw.spread(50, 110), draw.rng
    mv, qrs_ms = draw.spread(0.15, 12.0, log=True), draw.spread(40, 200)
    wide = qrs_ms > 115
    heart = replace(drawn_heart(draw), mv=mv, qrs_ms=qrs_ms, wide=wide, t=draw.spread(-0.3, -0.15) if wide else 0.2)
    tape = Tape(draw.fs_hz, 60.0)
    tape.rhythm(heart, times(0.5, 60.0, bpm, rng), rng)
    tape.electrodes(draw, noise_mv=(0.002, 0.004 if mv < 0.3 else 0.01), breath_mv=0.05 if mv < 0.5 else 0.15)
    true, usual = true_bpm(tape.beats_s, 35, 60), 0.3 < mv < 8 and 60 < qrs_ms < 140

    def judge(received: Received) -> Fault:
        beats = [beat for beat in received.beats if beat.r_sample > 10 * tape.fs_hz]
        unscored = sum(beat.log_prob is None for beat in beats)
        return first_of(
            rate_right(received, true, 40, 60),
            counted(received, 5, 57),
            quiet(received),
            f"{unscored} of {len(beats)} beats not scored" if usual and unscored > 0.1 * len(beats) else None,
        )

    return Case(tape, judge, f"QRS {mv:.2f} mV, {qrs_ms:.0f} ms, {bpm:.0f} bpm")


def tall_t(draw: Draw) -> Case:
    """B7: T waves as tall as the QRS complex and taller."""
    share, bpm, rng = draw.spread(0.5, 1.6), draw.spread(45, 110), draw.rng
    mv = draw.spread(0.4, 1.2 / share, log=True) if share > 0 else 1.0
    heart = drawn_heart(draw)
    heart = replace(heart, mv=mv * (1 + max(heart.q, heart.s)), t=share, t_sigma_s=draw.spread(0.035, 0.055))
    tape = Tape(draw.fs_hz, 60.0)
    tape.rhythm(heart, times(0.5, 60.0, bpm, rng), rng)
    tape.electrodes(draw, noise_mv=(0.002, 0.01))
    true = true_bpm(tape.beats_s, 35, 60)

    def judge(received: Received) -> Fault:
        return first_of(rate_right(received, true, 40, 60), counted(received, 8, 57), quiet(received))

    return Case(tape, judge, f"T {share:.1f} of R, R {mv:.1f} mV, {bpm:.0f} bpm")


def small_pvcs(draw: Draw) -> Case:
    """B8: every second beat a small wide one."""
    bpm, share, rng = draw.spread(55, 90), draw.spread(0.36, 0.6), draw.rng
    heart = drawn_heart(draw, mv=(0.8, 2.5))
    pvc = heart.ventricular(share * heart.mv, draw.spread(125, 160), t=draw.spread(-0.4, -0.2))
    tape = Tape(draw.fs_hz, 75.0)
    _bigeminy(tape, heart, pvc, 0.0 if draw.yes() else 15.0, bpm, draw.spread(0.55, 0.7), rng)
    tape.electrodes(draw, noise_mv=(0.002, 0.01))
    true = true_bpm(tape.beats_s, 45, 75)
    return Case(
        tape, lambda received: first_of(rate_right(received, true, 55, 75, within=0.1 * true), quiet(received)),
        f"PVC {100 * share:.0f} % of R, {bpm:.0f} bpm",
    )  # fmt: skip


def _bigeminy(
    tape: Tape, heart: Heart, pvc: Heart, from_s: float, bpm: float, early: float, rng: np.random.Generator
) -> None:
    """Sinus rhythm, and from `from_s` on a PVC after `early` of RR behind each beat, with a full pause."""
    sinus = times(0.5, from_s, bpm, rng) if from_s else []
    tape.rhythm(heart, sinus, rng)
    at_s, rr_s = (sinus[-1] + 60 / bpm) if sinus else 0.5, 60 / bpm
    while at_s < tape.seconds - 1:
        tape.beat(heart.beat(rr_s), at_s)
        tape.beat((*pvc.qrs(), *pvc.t_wave(rr_s)), at_s + early * rr_s + 0.008 * rng.standard_normal())
        at_s += 2 * rr_s * (1 + 0.01 * rng.standard_normal())


def odd_from_start(draw: Draw) -> Case:
    """B9: bigeminy, paced, LBBB, AF and low voltage from the first second."""
    kind, rng, bpm = draw.turn(("bigeminy", "paced", "LBBB", "AF", "low voltage")), draw.rng, draw.spread(55, 100)
    heart = drawn_heart(draw, mv=(0.25, 0.45) if kind == "low voltage" else (0.7, 2.5))
    tape = Tape(draw.fs_hz, 75.0)
    if kind == "bigeminy":
        pvc = heart.ventricular(heart.mv * draw.spread(0.9, 1.6), draw.spread(130, 160))
        _bigeminy(tape, heart, pvc, 0.0, bpm, draw.spread(0.55, 0.7), rng)
    elif kind == "AF":
        for at_s in irregular_times(0.5, 75.0, bpm, rng, spread=draw.spread(0.12, 0.25)):
            tape.beat((*heart.qrs(), *heart.t_wave(60 / bpm)), at_s)
    elif kind in ("paced", "LBBB"):
        wide = replace(
            heart,
            wide=True,
            qrs_ms=draw.spread(130, 165),
            t=draw.spread(-0.4, -0.2),
            p=0.0 if kind == "paced" else heart.p,
        )
        tape.rhythm(wide, times(0.5, 75.0, bpm, rng, breath=0.0 if kind == "paced" else 0.02), rng)
        if kind == "paced":
            for at_s in tape.beats_s:
                tape.mv[min(tape.mv.size - 1, round((at_s - 0.06) * tape.fs_hz))] += 1.5
            tape.pulses_s = [at_s - 0.06 for at_s in tape.beats_s]
    else:
        tape.rhythm(heart, times(0.5, 75.0, bpm, rng), rng)
    tape.electrodes(draw, noise_mv=(0.002, 0.006 if kind == "low voltage" else 0.015), breath_mv=0.1)
    true = true_bpm(tape.beats_s, 45, 75)

    def judge(received: Received) -> Fault:
        off = 0.2 if kind == "AF" else 0.1  # the mean of a few beats of an irregular rhythm
        return first_of(rate_right(received, true, 50, 75, within=max(5.0, off * true)), quiet(received))

    return Case(tape, judge, f"{kind}, {bpm:.0f} bpm, {heart.mv:.1f} mV")


ROWS_B = (
    Row("B1", "15 to 300 bpm, narrow QRS, 0.5 to 5 mV", "within 10 % or 5 bpm", any_rate),
    Row("B2", "VT at 240 to 310 bpm", "high within 10 s", fast_vt, real=True),
    Row("B3", "infant at 150 to 230 bpm, QRS 40 to 60 ms", "rate right, limits of the category, no flood of anomalies",
        infant),
    Row("B4", "step 80 to 120, 40 and 30 bpm", "shown within 8, 10 and 10 s", rate_step),
    Row("B5", "limits crossed, default settings", "alarm within 10 s of the change", limit_crossed, 1.0),
    Row("B6", "QRS 0.15 to 12 mV, 40 to 200 ms, from the start", "counted, scored where the model can judge", any_size),
    Row("B7", "T wave up to 1.2 mV and 1.6 of R", "counted once", tall_t),
    Row("B8", "bigeminy with small wide PVCs", "rate within 10 %", small_pvcs),
    Row("B9", "bigeminy, paced, LBBB, AF, low voltage from the start", "rate right, no false high", odd_from_start),
)  # fmt: skip
