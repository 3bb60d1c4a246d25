"""Rows D1 to D5: ventricular rhythms, and what looks like them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clinical_rows import leads, noises
from clinical_rows.cases import Case, Draw, Fault, Row
from clinical_rows.hearts import drawn_heart, times
from clinical_rows.received import Received
from clinical_rows.tapes import Tape, simulated
from clinical_rows.verdicts import first_of, high_within, quiet, raised

_VENTRICULAR = ("ventricular_fibrillation", "ventricular_run")


def lethal_waves(draw: Draw) -> Case:
    """D1: VF, flutter, torsades, fine VF, VF in hum; most from the first second."""
    if draw.real and draw.turn((0, 0, 1)):
        return _real_fibrillation(draw)
    kind, rng, fs_hz = draw.turn(("VF", "flutter", "torsades", "fine VF", "VF in hum")), draw.rng, draw.fs_hz
    begin_s = 0.0 if draw.yes(0.7) else 25.0
    tape = Tape(fs_hz, begin_s + 35.0)
    before = times(0.5, begin_s, draw.spread(55, 105), rng) if begin_s else []
    heart = drawn_heart(draw)
    tape.rhythm(heart, before, rng)
    n, bpm = tape.samples(36.0), draw.spread(185, 290)
    rms_mv = draw.spread(0.045, 0.06) if kind == "fine VF" else draw.spread(0.12, 0.5, log=True)
    if kind == "flutter":
        made = noises.flutter(rng, fs_hz, n, 3 * rms_mv, max(bpm, 200))
    elif kind == "torsades":
        made = noises.torsades(rng, fs_hz, n, draw.spread(0.8, 2.5), min(bpm, 260))
    else:
        made = noises.fibrillation(rng, fs_hz, n, rms_mv)
    begin_s = before[-1] + 0.35 if before else 0.0
    tape.add(begin_s, tape.seconds, made)
    tape.electrodes(draw, noise_mv=(0.002, 0.006 if kind == "fine VF" else 0.012), breath_mv=0.1)
    if kind == "VF in hum":
        tape.mv += noises.hum(fs_hz, tape.mv.size, draw.spread(0.05, 0.4), draw.pick((50.0, 60.0)), 0.5)
    about = f"{kind} of {rms_mv:.2f} mV" + (", from the start" if not begin_s else "")
    return Case(tape, lambda received: high_within(received, begin_s), about)


def _real_fibrillation(draw: Draw) -> Case:
    """VF of an odd record of cudb, from the start."""
    name, mv = leads.fibrillation(draw, 40.0)
    tape = Tape(draw.fs_hz, mv.size / draw.fs_hz)
    tape.mv = mv * draw.pick((1, -1))
    return Case(tape, lambda received: high_within(received, 0.0), f"cudb {name}, from the start")


def monomorphic_vt(draw: Draw) -> Case:
    """D2: VT at 110 to 240 bpm, new and from the first second."""
    bpm, rng, new = draw.spread(110, 240), draw.rng, draw.turn((True, False))
    begin_s = 30.0 if new else 0.0
    if draw.number % 5 == 4:
        tape = simulated(f"sinus={begin_s:g},vt@{bpm:.0f}=60" if new else f"vt@{bpm:.0f}=60", draw.fs_hz, draw.number)
        first_s, about = next(at_s for at_s in tape.beats_s if at_s >= begin_s - 0.1), "sim, "
    else:
        heart = drawn_heart(draw)
        tape = Tape(draw.fs_hz, begin_s + 60.0)
        before = times(0.5, begin_s, draw.spread(55, 95), rng) if new else []
        tape.rhythm(heart, before, rng)
        qrs_ms = min(draw.spread(125, 180), max(110.0, 0.5 * 60000 / bpm))
        vt = heart.ventricular(heart.mv * draw.spread(0.7, 1.8), qrs_ms, t=0.0)
        t_mv, rr_s = draw.spread(0.2, 0.4) * vt.mv * -vt.polarity, 60 / bpm
        first_s = before[-1] + min(0.45, rr_s) if before else 0.4
        for at_s in times(first_s, tape.seconds, bpm, rng, breath=0.005, jitter=0.01):
            t_wave = (t_mv, min(0.30, 0.55 * rr_s), min(0.055, 0.14 * rr_s))
            tape.beat((*vt.qrs(), t_wave), at_s, 1 + 0.02 * rng.standard_normal())
        if draw.yes(0.4):  # the atria go on by themselves
            tape.p_waves(replace(heart, p=0.08), times(first_s, tape.seconds, 75, rng), rng)
        tape.electrodes(draw, breath_mv=0.1)
        about = f"QRS {qrs_ms:.0f} ms, {vt.mv:.1f} mV, "

    def judge(received: Received) -> Fault:
        return first_of(
            raised(received, ("ventricular_run",), first_s),
            quiet(received, kinds=("ventricular_fibrillation", "asystole")),
        )

    return Case(tape, judge, f"{about}VT {bpm:.0f}, {'new' if new else 'from the start'}")


def tremor(draw: Draw) -> Case:
    """D3: tremor or tooth brushing of 4.5 to 7 Hz over visible QRS complexes."""
    hz, mv, rng = draw.spread(4.5, 7.0), draw.spread(0.4, 1.0), draw.rng
    begin_s = 0.0 if draw.yes(0.25) else draw.spread(5, 15)
    if draw.real and draw.turn((0, 1, 0)):
        name, signal, beats_s = leads.clear_piece(draw, 75.0)
        tape = Tape(draw.fs_hz, 75.0)
        tape.mv, tape.beats_s = signal[: tape.mv.size], beats_s
        mv = min(mv, 0.8 * leads.real_heart(signal, beats_s, draw.fs_hz).r_mv)
        about = f"mitdb {name}"
    else:
        tape, bpm = Tape(draw.fs_hz, 75.0), draw.spread(55, 110)
        heart = replace(drawn_heart(draw), mv=draw.spread(1.25, 3.0) * mv)
        tape.rhythm(heart, times(0.5, 75.0, bpm, rng), rng)
        tape.electrodes(draw)
        about = f"QRS {heart.mv:.1f} mV at {bpm:.0f}"
    tape.add(begin_s, 75.0, noises.tremor(rng, tape.fs_hz, tape.samples(75.0), mv, hz))
    return Case(tape, quiet, f"{hz:.1f} Hz of {mv:.1f} mV, {about}")


def look_alikes(draw: Draw) -> Case:
    """D4: broad QRS with tall T, SVT with the patient's own block, block at 105 to 130 bpm, decay of an electrode."""
    kind, rng = draw.turn(("tall T", "SVT", "fast LBBB", "electrode", "real")), draw.rng
    if kind == "real" and draw.real:
        return _real_block(draw)
    tape, bpm = Tape(draw.fs_hz, 80.0), draw.spread(55, 100)
    heart = drawn_heart(draw)
    broad = replace(
        heart, wide=True, qrs_ms=draw.spread(125, 165), t=-draw.spread(0.25, 0.5), t_s=0.33, t_sigma_s=0.06,
        p=draw.spread(0.08, 0.16),
    )  # fmt: skip
    if kind in ("tall T", "real"):
        share = draw.spread(0.5, 1.1)
        tape.rhythm(replace(broad, t=-share), times(0.5, 80.0, bpm, rng), rng)
        about = f"broad QRS, T {share:.1f} of R at {bpm:.0f}"
    elif kind == "SVT":
        fast = draw.spread(140, 190)
        tape.rhythm(broad, times(0.5, 40.0, bpm, rng), rng)
        first_s = tape.beats_s[-1] + 60 / fast
        tape.rhythm(replace(broad, p=0.0), times(first_s, 80.0, fast, rng, breath=0.003), rng)
        about = f"SVT {fast:.0f} with the block of sinus rhythm {bpm:.0f}"
    elif kind == "fast LBBB":
        bpm = draw.spread(104, 130)
        tape.rhythm(broad, times(0.5, 80.0, bpm, rng), rng)
        about = f"sinus {bpm:.0f} with a broad QRS from the start"
    else:
        tape.rhythm(heart, times(0.5, 80.0, bpm, rng), rng)
        for at_s in np.arange(10.0, 78.0, draw.spread(3, 9)):
            n = tape.part(at_s, 80.0)
            decay_s, mv = rng.uniform(0.3, 3.0), rng.uniform(0.7, 4.0) * rng.choice((-1, 1))
            tape.mv[n] += mv * np.exp(-np.arange(n.stop - n.start) / (decay_s * tape.fs_hz))
        about = f"steps of an electrode that decay, {bpm:.0f}"
    tape.electrodes(draw, breath_mv=0.1)
    return Case(tape, lambda received: quiet(received, kinds=_VENTRICULAR), about)


