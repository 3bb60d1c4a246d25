"""Beats, chunks and tables of arrays print as one line."""

from __future__ import annotations

import numpy as np

from detector import Detector
from detector.scorer import Scores
from monitor.sources import open_source


def test_values_with_arrays_print_as_one_short_line() -> None:
    chunk = open_source("sim:sinus=20").read(4000)
    assert chunk is not None
    beat = Detector(250).push(chunk.samples)[-1]
    scores = Scores(np.zeros(1000, np.float32), np.ones(1000, np.float32))
    for value, words in (
        (chunk, ("first_sample=0", "4000 samples")),
        (beat, (f"r_sample={beat.r_sample}", "samples=float32 (187,)", "template=float32 (187,)")),
        (scores, ("log_prob=float32 (1000,)",)),
    ):
        text = repr(value)
        assert len(text) < 400
        assert "\n" not in text
        assert all(word in text for word in words)
