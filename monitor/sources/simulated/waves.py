"""Waves of one heartbeat, and the patient whose beats they are.

The dynamical model of McSharry, Clifford, Tarassenko and Smith 2003 (ECGSYN, DOI 10.1109/TBME.2003.808805):
theta turns with angular velocity omega, one turn a beat, and every wave is an event at one angle,

    z' = - sum_i a_i dtheta_i exp(-dtheta_i^2 / (2 b_i^2)) - (z - z0),      z0 = respiration.

Deviations, and why:
- a_i = A_i omega / b_i^2 (Sameni et al. 2007, DOI 10.1155/2007/43407): A_i is the height in mV at any heart rate.
- The forcing is then exactly the derivative of g = sum_i A_i exp(-dtheta_i^2 / (2 b_i^2)). With z = g + u the stiff
  part is integrated in closed form, and u' = z0 - g - u, slow and linear, is left to one first-order filter.
- Each beat has its own omega = 2 pi / cycle length and its own events (Clifford, Nemati and Sameni 2010,
  DOI 10.1088/0967-3334/31/5/001, switch them by beat type). Neighbouring beats add up.
- ECGSYN scales all b_i by sqrt(heart rate / 60), that is all widths in time by sqrt(RR): QT then follows Bazett.
  Here only the T wave does; P and PR scale by the fourth root; the QRS complex keeps its width, set by the ventricles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.sources.simulated.pacing import pulse_mv
from monitor.sources.simulated.rhythm import PlannedBeat
from monitor.sources.simulated.settings import Settings

__all__ = ["SHAPES", "Patient", "Shape", "Wave"]

Floats = NDArray[np.float64]

P, QRS, T, WHOLE = 0.25, 0.0, 0.5, 1.0  # rate_power of each wave; T: Bazett; WHOLE: a wave that fills the cycle
TEMPLATE_QRS_S = 0.0728  # QRS duration of `_VENTRICLES`, as detector.findings measures it


@dataclass(frozen=True, slots=True)
class Wave:
    """One event of the model, given at a cycle length of 1 s.

    Attributes:
        height: A, share of its group's height.
        centre_s: time from the R-peak, s.
        sigma_s: standard deviation, s.
        rate_power: centre and width are scaled by (cycle length / 1 s) to this power.
    """

    height: float
    centre_s: float
    sigma_s: float
    rate_power: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Waves of a kind of beat.

    Attributes:
        p: P wave; heights are shares of the patient's P.
        qrs: QRS complex; shares of the patient's R.
        t: T wave; shares of the patient's T times `t_share`.
        t_share: height of T in R unless the option `t` is given; 0 = the patient's T.
        width: which width of the patient the QRS has: `qrs` (as conducted), `wide` (bundle branch block, paced),
            `ventricular`, whose T does not follow the option `t`, or `fixed`.
    """

    p: tuple[Wave, ...] = ()
    qrs: tuple[Wave, ...] = ()
    t: tuple[Wave, ...] = ()
    t_share: float = 0.0
    width: str = "qrs"


# The two humps of P, 30 ms apart, and the slow rise and fast fall of T have a common peak of height 1.
_P = (Wave(0.739, -0.176, 0.017, P), Wave(0.739, -0.146, 0.017, P))
_T = (Wave(0.523, 0.235, 0.050, T), Wave(0.615, 0.280, 0.035, T))
_T_OPPOSITE = (Wave(-0.53, 0.290, 0.064, T), Wave(-0.575, 0.345, 0.050, T))
_VENTRICLES = (Wave(-0.075, -0.026, 0.0075, QRS), Wave(1.0, 0.0, 0.0105, QRS), Wave(-0.20, 0.027, 0.0085, QRS))
# Slurred and notched: the left ventricle is reached through muscle.
_BUNDLE_BRANCH = (Wave(0.70, -0.038, 0.014, QRS), Wave(0.95, 0.002, 0.016, QRS), Wave(0.42, 0.037, 0.012, QRS))
_PREMATURE = (Wave(1.29, 0.0, 0.030, QRS), Wave(0.54, 0.052, 0.024, QRS), Wave(-0.13, 0.112, 0.024, QRS))
_PACED = (Wave(0.42, -0.040, 0.0165, QRS), Wave(1.10, 0.0, 0.021, QRS), Wave(0.30, 0.042, 0.0155, QRS))
# Notched, with steep flanks: at 180/min the leakage of the VF filter (detector.fibrillation) is 0.55 to 0.63 and thus
# far from a sine; the tachycardias of mitdb 205 and 223 have 0.59 to 0.83.
_TACHYCARDIA = (
    Wave(0.30, -0.044, 0.013, QRS),
    Wave(1.10, 0.0, 0.016, QRS),
    Wave(0.34, 0.036, 0.013, QRS),
    Wave(-0.40, 0.076, 0.018, QRS),
)

