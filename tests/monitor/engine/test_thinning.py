"""What is left out while beds are late."""

from __future__ import annotations

from monitor.engine.thinning import Thinning


def test_waves_are_left_out_before_status_and_return_after_three_seconds_in_time() -> None:
    thinning = Thinning()
    changes = []
    late = [(1, 0.1), (2, 0.6), (3, 0.7), (4, 1.2), (5, 0.6), (6, 0.1), (7, 0.3), (8, 0.1), (9, 0.0), (10.5, 0.0)]
    for now_s, late_s in late:
        if thinning.update(late_s, now_s):
            changes.append((now_s, thinning.thinned))
    assert changes == [(2, ("waves",)), (4, ("waves", "status")), (10.5, ())]
