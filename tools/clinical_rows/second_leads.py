"""A second lead for every situation: the same heart seen by another pair of electrodes."""

from __future__ import annotations

from typing import Final

import numpy as np

from clinical_rows import noises
from clinical_rows.tapes import Tape

__all__ = ["SECOND_LEADS", "add_second_lead"]

SECOND_LEADS: Final = ("good", "noisy", "off", "alone")


def add_second_lead(tape: Tape, kind: str, seed: int) -> None:
    """Give a tape a second lead; what its source never gives is missing in both.

    Args:
        tape: of the first lead.
        kind: `good`: smaller, inverted, with noise of its own; `noisy`: the same under muscle noise and electrode
            motion; `off`: no valid sample; `alone`: the electrode of the first lead is off, the second has its signal.
        seed: of the noise.
    """
    rng, n = np.random.default_rng(seed), tape.mv.size
    if kind == "off":
        tape.second = np.full(n, np.nan)
    elif kind == "alone":
        tape.mv, tape.second = np.full(n, np.nan), tape.mv
    else:
        low, high = np.nanquantile(tape.mv, (0.002, 0.998)) if np.isfinite(tape.mv).any() else (0.0, 1.0)
        height = min(2.0, high - low) if high - low < 20 else high - low  # in the unit of the tape, which may not be mV
        tape.second = -0.6 * tape.mv + noises.white(rng, tape.fs_hz, n, 0.004 * height)
        if kind == "noisy":
            tape.second += noises.muscle(rng, tape.fs_hz, n, 0.2 * height)
            tape.second += noises.motion(rng, tape.fs_hz, n, 0.3 * height)
