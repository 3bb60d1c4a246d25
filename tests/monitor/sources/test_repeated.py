"""A source that starts again at its end."""

from __future__ import annotations

import numpy as np

from monitor.sources import SourceOptions, open_source
from monitor.sources.repeated import SEAM_S, RepeatedSource
from tests.monitor.sources.helpers import read_chunks


def everything(options: SourceOptions, most: int) -> list[tuple[int, float]]:
    chunks = read_chunks(RepeatedSource(open_source, "sim:sinus=4", options), (most,))
    return [(chunk.first_sample + i, mv) for chunk in chunks for i, mv in enumerate(chunk.samples)]


def test_a_repeated_source_continues_after_a_gap_and_ends_after_its_duration() -> None:
    once = everything(SourceOptions(duration_s=4.0), 10_000)
    many = everything(SourceOptions(start_s=1.0, duration_s=9.0), 333)
    n, seam = 1000, round(SEAM_S * 250)
    assert len(many) == 9 * 250
    assert [sample for sample, _ in many[:750]] == list(range(250, 1000))
    assert many[750][0] == n + seam
    assert many[750 + n][0] == 2 * (n + seam)
    np.testing.assert_array_equal([mv for _, mv in many[:750]], [mv for _, mv in once[250:]])
    np.testing.assert_array_equal([mv for _, mv in many[750 : 750 + n]], [mv for _, mv in once])
