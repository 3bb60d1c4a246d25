"""Kinds of alarms: technical ones, those that the pipeline reports, and which kind covers which."""

from __future__ import annotations

from typing import Final

__all__ = ["COVERED_BY", "COVERS", "NO_SAMPLES", "REPORTED", "TECHNICAL"]

NO_SAMPLES: Final = ("no_data", "source_lost")  # no samples arrive: the sample clock stands still
REPORTED: Final = (*NO_SAMPLES, "sampling_rate", "wrong_unit", "journal_failed")  # the rules cannot detect them
TECHNICAL: Final = frozenset((*REPORTED, "leads_off", "poor_signal", "calibration", "gap", "overload"))

# One cause, one alarm: while the key is up, its kinds are not raised; they have the same cause and less urgency. A kind
# that is configured to a higher priority than the key is never covered.
COVERS: Final[dict[str, tuple[str, ...]]] = {
    "ventricular_fibrillation": (
        "asystole",
        "ventricular_run",
        "extreme_bradycardia",
        "extreme_tachycardia",
        "anomaly_run",
        "anomaly_burden",
        "bradycardia",
        "tachycardia",
        "pause",
        "irregular_rhythm",
        "anomalous_beat",
    ),
    "asystole": ("extreme_bradycardia", "bradycardia", "pause"),
    "ventricular_run": (
        "extreme_tachycardia",
        "anomaly_run",
        "anomaly_burden",
        "tachycardia",
        "irregular_rhythm",
        "anomalous_beat",
    ),
    "extreme_bradycardia": ("bradycardia", "pause"),
    "extreme_tachycardia": ("tachycardia",),
    "anomaly_run": ("anomaly_burden", "anomalous_beat"),
    "anomaly_burden": ("anomalous_beat",),
    "source_lost": ("no_data",),
}
COVERED_BY: Final[dict[str, tuple[str, ...]]] = {
    lower: tuple(higher for higher, others in COVERS.items() if lower in others)
    for lower in {kind for others in COVERS.values() for kind in others}
}