def _real_block(draw: Draw) -> Case:
    """A record with left bundle branch block, played at another speed."""
    speed = draw.spread(0.9, 1.35)
    whole = leads.lead(draw.pick(leads.BLOCK))
    since_s = leads.stretch(whole, draw.rng, 60.0)
    mv, _ = leads.cut(whole, since_s, 60.0, draw.fs_hz / speed)
    tape = Tape(draw.fs_hz, mv.size / draw.fs_hz)
    tape.mv = mv * draw.pick((1, -1))
    return Case(
        tape, lambda received: quiet(received, kinds=_VENTRICULAR), f"mitdb {whole.name} at {speed:.2f} of its speed"
    )


def passed_noise(draw: Draw) -> Case:
    """D5: noise over a heart that beats."""
    kinds = ("white", "muscle", "motion", "swings", "sim", "em", "ma", "hum")
    kind, rng, fs_hz, bpm = draw.turn(kinds), draw.rng, draw.fs_hz, draw.spread(55, 110)
    if kind == "sim":
        return Case(simulated("sinus=15,noise=60", fs_hz, draw.number + 100), quiet, "sim:noise")
    if kind in ("em", "ma") and not draw.real:
        kind = {"em": "motion", "ma": "muscle"}[kind]
    heart = drawn_heart(draw, mv=(0.8, 2.5))
    tape = Tape(fs_hz, 80.0)
    tape.rhythm(heart, times(0.5, 80.0, bpm, rng), rng)
    tape.electrodes(draw)
    rms_mv, n = draw.spread(0.05, 0.6, log=True), tape.samples(65.0)
    if kind in ("em", "ma"):
        made = leads.noise(kind, rng, 66.0, fs_hz)
        made = rms_mv * made / made.std()
    else:
        made = {
            "white": lambda: noises.white(rng, fs_hz, n, rms_mv),
            "muscle": lambda: noises.muscle(rng, fs_hz, n, rms_mv),
            "motion": lambda: noises.motion(rng, fs_hz, n, rms_mv),
            "swings": lambda: noises.band(rng, fs_hz, n, 1.0, 8.0, rms_mv),
            "hum": lambda: noises.hum(fs_hz, n, 1.41 * rms_mv, draw.pick((50.0, 60.0)), 0.3),
        }[kind]()
    tape.add(15.0, 80.0, made)
    return Case(tape, quiet, f"{kind} of {rms_mv:.2f} mV over QRS {heart.mv:.1f} mV at {bpm:.0f}")


ROWS_D = (
    Row("D1", "VF, flutter, torsades, fine VF, VF in hum", "high within 10 s", lethal_waves, 1.0, real=True),
    Row("D2", "monomorphic VT at 110 to 240 bpm, new and from the start", "`ventricular_run`, so named, within 10 s",
        monomorphic_vt),
    Row("D3", "tremor, tooth brushing, QRS visible", "no high alarm", tremor, real=True),
    Row("D4", "broad QRS with tall T, SVT with a block, electrode", "no VF, no `ventricular_run`", look_alikes,
        real=True),
    Row("D5", "noise that passes the quality gate", "no high alarm", passed_noise, real=True),
)  # fmt: skip
