"""Classes of beats by the nearest annotation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo.annotations import matched_classes

FS_HZ = 360.0
rising = st.lists(st.integers(0, 4000), unique=True, max_size=30).map(sorted)


def test_the_nearest_beat_takes_the_annotation() -> None:
    found = matched_classes(np.array([95, 110, 500, 900]), np.array([100, 520, 1200]), ["V", "N", "S"], FS_HZ)
    assert found == ["V", "", "N", ""]  # 110 is further from 100 than 95; nothing is within 54 samples of 900


@given(rising, rising)
def test_no_annotation_serves_two_beats_and_none_is_far(beats: list[int], annotated: list[int]) -> None:
    classes = [f"class {at}" for at in range(len(annotated))]
    found = matched_classes(np.array(beats, np.int64), np.array(annotated, np.int64), classes, FS_HZ)
    used = [kind for kind in found if kind]
    assert len(found) == len(beats)
    assert len(set(used)) == len(used)
    for beat, kind in zip(beats, found, strict=True):
        if kind:
            assert abs(annotated[classes.index(kind)] - beat) <= 54
