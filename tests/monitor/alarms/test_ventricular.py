"""A ventricular run is of beats that are alike: noise makes each one another, an alternating tachycardia two kinds."""

from __future__ import annotations

import pytest

from detector import Quality
from tests.monitor.alarms.helpers import FS_HZ, Look, Ward


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


def after_noise(quality: Quality, noisy: int, usual: int, wide: int, quiet_s: float = 0.0) -> list[str]:
    """Kinds raised by a run of wide beats after so many that were not scored, a rest, and so many usual ones."""
    ward = Ward()
    ward.rhythm(60, 0.8, look="usual")
    for n in range(noisy + usual + wide):
        assert ward.last_r is not None
        rr_s = 0.45 if n >= noisy + usual else 0.8 + quiet_s * (n == noisy)
        ward.beat(
            ward.last_r + round(rr_s * FS_HZ),
            odd=n >= noisy + usual,
            quality=quality if n < noisy else Quality.GOOD,
            look="usual" if n < noisy + usual else "wide",
        )
    return ward.kinds()


@pytest.mark.parametrize("quality", [Quality.MOTION, Quality.WANDER, Quality.MUSCLE, Quality.HUM, Quality.CLIPPED])
@pytest.mark.parametrize("usual", [0, 4])
def test_what_follows_noise_without_a_usual_beat_between_is_in_doubt(quality: Quality, usual: int) -> None:
    assert "ventricular_run" not in after_noise(quality, 3, usual, 20)


def test_a_doubt_is_over_with_usual_beats_or_with_time() -> None:
    assert "ventricular_run" in after_noise(Quality.MOTION, 20, 5, 5)
    told = after_noise(Quality.MOTION, 20, 0, 80)
    assert "ventricular_run" in told  # 36 s of it
    assert "ventricular_run" in after_noise(Quality.MOTION, 20, 4, 5, quiet_s=30.0)


def test_a_single_noisy_beat_or_one_cut_short_is_no_doubt() -> None:
    assert "ventricular_run" in after_noise(Quality.MOTION, 2, 0, 5)
    assert "ventricular_run" in after_noise(Quality.GAP, 9, 0, 5)
