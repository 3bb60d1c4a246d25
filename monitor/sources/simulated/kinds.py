"""The kinds of rhythm that a scenario can name: one line each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is simulated in a segment of one kind.

    Attributes:
        text: one line for the user.
        beats: key of `rhythm.RHYTHMS`; None = no QRS complex.
        over: keys of `disturbance.DISTURBANCES`: what is added to the heartbeats.
        rate: rate per minute without `@`, or the option that gives it; 0 = none.
        rate_of: what the rate is a rate of; empty = the kind has no rate.
        p_waves: P waves go on at the option `hr`, not followed by QRS complexes.
        pulses: pulses of a pacemaker without capture, at the option `pace`.
        unplugged: no patient: neither respiration nor white noise.
        glides: the rate changes evenly from the option `hr` to that of the segment, at its end.
        losses: samples are missing: `loss_ms` every `loss_every` s.
    """

    text: str
    beats: str | None = "sinus"
    over: tuple[str, ...] = ()
    rate: float | str = "hr"
    rate_of: str = "heart rate"
    p_waves: bool = False
    pulses: bool = False
    unplugged: bool = False
    glides: bool = False
    losses: bool = False


KINDS: dict[str, Kind] = {
    # Sinus rhythm and single ectopic beats.
    "sinus": Kind("sinus rhythm"),
    "brady": Kind("sinus bradycardia", rate=36.0),
    "tachy": Kind("sinus tachycardia", rate=150.0),
    "pause": Kind("sinus rhythm with one sinus arrest of 3.2 s", "pause"),
    "rsa": Kind("sinus rhythm with strong respiratory arrhythmia, as in the young", "rsa"),
    "accel": Kind("sinus rhythm that accelerates or slows from `hr` to @RATE", rate=130.0, glides=True),
    "lbbb": Kind("sinus rhythm with left bundle branch block: QRS 140 to 160 ms, tall opposite T", "lbbb"),
    "pac": Kind("sinus rhythm, every 4th or 5th beat a premature atrial one", "pac"),
    "pvc": Kind("sinus rhythm, every 4th or 5th beat a premature ventricular one", "pvc"),
    "r_on_t": Kind("as pvc, the premature beats on the T wave", "r_on_t"),
    "couplet": Kind("sinus rhythm with pairs of premature ventricular beats", "couplet"),
    "bigeminy": Kind("sinus rhythm, every 2nd beat a premature ventricular one", "bigeminy"),
    "small_pvc": Kind("bigeminy, the premature beats wide and 0.4 of R", "small_pvc"),
    "trigeminy": Kind("sinus rhythm, every 3rd beat a premature ventricular one", "trigeminy"),
    # Other supraventricular rhythms.
    "af": Kind("atrial fibrillation", "af", ("af",), rate=95.0),
    "svt": Kind("supraventricular tachycardia: regular, narrow, no P wave", "svt", rate=190.0),
    "svt_wide": Kind("the same with aberrant conduction: as lbbb, no P wave", "svt_wide", rate=190.0),
    # Ventricular rhythms.
    "vt": Kind("monomorphic ventricular tachycardia", "vt", rate=180.0),
    "torsades": Kind("torsades de pointes: polymorphic, amplitude and axis twist", "torsades", rate=220.0),
    "flutter": Kind("ventricular flutter, as a sine", "flutter", rate=270.0),
    "vf": Kind("ventricular fibrillation", None, ("vf",), rate_of=""),
    "fine_vf": Kind("fine ventricular fibrillation, 0.05 mV rms", None, ("fine_vf",), rate_of=""),
    # The heart stands still, or nearly.
    "block": Kind(
        "complete AV block: P waves at `hr`, narrow escape beats",
        "escape", rate=35.0, rate_of="escape beats", p_waves=True,
    ),
    "block_wide": Kind(
        "complete AV block, wide escape beats",
        "escape_wide", rate=35.0, rate_of="escape beats", p_waves=True,
    ),
    "standstill": Kind("ventricular standstill: P waves at `hr`, no QRS complex", None, rate_of="", p_waves=True),
    "asystole": Kind("no heartbeat, no P wave", None, rate_of=""),
    "flat": Kind("a line under 10 uV peak to peak", None, ("flat",), rate_of="", unplugged=True),
    # Pacemaker.
    "paced": Kind("ventricular pacing with capture, P waves dissociated", "paced", rate="pace",
                  rate_of="pacing", p_waves=True),
    "capture_lost": Kind(
        "pulses at `pace` without capture; no QRS complex, or wide escape beats",
        "escape_wide", rate=0.0, rate_of="escape beats, 0 = none", p_waves=True, pulses=True,
    ),
    "paced_vf": Kind("ventricular fibrillation under pulses at `pace`", None, ("vf",), rate_of="", pulses=True),
    # Disturbances.
    "noise": Kind("sinus rhythm under muscle noise and electrode motion", over=("noise",)),
    "muscle": Kind("sinus rhythm under muscle noise of `muscle` mV", over=("muscle",)),
    "tremor": Kind("sinus rhythm under tremor of 4.5 to 7 Hz, as in tooth brushing", over=("tremor",)),
    "motion": Kind("sinus rhythm under electrode motion of `motion` mV", over=("motion",)),
    "decay": Kind("sinus rhythm, steps of an electrode of 2 to 8 mV that decay in seconds", over=("decay",)),
    "shiver": Kind("no heartbeat, under shivering of `muscle` mV", None, ("shiver",), rate_of=""),
    "calibration": Kind(
        "square wave of 1 mV, no patient",
        None, ("calibration",), rate=60.0, rate_of="periods", unplugged=True,
    ),
    "losses": Kind("sinus rhythm, samples missing again and again (`loss_ms`, `loss_every`, `garbled`)",
                   over=("garbled",), losses=True),
    "losses_flat": Kind("no heartbeat, the same losses", None, ("garbled",), rate_of="", losses=True),
    "leadsoff": Kind("electrode off: no valid sample", None, ("leadsoff",), rate_of=""),
}  # fmt: skip
