"""Rows E: what is not the heart, and healthy hearts."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from studies.runs import shipped_scorer

from clinical_rows import leads, noises
from clinical_rows.cases import Case, Draw, Fault, Row
from clinical_rows.hearts import drawn_heart, times
from clinical_rows.received import Received
from clinical_rows.tapes import Tape
from clinical_rows.verdicts import first_of, quiet

_SCALES: Final = {"uV": 1000.0, "V": 0.001, "counts": 200.0, "12-bit": 205.0, "z-score": 0.0}
_TOLD: Final = {
    "uV": ("uv", "microvolt", "µv"),
    "V": ("volt", " v ", " v:", "unit v"),
    "counts": ("count", "adc"),
    "12-bit": ("count", "adc"),
    "z-score": ("z-score", "standard", "normali", "scale", "unit"),
}


def wrong_unit(draw: Draw) -> Case:
    """E1: uV, V, counts of an ADC, z-scores, given as mV."""
    unit, bpm, rng = draw.turn(tuple(_SCALES)), draw.spread(55, 105), draw.rng
    if draw.real and draw.turn((0, 0, 1)):
        name, mv, beats_s = leads.clear_piece(draw, 45.0)
        tape = Tape(draw.fs_hz, 45.0)
        tape.mv, tape.beats_s = mv[: tape.mv.size], beats_s
        about = f"mitdb {name}"
    else:
        tape = Tape(draw.fs_hz, 45.0)
        tape.rhythm(drawn_heart(draw), times(0.5, 45.0, bpm, rng), rng)
        tape.electrodes(draw)
        about = f"{bpm:.0f} bpm"
    if unit == "z-score":
        tape.mv = (tape.mv - tape.mv.mean()) / tape.mv.std()
    else:
        tape.mv *= _SCALES[unit]
    if unit == "counts":
        gain = draw.spread(100, 1000, log=True) / 200
        tape.mv = np.round(tape.mv * gain)
    elif unit == "12-bit":
        tape.mv = np.round(tape.mv + 2048)

    def judge(received: Received) -> Fault:
        found = received.events_of("unit", "scale")
        text = found[0][1].lower() if found else ""
        return first_of(
            "no event" if not found else None,
            f"event after {found[0][0]:.0f} s" if found and found[0][0] > 10.5 else None,
            f"{len(found)} events" if len(found) > 1 else None,
            "event names no flag" if "--unit" not in text and "--mv-per-unit" not in text else None,
            f"event names another unit: {text[:60]}" if not any(word in text for word in _TOLD[unit]) else None,
            quiet(received, priorities=("high", "medium")),
        )

    return Case(tape, judge, f"{unit}, {about}")


def calibration(draw: Draw) -> Case:
    """E2: squares of a calibration or of a device's test signal."""
    hz, mv, rng = draw.spread(0.5, 2.2, log=True), draw.pick((1.0, 1.0, 0.5, 2.0)), draw.rng
    duty, after = max(0.11 * hz, draw.pick((0.5, 0.5, 0.2))), draw.yes()
    begin_s = 20.0 if after else 0.0
    tape = Tape(draw.fs_hz, begin_s + 45.0)
    heart_s = times(0.5, begin_s, 75, rng) if after else []
    tape.rhythm(drawn_heart(draw), heart_s, rng)
    here = tape.part(begin_s, tape.seconds)
    time_s = np.arange(here.stop - here.start) / tape.fs_hz
    square = (np.mod(time_s * hz, 1.0) < duty) - 0.5 * draw.pick((0, 1))
    rise = max(1, round(draw.spread(0.001, 0.006) * tape.fs_hz))  # an amplifier has a highest frequency
    tape.mv[here] += mv * np.convolve(square, np.ones(rise) / rise)[: time_s.size]
    tape.mv += noises.white(rng, tape.fs_hz, tape.mv.size, draw.spread(0.002, 0.01))

    def judge(received: Received) -> Fault:
        found = received.events_of("calib", "test")
        settled = (begin_s + 12) * tape.fs_hz
        scored = sum(beat.log_prob is not None for beat in received.beats if beat.r_sample > settled)
        shown = received.rates_between(begin_s + 12, tape.seconds)
        return first_of(
            f"{len(found)} events" if len(found) != 1 else None,
            f"event after {found[0][0] - begin_s:.0f} s" if found and found[0][0] > begin_s + 15 else None,
            f"{scored} squares scored" if scored else None,
            f"rate {shown[0]:.0f} shown" if shown else None,
            quiet(received, 0, priorities=("high", "medium"), besides=("asystole", "pause") if after else ()),
        )

    return Case(tape, judge, f"{mv:g} mV at {hz:.1f} Hz, {100 * duty:.0f} %{', after an ECG' if after else ''}")


