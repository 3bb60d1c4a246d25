"""Named arrays in one file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monitor.demo.array_file import packed

arrays = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.sampled_from([np.float32, np.int16, np.int32]).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(max_dims=3, min_side=0, max_side=5))
    ),
    max_size=5,
)


@given(arrays)
def test_each_array_comes_back_from_its_offset(given_arrays: dict[str, np.ndarray]) -> None:
    content, table = packed(given_arrays)
    for name, array in given_arrays.items():
        entry = table[name]
        assert entry["offset"] % 8 == 0  # typed arrays of JavaScript need their own alignment
        back = np.frombuffer(content, entry["type"], int(np.prod(entry["shape"])), entry["offset"])
        np.testing.assert_array_equal(back.reshape(entry["shape"]), array)


def test_another_type_is_named() -> None:
    with pytest.raises(ValueError, match="array x is float64; give one of float32"):
        packed({"x": np.zeros(3)})
