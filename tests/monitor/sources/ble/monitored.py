"""The monitor as a program whose Bluetooth is a fake strap: `python monitored.py LOST JITTER_S ARGUMENTS...`.

The strap sends 40 s of a heart at 72 per minute in real time; LOST is the share of notifications that do not arrive.
"""

from __future__ import annotations

import sys

import numpy as np

from monitor.__main__ import main
from monitor.sources import SourceOptions, open_source
from monitor.sources.ble import radio
from tests.monitor.sources.ble.strap import Strap

SECONDS = 40


def strap_of(lost: float, jitter_s: float) -> Strap:
    source = open_source(f"sim:sinus@72={2 * SECONDS}", SourceOptions(fs_hz=130.0))
    chunk = source.read(SECONDS * 130)
    assert chunk is not None
    frames = np.flatnonzero(np.random.default_rng(7).random(SECONDS * 2) < lost)
    return Strap(chunk.samples * 1000, lost=set(frames[frames > 0].tolist()), jitter_s=jitter_s)


if __name__ == "__main__":
    radio.use_backend(strap_of(float(sys.argv[1]), float(sys.argv[2])).backend())
    sys.argv = ["ecg-monitor", *sys.argv[3:]]
    main()
