"""Kinds of alarms: which are technical, which the pipeline tells, and which cover which."""

from __future__ import annotations

from typing import Final

__all__ = ["COVERED_BY", "COVERS", "NO_SAMPLES", "REPORTED", "TECHNICAL"]

NO_SAMPLES: Final = ("no_data", "source_lost")  # no sample comes, so the sample clock stands still
REPORTED: Final = (*NO_SAMPLES, "sampling_rate", "journal_failed")  # only source and pipeline can know
TECHNICAL: Final = frozenset((*REPORTED, "leads_off", "poor_signal", "gap", "overload"))

# One cause, one alarm: while the first is up the others are not raised, for they would say the same again with less
# urgency. Never where the first is configured to a lower priority than the other.
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
        "anomalous_beat",
    ),
    "asystole": ("extreme_bradycardia", "bradycardia", "pause"),
    "ventricular_run": ("extreme_tachycardia", "anomaly_run", "anomaly_burden", "tachycardia", "anomalous_beat"),
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
