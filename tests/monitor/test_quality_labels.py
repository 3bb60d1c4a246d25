"""Every quality of the detector has a label."""

from __future__ import annotations

from detector import Quality
from monitor.quality_labels import QUALITY_WORDS, quality_words


def test_every_quality_has_its_own_label() -> None:
    assert list(QUALITY_WORDS) == [quality.value for quality in Quality]
    assert len(set(QUALITY_WORDS.values())) == len(Quality)
    assert quality_words("leads_off") == "leads off"
    assert quality_words("of_a_newer_monitor") == "of a newer monitor"
