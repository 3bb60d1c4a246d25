"""A ventricular run is of beats that are alike: noise makes each one another, an alternating tachycardia two kinds."""

from __future__ import annotations

import pytest
from helpers_alarms import FS_HZ, Look, Ward


def run(looks: list[Look], rr_s: float = 0.45) -> list[str]:
    """Kinds raised by anomalous beats of these looks, after a minute of usual ones."""
    ward = Ward()
    ward.rhythm(60, 0.8, look="usual")
    for look in looks:
        assert ward.last_r is not None
        ward.beat(ward.last_r + round(rr_s * FS_HZ), odd=True, look=look)
    return ward.kinds()


def test_a_run_of_wide_beats_that_are_alike_is_told() -> None:
    assert "ventricular_run" in run(["wide"] * 5)
    assert "ventricular_run" in run(["wide", "usual", "wide", "usual", "wide"])


@pytest.mark.parametrize("look", ["noise", "usual"])
def test_beats_of_noise_and_narrow_ones_are_no_ventricular_run(look: Look) -> None:
    told = run([look] * 20)
    assert "ventricular_run" not in told
    assert "anomaly_run" in told


def test_few_wide_or_slow_beats_are_no_ventricular_run() -> None:
    assert "ventricular_run" not in run(["wide"] * 4)
    assert "ventricular_run" not in run(["wide"] * 8, rr_s=0.65)
    assert "ventricular_run" not in run(["usual", "wide", "usual", "usual", "wide", "usual", "usual"])
