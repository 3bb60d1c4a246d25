"""Beats and their nearest annotations."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.reports.annotated_beats import matched_annotations

FS_HZ = 360.0
rising = st.lists(st.integers(0, 4000), unique=True, max_size=30).map(sorted)


def test_the_nearest_beat_takes_the_annotation() -> None:
    found = matched_annotations(np.array([95, 110, 500, 900]), np.array([100, 520, 1200]), FS_HZ)
    assert found.tolist() == [0, -1, 1, -1]  # 110 is further from 100 than 95; nothing is within 54 samples of 900


@given(rising, rising)
def test_no_annotation_serves_two_beats_and_none_is_far(beats: list[int], annotated: list[int]) -> None:
    found = matched_annotations(np.array(beats, np.int64), np.array(annotated, np.int64), FS_HZ).tolist()
    used = [at for at in found if at >= 0]
    assert len(found) == len(beats)
    assert len(set(used)) == len(used)
    for beat, at in zip(beats, found, strict=True):
        if at >= 0:
            assert abs(annotated[at] - beat) <= 54
