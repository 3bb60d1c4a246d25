"""Rows C: pacemakers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clinical_rows import noises
from clinical_rows.cases import Case, Draw, Fault, Row
from clinical_rows.hearts import Heart, drawn_heart, times
from clinical_rows.received import Received
from clinical_rows.tapes import Tape
from clinical_rows.verdicts import BRADY, first_of, quiet, raised, rate_right, standstill, true_bpm

_MARK_S = 0.05


@dataclass(frozen=True)
class Pacer:
    """A pacemaker as the electrodes see it: height and width of a pulse, what it leaves behind."""

    mv: float
    lasts_ms: float
    overshoot_mv: float
    decay_ms: float

    def pulse(self, tape: Tape, at_s: float) -> None:
        tape.pulse(at_s, self.mv, self.lasts_ms, self.overshoot_mv, self.decay_ms)

    def __str__(self) -> str:
        rest = f", overshoot {self.overshoot_mv:.1f} mV {self.decay_ms:.0f} ms" if self.overshoot_mv else ""
        return f"pulse {self.mv:.0f} mV {self.lasts_ms:.0f} ms{rest}"


def drawn_pacer(draw: Draw, *, mv: tuple[float, float] = (2.0, 700.0)) -> Pacer:
    """Pulses of 2 to 700 mV that last one to three samples of 250 Hz; every second with an overshoot."""
    height = draw.spread(*mv, log=True)
    overshoot_mv = min(2.0, draw.spread(0.025, 0.25) * height) if draw.yes() else 0.0
    return Pacer(height * draw.pick((1, -1)), draw.spread(4, 12), overshoot_mv, draw.spread(4, 100, log=True))


def _paced(draw: Draw, mode: str, heart: Heart) -> Heart:
    """The beat that a pulse makes: wide with a pulse in the ventricle."""
    if mode == "atrium":
        return heart
    t = draw.spread(-0.4, -0.2)
    return replace(heart, wide=True, qrs_ms=draw.spread(130, 170), t=t, t_s=0.32, t_sigma_s=0.055, p=0.0)


def _beat(tape: Tape, mode: str, pacer: Pacer, heart: Heart, paced: Heart, at_s: float, rr_s: float) -> None:
    """One paced beat with its first pulse at `at_s`."""
    r_s = at_s + 0.06
    if mode in ("atrium", "both"):
        pacer.pulse(tape, at_s)
        tape.put(heart.p_wave(), at_s + 0.05 + heart.pr_s)
        r_s = at_s + (0.05 + heart.pr_s if mode == "atrium" else 0.22)
    if mode in ("ventricle", "both"):
        pacer.pulse(tape, r_s - 0.06)
    tape.beat((*paced.qrs(), *paced.t_wave(rr_s)), r_s)


def capture(draw: Draw) -> Case:
    """C1: pulses with capture."""
    mode, bpm, rng = draw.turn(("ventricle", "both", "ventricle", "atrium")), draw.spread(55, 110), draw.rng
    heart, pacer = drawn_heart(draw), drawn_pacer(draw)
    paced = _paced(draw, mode, heart)
    tape = Tape(draw.fs_hz, 70.0)
    for at_s in times(0.4, tape.seconds - 0.6, bpm, rng, breath=0.0, jitter=0.002):
        _beat(tape, mode, pacer, heart, paced, at_s, 60 / bpm)
    tape.electrodes(draw, breath_mv=0.1)
    true = true_bpm(tape.beats_s, 40, 70)

    def judge(received: Received) -> Fault:
        pulses = [at_s for at_s in tape.pulses_s if 10 < at_s < 65]
        marks = np.array(received.pacer_s)
        marked = sum(bool(marks.size) and bool(np.abs(marks - at_s).min() < _MARK_S) for at_s in pulses)
        false = sum(np.abs(np.array(tape.pulses_s) - at_s).min() > _MARK_S for at_s in marks)
        beats = [beat for beat in received.beats if beat.r_sample > 15 * tape.fs_hz]
        unscored = sum(beat.log_prob is None for beat in beats)
        return first_of(
            rate_right(received, true, 45, 68),
            f"{unscored} of {len(beats)} beats not scored" if unscored > 0.2 * len(beats) else None,
            quiet(received),
            f"{marked} of {len(pulses)} pulses marked" if marked < 0.9 * len(pulses) else None,
            f"{false} false marks" if false > 0.05 * len(pulses) else None,
        )

    return Case(tape, judge, f"{mode} at {bpm:.0f}, {pacer}, QRS {heart.mv:.1f} mV")


def capture_lost(draw: Draw) -> Case:
    """C2: pulses go on, the ventricles do not follow; no escape, or one of about 30 bpm."""
    bpm, rng, mode = draw.spread(65, 95), draw.rng, draw.turn(("ventricle", "both", "ventricle"))
    escape_bpm = draw.turn((0.0, draw.spread(28, 35)))
    heart, pacer = drawn_heart(draw), drawn_pacer(draw)
    paced = _paced(draw, mode, heart)
    tape, lost_s = Tape(draw.fs_hz, 80.0), 30.0
    pulses = times(0.4, tape.seconds - 0.6, bpm, rng, breath=0.0, jitter=0.002)
    for at_s in pulses:
        if at_s < lost_s:
            _beat(tape, mode, pacer, heart, paced, at_s, 60 / bpm)
        else:
            pacer.pulse(tape, at_s)
            if mode == "both":
                tape.put(heart.p_wave(), at_s + 0.05 + heart.pr_s)
                pacer.pulse(tape, at_s + 0.16)
    last_s = tape.beats_s[-1]
    escape = heart.ventricular(heart.mv * draw.spread(0.8, 1.2), 150.0)
    slow = times(last_s + 60 / escape_bpm, 79.0, escape_bpm, rng, breath=0.0) if escape_bpm else []
    for at_s in slow:
        tape.beat((*escape.qrs(), *escape.t_wave(1.2)), at_s)
    tape.electrodes(draw, breath_mv=0.1)

    def judge(received: Received) -> Fault:
        if not slow:
            return standstill(received, last_s)
        return first_of(
            raised(received, BRADY, last_s, priorities=("high", "medium")),
            rate_right(received, escape_bpm, 60, 79, within=5.0),
            quiet(received, kinds=("asystole", "ventricular_fibrillation", "ventricular_run")),
        )

    about = f"{mode} at {bpm:.0f}, {pacer}, QRS {heart.mv:.1f} mV, escape {escape_bpm:.0f}"
    return Case(tape, judge, about)


def fibrillation_under_pacing(draw: Draw) -> Case:
    """C3: VF while pulses go on."""
    bpm, rng = draw.spread(60, 90), draw.rng
    heart, pacer = drawn_heart(draw), drawn_pacer(draw)
    paced = _paced(draw, "ventricle", heart)
    tape, begin_s = Tape(draw.fs_hz, 75.0), 25.0
    for at_s in times(0.4, tape.seconds - 0.6, bpm, rng, breath=0.0, jitter=0.002):
        if at_s < begin_s - 0.3:
            _beat(tape, "ventricle", pacer, heart, paced, at_s, 60 / bpm)
        else:
            pacer.pulse(tape, at_s)
    rms_mv = draw.spread(0.12, 0.5, log=True)
    tape.add(begin_s, tape.seconds, noises.fibrillation(rng, tape.fs_hz, tape.samples(50.0), rms_mv))
    tape.electrodes(draw, breath_mv=0.1)

    def judge(received: Received) -> Fault:
        up = received.up_share(("ventricular_fibrillation",), begin_s + 10, 74.0)
        return first_of(
            quiet(received, 0, begin_s),
            raised(received, ("ventricular_fibrillation",), begin_s),
            f"up {100 * up:.0f} % of the time" if up < 0.99 else None,
        )

    return Case(tape, judge, f"VF {rms_mv:.2f} mV, pulses at {bpm:.0f}, {pacer}")


ROWS_C = (
    Row("C1", "pacing pulses of 2 to 700 mV with capture", "rate right, pulses marked, beats scored", capture),
    Row("C2", "capture lost, pulses go on", "`asystole` or bradycardia within 10 s", capture_lost, 1.0),
    Row("C3", "VF under pacing", "`ventricular_fibrillation` up all the time", fibrillation_under_pacing),
)
