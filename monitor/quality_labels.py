"""Labels of the signal quality for dashboards and alarm texts; messages contain the keys."""

from __future__ import annotations

__all__ = ["QUALITY_WORDS", "quality_words"]

QUALITY_WORDS = {
    "good": "good",
    "hum": "mains hum",
    "muscle": "muscle noise",
    "wander": "baseline wanders",
    "motion": "electrode moves",
    "clipped": "clipped",
    "flat": "flat",
    "settling": "settling",
    "gap": "samples missing",
    "leads_off": "leads off",
    "calibration": "calibration or test signal",
    "unit": "not in mV",
    "truncated": "cut short",
}


def quality_words(quality: str) -> str:
    """Label of the `quality` of a status or beat message; a key of a newer monitor is returned with spaces."""
    return QUALITY_WORDS.get(quality, quality.replace("_", " "))
