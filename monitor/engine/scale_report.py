"""What a bed says of samples that are not in mV: the likely unit with the flag that mends it, and impossible values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from detector import Quality, QualitySpan
from detector.quality import MAX_MV
from detector.scale import Scale
from monitor.sources import Notice, Source
from monitor.sources.units import MV_BY_UNIT

__all__ = ["ScaleReport", "unit_text"]

_WAIT_S = 5.0  # single impossible values are reported this late: many of them are a unit, which is one alarm


class ScaleReport:
    """Counts samples that are no ECG in mV, until the detector has said whether the unit is wrong.

    Args:
        source: of the bed.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._impossible = 0
        self._since = 0

    def count(self, first_sample: int, samples: NDArray[np.float64]) -> None:
        """Take the samples of a chunk."""
        n = int(np.count_nonzero(np.abs(samples) >= MAX_MV))
        if n and not self._impossible:
            self._since = first_sample
        self._impossible += n

    def text(self, scale: Scale) -> str:
        """One line for the alarm `wrong_unit`."""
        unit = getattr(self._source, "unit", "mV")
        return unit_text(scale, unit, getattr(self._source, "mv_per_unit", MV_BY_UNIT.get(unit.lower(), 1.0)))

    def on_quality(self, span: QualitySpan) -> Notice | None:
        """Take the verdict on the next second; returns a notice of impossible values that are no other unit."""
        if span.quality is Quality.UNIT:
            self._impossible = 0
        waited_s = (span.end_sample - self._since) / self._source.fs_hz
        if not self._impossible or waited_s < _WAIT_S:
            return None
        n, self._impossible = self._impossible, 0
        return Notice("bad_input", f"{self._source.name}: {n} samples beyond {MAX_MV:g} mV are no ECG", n)


def unit_text(scale: Scale, unit: str, mv_per_unit: float) -> str:
    """The likely unit and the flag that mends it.

    Args:
        scale: of the samples that were taken for mV.
        unit: as which the source's numbers were read.
        mv_per_unit: mV in one of them, or in one of those that `--unit adc` reads.

    >>> unit_text(Scale("uV", 1100.0, 0.001), "mV", 1.0)
    'numbers look like uV, not mV (QRS of 1100 mV): give --unit uV'
    >>> unit_text(Scale("adc", 380.0, 0.0026), "mV", 1.0)
    'numbers look like ADC counts, not mV (QRS of 380): give their scale, e.g. --unit adc --mv-per-unit 0.0026'
    """
    right = MV_BY_UNIT.get(unit.lower(), 0.0) * scale.mv
    name = next((name for name, mv in _NAMES.items() if math.isclose(mv, right)), None)
    if scale.looks_like in ("uV", "V") and name is not None:
        height = scale.height / MV_BY_UNIT[unit.lower()]
        return f"numbers look like {name}, not {unit} (QRS of {height:.4g} {unit}): give --unit {name}"
    qrs = f"QRS of {scale.height:.4g}"
    scaled = f"--unit adc --mv-per-unit {mv_per_unit * scale.mv:.2g}"
    if scale.looks_like == "z-scores":
        return (
            "numbers look like z-scores (mean 0, standard deviation 1), not mV: "
            f"give the original ones, or make a QRS 1 mV by {scaled}"
        )
    if unit == "adc":
        return f"{qrs} mV: the scale of the ADC is wrong; give another, e.g. {scaled}"
    if scale.looks_like == "adc or uV":
        return f"numbers look like uV or ADC counts, not {unit} ({qrs}): give --unit uV, or their scale, e.g. {scaled}"
    return f"numbers look like ADC counts, not {unit} ({qrs}): give their scale, e.g. {scaled}"


_NAMES = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
