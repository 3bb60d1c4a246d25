"""Pulses of a pacemaker, as an ADC records them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.sources.simulated.settings import Settings

__all__ = ["PACING_REACH_S", "pulse_mv"]

Floats = NDArray[np.float64]

OVERSHOOT_MAX_MV = 2.0  # IEC 60601-2-27: 2.5 to 25 % of the pulse, at most 2 mV
PACING_REACH_S = 0.8  # eight time constants of the slowest overshoot


def pulse_mv(time_s: Floats, start_s: float, fs_hz: float, settings: Settings, overshoot_share: float) -> Floats:
    """Return a rectangular pulse and its overshoot, averaged over each sample interval, (n,) float64, mV.

    A sample at t is the mean from t - 1/fs to t: the simplest anti-alias filter. A pulse is thus one to three samples,
    and a short one only a fraction of its height: 0.1 ms of 700 mV at 250 Hz gives 17.5 mV.

    Args:
        time_s: (n,) float64, s.
        start_s: begin of the pulse, s.
        fs_hz: sampling rate, Hz.
        settings: `pulse` mV, `pulse_ms`, `overshoot` ms.
        overshoot_share: height of the overshoot as a share of the pulse; it has the opposite polarity.
    """

    def charge(to_s: Floats) -> Floats:
        """Integral of the pulse up to each time, mV s."""
        total = settings.pulse * np.clip(to_s, 0.0, width_s)
        if tau_s > 0:
            total = total - height_mv * tau_s * -np.expm1(-np.maximum(to_s - width_s, 0.0) / tau_s)
        return np.asarray(total, dtype=np.float64)

    width_s, tau_s = settings.pulse_ms / 1000, settings.overshoot / 1000
    height_mv = min(overshoot_share * settings.pulse, OVERSHOOT_MAX_MV)
    since_s = time_s - start_s
    return (charge(since_s) - charge(since_s - 1 / fs_hz)) * fs_hz