SHAPES: dict[str, Shape] = {
    "p": Shape(_P),
    "sinus": Shape(_P, _VENTRICLES, _T),
    "nodal": Shape((), _VENTRICLES, _T),
    # From low in the atria: an inverted P close to the QRS complex.
    "pac": Shape((Wave(-0.87, -0.135, 0.016, P),), _VENTRICLES, _T),
    "lbbb": Shape(_P, _BUNDLE_BRANCH, _T_OPPOSITE, 0.42, "wide"),
    "nodal_lbbb": Shape((), _BUNDLE_BRANCH, _T_OPPOSITE, 0.42, "wide"),
    "pvc": Shape((), _PREMATURE, (Wave(-1.0, 0.300, 0.068, T),), 0.375, "ventricular"),
    "escape": Shape((), _PREMATURE, (Wave(-1.0, 0.300, 0.068, T),), 0.375, "ventricular"),
    "paced": Shape((), _PACED, _T_OPPOSITE, 0.42, "wide"),
    "vt": Shape((), _TACHYCARDIA, (Wave(-1.0, 0.320, 0.075, T),), 0.30, "ventricular"),
    # A train of these is nearly a sine: the second harmonic is under 10 %.
    "flutter": Shape((), (Wave(0.75, 0.0, 0.20, WHOLE), Wave(-0.75, 0.5, 0.20, WHOLE)), (), 0.0, "fixed"),
    "torsades": Shape((), (Wave(1.25, 0.0, 0.15, WHOLE), Wave(-0.65, 0.42, 0.19, WHOLE)), (), 0.0, "fixed"),
}


class Patient:
    """Heights and widths of one patient's waves: the options, and by the seed what they leave open.

    Attributes:
        r_mv: height of R, mV.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        rng = np.random.default_rng([seed, 4])

        def chosen(option: float | None, low: float, high: float) -> float:
            drawn = float(rng.uniform(low, high))
            return drawn if option is None else option

        self._settings = settings
        self.r_mv = chosen(settings.mv, 1.08, 1.30)
        self._p = chosen(settings.p, 0.085, 0.110)
        self._t = chosen(settings.t, 0.24, 0.31)
        self._qrs_s = chosen(None if settings.qrs is None else settings.qrs / 1000, 0.086, 0.094)
        wide = float(rng.uniform(0.95, 1.05))
        # The tip lies in the apex (QRS negative in lead II) or in the outflow tract.
        self._signs = {"paced": float(rng.choice((-1.0, 1.0)))}
        self._pulse_sign = float(rng.choice((-1.0, 1.0))) * settings.polarity
        self._overshoot_share = float(rng.uniform(0.025, 0.25))
        # A tachycardia from the lower half of the ventricles is negative in lead II, as one in three here.
        self._signs["vt"] = -1.0 if rng.random() < 1 / 3 else 1.0
        self._t_factor = float(rng.uniform(0.75, 1.2))
        ventricular = float(rng.uniform(0.88, 1.12))
        conducted = self._qrs_s / TEMPLATE_QRS_S
        self._widths = {"qrs": conducted, "wide": wide, "ventricular": ventricular, "fixed": 1.0}

    def pulse_mv(self, time_s: Floats, start_s: float, fs_hz: float) -> Floats:
        """Return the pacing pulse that begins at `start_s`, at `time_s`, (n,) float64, s: (n,) float64, mV."""
        return self._pulse_sign * pulse_mv(time_s, start_s, fs_hz, self._settings, self._overshoot_share)

    def beat_mv(self, beat: PlannedBeat, time_s: Floats) -> Floats:
        """Return g of one beat at `time_s`, (n,) float64, s: (n,) float64, mV."""
        shape = SHAPES[beat.shape]
        omega = 2 * np.pi / beat.cycle_s  # rad/s
        width = self._widths[shape.width]
        # P ends before a broad QRS begins, and T follows after its end.
        moved_s = 0.5 * (self._qrs_s - 0.09) if shape.width == "qrs" else 0.0
        own = shape.t_share and (self._settings.t is None or shape.width == "ventricular")
        t = shape.t_share * self._t_factor if own else self._t
        heights, angles, widths = [], [], []
        for waves, height, shift_s, stretch in (
            (shape.p, self._p, -moved_s, 1.0),
            (shape.qrs, 1.0, 0.0, width),
            (shape.t, t, moved_s, 1.0),
        ):
            for wave in waves:
                scale = beat.cycle_s**wave.rate_power
                heights.append(height * wave.height)
                angles.append(omega * (wave.centre_s * stretch * scale + shift_s))
                widths.append(omega * wave.sigma_s * stretch * scale)
        sign = self._signs.get(beat.shape, 1.0)
        factor = self._settings.polarity * sign * self.r_mv * beat.gain
        dtheta = omega * (time_s - beat.r_s) - np.array(angles)[:, None]  # (w, n)
        g = np.array(heights) @ np.exp(-0.5 * (dtheta / np.array(widths)[:, None]) ** 2)
        return np.asarray(factor * g, dtype=np.float64)
