"""A made-up database in the WFDB format: groups of patients with two leads, some of their beats early and wide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import wfdb

FS_HZ = 250
LEADS = ("CM5", "V1")


def write_database(folder: Path, names: Sequence[str], seconds: int = 60, abnormal: str = "V") -> None:
    """Write records with a narrow beat every 0.8 s; one in twelve early and wide, annotated with `abnormal`.

    The signals do not depend on `abnormal`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "RECORDS").write_text("".join(f"{name}\n" for name in names))
    t = np.arange(seconds * FS_HZ) / FS_HZ
    for k, name in enumerate(names):
        rng = np.random.default_rng(k)
        signals = rng.normal(0, 0.01, (t.size, 2))
        samples, symbols, at_s, beat = [], [], 0.6, 0
        while at_s < seconds - 1.0:
            wide = beat % 12 == 11
            width_s = 0.045 if wide else 0.011 + 0.001 * (k % 3)
            for lead, height in enumerate((1.0 + 0.1 * k, 0.7)):
                size = -1.2 * height if wide else height
                for offset_s, part, spread_s in ((0.0, 1.0, width_s), (0.26, 0.25, 0.05)):
                    signals[:, lead] += size * part * np.exp(-0.5 * ((t - at_s - offset_s) / spread_s) ** 2)
            samples.append(round(at_s * FS_HZ))
            symbols.append(abnormal if wide else "N")
            beat += 1
            at_s += 0.5 if beat % 12 == 11 else 0.8 + 0.02 * rng.standard_normal()
        wfdb.wrsamp(name, FS_HZ, ["mV", "mV"], list(LEADS), signals, fmt=["16", "16"], write_dir=str(folder))
        wfdb.wrann(name, "atr", np.array(samples), symbols, write_dir=str(folder))
