"""Rows A: the heart stands still, or nearly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from clinical_rows import leads, noises
from clinical_rows.cases import Case, Draw, Fault, Row
from clinical_rows.hearts import drawn_heart, times
from clinical_rows.received import Received
from clinical_rows.tapes import Tape
from clinical_rows.verdicts import BRADY, first_of, quiet, raised, rate_right, standstill, true_bpm

_SINUS_S: Final = 30.0
_STILL_S: Final = 300.0
_BACK_S: Final = 22.0


def p_waves_alone(draw: Draw) -> Case:
    """A1: P waves go on."""
    share, atrial_bpm, silent = draw.spread(0.04, 0.25, log=True), draw.spread(55, 110), draw.yes()
    if draw.real and draw.turn((0, 1, 0, 0, 1)):
        return _real_standstill(draw, share, atrial_bpm, silent)
    heart_bpm, rng = draw.spread(50, 105), draw.rng
    heart = replace(drawn_heart(draw), p=share)
    tape = Tape(draw.fs_hz, _SINUS_S + _STILL_S + _BACK_S)
    before = times(0.5, _SINUS_S, heart_bpm, rng)
    back_s = _SINUS_S + _STILL_S
    tape.rhythm(heart, before, rng)
    tape.p_waves(heart, times(before[-1] + 60 / heart_bpm - heart.pr_s, back_s - 0.5, atrial_bpm, rng), rng)
    tape.rhythm(heart, times(back_s, tape.seconds, heart_bpm, rng), rng)
    tape.electrodes(draw)
    about = f"P {100 * share:.0f} % of R at {atrial_bpm:.0f}, QRS {heart.mv:.1f} mV, sinus {heart_bpm:.0f}"
    return Case(tape, lambda received: standstill(received, before[-1], back_s), about, acknowledge=silent)


def _real_standstill(draw: Draw, share: float, atrial_bpm: float, silent: bool) -> Case:
    """A1: a real lead of which P waves and noise go on: its own ones in turn, or the mean one scaled."""
    own = draw.yes(0.5)
    name, mv, beats_s = leads.clear_piece(draw, _SINUS_S + _BACK_S + 60.0, leads.SLOW)
    fs_hz, rng = draw.fs_hz, draw.rng
    heart = leads.real_heart(mv, beats_s, fs_hz)
    last_s = max(at_s for at_s in beats_s if at_s < _SINUS_S)
    from_s, back_s = last_s + 0.5, last_s + _STILL_S
    tape = Tape(fs_hz, from_s + _STILL_S + _BACK_S)
    gap = tape.part(from_s, back_s - 0.4)
    head, tail = mv[: gap.start], mv[gap.start :]
    first = next(at_s for at_s in beats_s if at_s > last_s)
    again = [at_s for at_s in beats_s if at_s >= first]
    shift_s = back_s - first
    tape.mv[: gap.start] = head
    n = gap.stop - gap.start
    tape.mv[gap] = heart.noise_of(n) + head[-1]
    for at_s in times(from_s + 0.3, back_s - 1.0, atrial_bpm, rng):
        p_wave = heart.p_waves[int(rng.integers(len(heart.p_waves)))] if own else heart.p_scaled(share)
        here = tape.part(at_s, at_s + p_wave.size / fs_hz)
        tape.mv[here.start : here.start + p_wave.size] += p_wave
    rest = tail[round((first - 0.4 - from_s) * fs_hz) :] if first - 0.4 > from_s else mv[round((first - 0.4) * fs_hz) :]
    rest = rest[: tape.mv.size - gap.stop]
    tape.mv[gap.stop : gap.stop + rest.size] = rest
    tape.mv = tape.mv[: gap.stop + rest.size]
    tape.missing = tape.missing[: tape.mv.size]
    tape.beats_s = [at_s for at_s in beats_s if at_s <= last_s]
    tape.beats_s += [at_s + shift_s for at_s in again if at_s + shift_s < tape.seconds]
    kind = "its own P waves" if own else f"its mean P wave with {100 * share:.0f} % of R"
    about = f"mitdb {name}, {kind}, at {atrial_bpm:.0f}"
    return Case(tape, lambda received: standstill(received, last_s, back_s), about, acknowledge=silent)


def noise_alone(draw: Draw) -> Case:
    """A2: noise of 20 to 40 uV (root mean square) and nothing else."""
    rms_mv, silent, heart_bpm = draw.spread(0.02, 0.04), draw.yes(), draw.spread(50, 105)
    rng, fs_hz = draw.rng, draw.fs_hz
    back_s = _SINUS_S + _STILL_S
    if draw.real and draw.turn((0, 1, 0, 0, 1)):
        name, mv, beats_s = leads.clear_piece(draw, _SINUS_S + _BACK_S, leads.SLOW)
        last_s = max(at_s for at_s in beats_s if at_s < _SINUS_S)
        first_s = min(at_s for at_s in beats_s if at_s > last_s)
        from_s = last_s + 0.5
        tape = Tape(fs_hz, from_s + _STILL_S + _BACK_S)
        gap = tape.part(from_s, back_s)
        made = leads.real_heart(mv, beats_s, fs_hz).noise_of(gap.stop - gap.start, rms_mv)
        tape.mv[: gap.start] = mv[: gap.start]
        tape.mv[gap] = made + float(np.median(mv[gap.start - round(0.1 * fs_hz) : gap.start]))
        rest = mv[max(0, round((first_s - 0.3) * fs_hz)) :][: tape.mv.size - gap.stop]
        tape.mv[gap.stop : gap.stop + rest.size] = rest
        tape.mv, tape.missing = tape.mv[: gap.stop + rest.size], tape.missing[: gap.stop + rest.size]
        shift_s = back_s + 0.3 - first_s
        tape.beats_s = [at_s for at_s in beats_s if at_s <= last_s]
        tape.beats_s += [at_s + shift_s for at_s in beats_s if at_s >= first_s and at_s + shift_s < tape.seconds]
        about = f"mitdb {name}, its noise at {1000 * rms_mv:.0f} uV"
        return Case(tape, _one_standstill(last_s, first_s + shift_s), about, acknowledge=silent)
    heart = drawn_heart(draw)
    tape = Tape(fs_hz, back_s + _BACK_S)
    before = times(0.5, _SINUS_S, heart_bpm, rng)
    tape.rhythm(heart, before, rng)
    tape.rhythm(heart, times(back_s, tape.seconds, heart_bpm, rng), rng)
    kind = draw.pick(("white", "muscle", "slow"))
    n = tape.mv.size
    if kind == "white":
        tape.mv += noises.white(rng, fs_hz, n, rms_mv)
    elif kind == "muscle":
        tape.mv += noises.muscle(rng, fs_hz, n, rms_mv)
    else:
        tape.mv += noises.band(rng, fs_hz, n, 1.0, 25.0, rms_mv)
    tape.mv += noises.wander(rng, fs_hz, n, draw.spread(0.0, 0.1))
    about = f"{kind} noise of {1000 * rms_mv:.0f} uV, QRS {heart.mv:.1f} mV"
    return Case(tape, _one_standstill(before[-1], back_s), about, acknowledge=silent)


def _one_standstill(last_s: float, back_s: float) -> Callable[[Received], Fault]:
    def judge(received: Received) -> Fault:
        count = len({each.alarm_id for each in received.of(("asystole",), since_s=last_s, until_s=back_s)})
        return first_of(standstill(received, last_s, back_s), f"{count} alarms" if count > 1 else None)

    return judge


def flat_line(draw: Draw) -> Case:
    """A3: a line under 10 uV peak to peak; a source that says leads off gives NaN."""
    seconds, rng = 60.0, draw.rng
    tape = Tape(draw.fs_hz, seconds)
    heart, bpm = drawn_heart(draw), draw.spread(50, 110)
    kind = ("constant", "noise", "one step", "from the start", "leads off")[draw.number % 20 // 4]
    until_s = 0.0 if kind == "from the start" else 25.0
    before = times(0.5, until_s, bpm, rng) if until_s else []
    tape.rhythm(heart, before, rng)
    tape.electrodes(draw)
    flat = tape.part(before[-1] + 0.6 if before else 0.0, seconds)
    level, n = float(draw.spread(-0.5, 0.5)), flat.stop - flat.start
    line = np.full(n, level)
    if kind in ("noise", "from the start"):
        line += np.clip(draw.spread(0.0005, 0.0016) * rng.standard_normal(n), -0.0045, 0.0045)
    elif kind == "one step":  # the last bit of an ADC
        line += 0.0025 * (rng.random(n) < 0.3)
    elif kind == "leads off":
        line[:] = np.nan
    tape.mv[flat] = line
    about = f"{kind}, level {level:.1f} mV"
    last_s = before[-1] if before else 0.0
    if kind == "leads off":
        return Case(
            tape, lambda received: first_of(
                quiet(received, last_s), raised(received, ("leads_off",), last_s, category="technical")
            ), about,
        )  # fmt: skip
    return Case(tape, lambda received: raised(received, ("asystole",), last_s, priorities=("high",)), about)


def complete_block(draw: Draw) -> Case:
    """A4: P waves at their own rate, escape beats at 28 to 37 bpm."""
    share, atrial_bpm, bpm = draw.spread(0.08, 0.25), draw.spread(60, 105), draw.spread(28, 37)
    rng, from_start = draw.rng, draw.yes()
    seconds = 60.0 if from_start else 85.0
    block_s = 0.0 if from_start else 25.0
    if draw.real and draw.turn((1, 0, 0)):
        return _real_block(draw, share, atrial_bpm, bpm, seconds, block_s)
    heart = replace(drawn_heart(draw), p=share)
    escape = heart.ventricular(heart.mv * draw.spread(0.8, 1.3), 140.0) if draw.yes(0.4) else heart
    tape = Tape(draw.fs_hz, seconds)
    before = times(0.5, block_s, draw.spread(60, 95), rng) if block_s else []
    tape.rhythm(heart, before, rng)
    last_s = before[-1] if before else 0.0
    tape.p_waves(heart, times(last_s + 0.5, seconds, atrial_bpm, rng), rng)
    slow = times(last_s + (60 / bpm if before else 0.7), seconds, bpm, rng, breath=0.0, jitter=0.01)
    for at_s in slow:
        tape.beat((*escape.qrs(), *escape.t_wave(1.0)), at_s)
    tape.electrodes(draw)
    about = f"P {100 * share:.0f} % at {atrial_bpm:.0f}, escape {bpm:.0f}{' wide' if escape.wide else ''}"
    return _block_case(tape, slow, last_s, from_start, about)


def _real_block(draw: Draw, share: float, atrial_bpm: float, bpm: float, seconds: float, block_s: float) -> Case:
    name, mv, beats_s = leads.clear_piece(draw, 60.0, leads.SLOW)
    heart, rng = leads.real_heart(mv, beats_s, draw.fs_hz), draw.rng
    tape = Tape(draw.fs_hz, seconds)
    last_s = max((at_s for at_s in beats_s if at_s < block_s), default=0.0)
    begin = tape.part(last_s + 0.5, seconds) if last_s else tape.part(0.0, seconds)
    tape.mv[: begin.start] = mv[: begin.start]
    tape.beats_s = [at_s for at_s in beats_s if at_s <= last_s and last_s]
    tape.mv[begin] = heart.noise_of(begin.stop - begin.start) + (mv[begin.start - 1] if begin.start else 0.0)
    slow = times(last_s + (60 / bpm if last_s else 0.7), seconds - 1, bpm, rng, breath=0.0, jitter=0.01)
    for at_s in slow:
        piece = heart.qrst[int(rng.integers(len(heart.qrst)))]
        here = tape.part(at_s - heart.before_s, seconds)
        piece = piece[: here.stop - here.start]
        tape.mv[here.start : here.start + piece.size] += piece
        tape.beats_s.append(at_s)
    p_wave = heart.p_scaled(share)
    for at_s in times(last_s + 0.6, seconds - 1, atrial_bpm, rng):
        here = tape.part(at_s, at_s + p_wave.size / draw.fs_hz)
        tape.mv[here.start : here.start + p_wave.size] += p_wave
    about = f"mitdb {name}, P {100 * share:.0f} % at {atrial_bpm:.0f}, escape {bpm:.0f}"
    return _block_case(tape, slow, last_s, not last_s, about)


def _block_case(tape: Tape, slow: list[float], last_s: float, from_start: bool, about: str) -> Case:
    end_s = slow[-1]
    bpm = true_bpm(slow, end_s - 30, end_s)
    since_s = slow[0] if from_start else last_s  # from the start: from the first beat on

    def judge(received: Received) -> Fault:
        return first_of(
            rate_right(received, bpm, end_s - 20, end_s, within=5.0),
            raised(received, BRADY, since_s),
            quiet(
                received, 0, kinds=("asystole", "ventricular_fibrillation", "ventricular_run", "extreme_tachycardia")
            ),
        )

    return Case(tape, judge, about + (", from the start" if from_start else ""))


def arrest_in_noise(draw: Draw) -> Case:
    """A5: nothing can be scored for 90 s."""
    heart, bpm, rng = drawn_heart(draw), draw.spread(55, 105), draw.rng
    tape = Tape(draw.fs_hz, 125.0)
    begin_s = 25.0
    arrest_s = begin_s + draw.spread(0, 20)
    tape.rhythm(heart, times(0.5, arrest_s, bpm, rng), rng)
    tape.electrodes(draw)
    kind, rms_mv = draw.pick(("muscle", "shivering", "both")), draw.spread(1.0, 3.0)
    n = tape.samples(100.0)
    made = np.zeros(n)
    if kind != "shivering":
        made += noises.muscle(rng, tape.fs_hz, n, rms_mv)
    if kind != "muscle":
        made += noises.band(rng, tape.fs_hz, n, 8.0, 14.0, rms_mv) + noises.muscle(rng, tape.fs_hz, n, 0.5 * rms_mv)
    tape.add(begin_s, tape.seconds, made)

    def judge(received: Received) -> Fault:
        good = [at_s for at_s, quality in received.qualities if at_s > begin_s + 3 and quality == "good"]
        at = {}
        for priority in ("medium", "high"):
            found = received.of(("poor_signal",), priorities=(priority,), since_s=begin_s, category="technical")
            if not found:
                return f"poor_signal never {priority}" + (f"; {len(good) / 2:.0f} s of noise good" if good else "")
            at[priority] = found[0].since_s - begin_s
        if not 25 <= at["medium"] <= 40:
            return f"medium after {at['medium']:.0f} s"
        return None if 55 <= at["high"] <= 70 else f"high after {at['high']:.0f} s"

    return Case(tape, judge, f"{kind} of {rms_mv:.1f} mV, arrest {arrest_s - begin_s:.0f} s after its begin")


def repeated_losses(draw: Draw) -> Case:
    """A6: small losses that repeat, then a flat line."""
    kind = draw.turn(("48 ms every 3 s", "0.56 s every 4 s", "16 ms every 0.2 s", "garbled rows"))
    invalid, rng = draw.yes(), draw.rng
    if kind == "0.56 s every 4 s" and draw.number % 2:
        draw.fs_hz = 130.0
    heart, bpm, last_s = drawn_heart(draw), draw.spread(50, 110), 45.0
    tape = Tape(draw.fs_hz, 80.0)
    before = times(0.5, last_s, bpm, rng)
    tape.rhythm(heart, before, rng)
    tape.electrodes(draw, breath_mv=0.1)
    time_s = np.arange(tape.mv.size) / tape.fs_hz
    if kind == "garbled rows":
        share = draw.spread(0.01, 0.05)
        mask = rng.random(tape.mv.size) < share
        about = f"{100 * share:.1f} % of rows garbled"
    else:
        lost_s, every_s = {"4": (0.048, 3.0), "0": (73 / 130, 4.0), "1": (0.016, 0.2)}[kind[0]]
        lost_s *= draw.spread(0.8, 1.2)
        every_s *= draw.spread(0.8, 1.3)
        mask = (time_s + draw.spread(0, every_s)) % every_s < lost_s
        about = f"{1000 * lost_s:.0f} ms every {every_s:.1f} s"
    mask &= time_s > draw.spread(0, 6)
    tape.lose(mask, invalid=invalid)
    lost_s_at = time_s[mask]
    long = kind[0] in "40"

    def judge(received: Received) -> Fault:
        near_s = 0.1 if long else 0.0  # a person sees a beat beside a long hole, and under a hole of 16 ms
        seen = [
            at_s
            for at_s in before
            if at_s > 4.0 and (not near_s or not lost_s_at.size or np.abs(lost_s_at - at_s).min() > near_s)
        ]
        missed = received.missed(seen)
        return first_of(
            quiet(received, 0, before[-1], priorities=("high", "medium")),
            f"{len(missed)} of {len(seen)} beats missed" if len(missed) > 0.01 * len(seen) else None,
            raised(received, ("asystole",), before[-1]),
        )

    return Case(tape, judge, f"{about}, {'invalid' if invalid else 'missing'}, {bpm:.0f} bpm")


def disturbance(draw: Draw) -> Case:
    """A7: 4 to 10 s of 5 mV or more, then a normal ECG."""
    rng, lasts_s, rms_mv = draw.rng, draw.spread(4, 10), draw.spread(5, 15, log=True)
    kind = draw.turn(("white", "motion", "muscle", "swings", "current"))
    begin_s, seconds = 25.0, 75.0
    if draw.real and draw.turn((0, 1, 0)):
        name, mv, beats_s = leads.clear_piece(draw, seconds)
        tape = Tape(draw.fs_hz, seconds)
        tape.mv[: mv.size], tape.beats_s = mv[: tape.mv.size], beats_s
        about = f"mitdb {name}"
    else:
        bpm = draw.spread(50, 110)
        tape = Tape(draw.fs_hz, seconds)
        tape.rhythm(drawn_heart(draw), times(0.5, seconds, bpm, rng), rng)
        tape.electrodes(draw)
        about = f"{bpm:.0f} bpm"
    n, fs_hz, end_s = tape.samples(lasts_s), tape.fs_hz, begin_s + lasts_s
    made = {
        "white": lambda: noises.white(rng, fs_hz, n, rms_mv),
        "motion": lambda: noises.motion(rng, fs_hz, n, rms_mv),
        "muscle": lambda: noises.muscle(rng, fs_hz, n, rms_mv),
        "swings": lambda: noises.band(rng, fs_hz, n, 0.5, 12.0, rms_mv),
        "current": lambda: noises.hum(fs_hz, n, 1.41 * rms_mv, 50.0, 1.0) + noises.motion(rng, fs_hz, n, 0.3 * rms_mv),
    }[kind]()
    tape.add(begin_s, end_s, made)

    def judge(received: Received) -> Fault:
        after = [at_s for at_s in tape.beats_s if end_s + 5 < at_s < seconds - 3]
        missed = received.missed(after)
        false = quiet(received, 0, priorities=("high", "medium"))
        again = [at_s for at_s in received.found_s if end_s < at_s <= end_s + 5]
        return first_of(
            "no beat within 5 s" if not again else None,
            f"{len(missed)} beats missed, to {missed[-1] - end_s:.0f} s after" if len(missed) > 1 else None,
            false,
        )

    return Case(tape, judge, f"{kind} of {rms_mv:.0f} mV for {lasts_s:.0f} s, {about}")


ROWS_A = (
    Row("A1", "standstill, P waves go on", "`asystole` within 10 s, up until beats are back; no rate", p_waves_alone,
        1.0, real=True),
    Row("A2", "standstill with noise of 20 to 40 uV", "as A1, one alarm", noise_alone, 1.0, real=True),
    Row("A3", "line under 10 uV, impedance unknown", "`asystole` within 10 s; `leads_off` if the source says so",
        flat_line),
    Row("A4", "complete block, escape 28 to 37 bpm", "rate within 5 bpm, bradycardia within 10 s", complete_block,
        real=True),
    Row("A5", "arrest inside muscle noise", "`poor_signal` medium after 30 s, high after 60 s", arrest_in_noise),
    Row("A6", "repeated small losses, then a flat line", "`asystole` within 10 s; before it no beat missed, no alarm",
        repeated_losses, 1.0),
    Row("A7", "disturbance of 5 mV, then a normal ECG", "beats within 5 s, no false alarm", disturbance, real=True),
)  # fmt: skip
