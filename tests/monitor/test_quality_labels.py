"""Every verdict of the detector has plain words."""

from __future__ import annotations

from detector import Quality
from monitor.quality_labels import QUALITY_WORDS, quality_words


def test_every_quality_has_words_of_its_own() -> None:
    assert list(QUALITY_WORDS) == [quality.value for quality in Quality]
    assert len(set(QUALITY_WORDS.values())) == len(Quality)
    assert quality_words("leads_off") == "leads off"
    assert quality_words("of_a_newer_monitor") == "of a newer monitor"
