"""Signal quality in plain words, for screens and alarm texts; the wire carries the short ones."""

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
    "truncated": "cut short",
}


def quality_words(quality: str) -> str:
    """What a quality of a status or beat message means; an unknown one (of a newer monitor) as it is."""
    return QUALITY_WORDS.get(quality, quality.replace("_", " "))