def healthy(draw: Draw) -> Case:
    """E3: five minutes of a healthy heart: acceleration, respiratory arrhythmia, muscle noise, posture."""
    kind, rng = draw.turn(("acceleration", "breath", "muscle", "posture")), draw.rng
    seconds, bpm = 300.0, draw.spread(50, 85)
    if draw.real and draw.turn((0, 0, 0, 1)):
        return _real_healthy(draw, seconds)
    heart = drawn_heart(draw)
    tape = Tape(draw.fs_hz, seconds)
    breath = draw.spread(0.08, 0.22) if kind == "breath" else 0.03
    at_s, rates = 0.5, (bpm, min(114.0, bpm * draw.spread(1.4, 2.0)))
    found = []
    phase = rng.uniform(0, 6)
    while at_s < seconds:
        found.append(at_s)
        effort = np.clip((at_s - 60) / 40, 0, 1) * np.clip((240 - at_s) / 60, 0, 1) if kind == "acceleration" else 0.0
        now = rates[0] + effort * (rates[1] - rates[0])
        at_s += 60 / now * (1 + breath * np.sin(2 * np.pi * 0.22 * at_s + phase) + 0.01 * rng.standard_normal())
    last_s = 0.0
    for at_s in found:
        posture = 1.0
        if kind == "posture":
            posture = (1.0 if at_s < 120 else 0.65) * (1 + 0.12 * np.sin(2 * np.pi * 0.25 * at_s))
        tape.beat(heart.beat(min(1.3, at_s - last_s)), at_s, posture * (1 + 0.02 * rng.standard_normal()))
        last_s = at_s
    tape.electrodes(draw)
    if kind == "muscle":
        rms_mv = draw.spread(0.03, 0.2)
        for begin_s in range(30, 290, 60):
            tape.add(begin_s, begin_s + 25.0, noises.muscle(rng, tape.fs_hz, tape.samples(26.0), rms_mv))
    about = f"{kind} at {bpm:.0f}" + (f" to {rates[1]:.0f}" if kind == "acceleration" else "")
    return Case(tape, lambda received: quiet(received, priorities=("high", "medium")), about)


def _real_healthy(draw: Draw, seconds: float) -> Case:
    """A real lead of normal beats with measured muscle noise in it."""
    name, mv, beats_s = leads.clear_piece(draw, seconds, ("101", "112", "115", "122"))
    tape = Tape(draw.fs_hz, seconds)
    tape.mv, tape.beats_s = mv[: tape.mv.size], beats_s
    rms_mv = draw.spread(0.02, 0.1)
    for begin_s in (60.0, 180.0):
        made = leads.noise("ma", draw.rng, 31.0, draw.fs_hz)
        tape.add(begin_s, begin_s + 30.0, rms_mv * made / made.std())
    about = f"mitdb {name} with ma of {rms_mv:.2f} mV"
    return Case(tape, lambda received: quiet(received, priorities=("high", "medium")), about)


def far_out(draw: Draw) -> Case:
    """E4: beats that the model has never seen."""
    bpm, rng = draw.spread(50, 110), draw.rng
    heart = drawn_heart(draw)
    kind = draw.turn(("narrow", "spike", "tall T", "offset", "ringing"))
    odd = {
        "narrow": replace(heart, qrs_ms=35.0, t=0.05, p=0.02),
        "spike": heart,
        "tall T": replace(heart, t=1.8, t_sigma_s=0.02),
        "offset": heart,
        "ringing": replace(heart, qrs_ms=40.0),
    }[kind]
    tape = Tape(draw.fs_hz, 90.0)
    for nth, at_s in enumerate(times(0.5, 90.0, bpm, rng)):
        is_odd = at_s > 45 and nth % 5 == 0
        tape.beat((odd if is_odd else heart).beat(60 / bpm), at_s)
        if is_odd:
            part = tape.part(at_s + 0.1, at_s + 0.3)
            if kind == "spike":
                tape.mv[part.start : part.start + 2] += 3 * heart.mv
            elif kind == "offset":
                tape.mv[part] += 0.6 * heart.mv
            elif kind == "ringing":
                tape.mv[part] += heart.mv * noises.ringing(tape.mv[part].size, tape.fs_hz)
    tape.electrodes(draw)

    def judge(received: Received) -> Fault:
        scores = [beat.score for beat in received.beats if beat.score is not None]
        if len(scores) < 30:
            return f"{len(scores)} beats scored"
        bound = shipped_scorer().calibration.score_max
        return f"score {max(scores):.3g} above {bound:.3g}" if max(scores) > bound + 1e-6 else None

    return Case(tape, judge, f"{kind}, {bpm:.0f} bpm")


ROWS_E = (
    Row("E1", "uV, V, counts or z-scores given as mV", "one event with unit and flag within 10 s, no false alarm",
        wrong_unit, real=True),
    Row("E2", "calibration square, device test signal", "recognised, not scored, one event", calibration),
    Row("E3", "healthy hearts: acceleration, breath, muscle noise", "no medium or high alarm in 5 min", healthy,
        real=True),
    Row("E4", "beats far from everything the model knows", "score bounded", far_out),
)  # fmt: skip
