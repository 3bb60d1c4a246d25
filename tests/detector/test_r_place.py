"""`detector.r_place`: the R-peak stays on one wave of a QRS with two."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.r_place import RPlace

FS_HZ = 250.0
S_AFTER = 14  # samples from the r to the S, 56 ms


def bumps(*waves: tuple[int, float, float], n: int = 250) -> NDArray[np.float64]:
    """Waves at (sample, height in mV, width in samples)."""
    at = np.arange(n)
    return np.sum([height * np.exp(-0.5 * ((at - place) / width) ** 2) for place, height, width in waves], axis=0)


def rs_complex(place: int = 120) -> NDArray[np.float64]:
    """A small r, and an S that is a little larger."""
    return bumps((place, 0.8, 2.5), (place + S_AFTER, -1.0, 2.5), (place + 75, 0.25, 12))


def taught(signal: NDArray[np.float64], place: int, beats: int = 16) -> RPlace:
    """The chooser after some beats with their R-peak at `place`."""
    chooser = RPlace(FS_HZ)
    for _ in range(beats):
        chooser.learn(signal, place)
    return chooser


@pytest.mark.parametrize("usual", [120, 120 + S_AFTER])
@pytest.mark.parametrize("found", [120, 120 + S_AFTER])
def test_the_wave_of_the_last_beats_is_taken_whichever_is_found(usual: int, found: int) -> None:
    signal = rs_complex()
    assert taught(signal, usual).choose(signal, 127, found) == usual


def test_the_most_frequent_wave_wins_where_both_are_known() -> None:
    signal = rs_complex()
    chooser = taught(signal, 120, 10)
    for _ in range(6):
        chooser.learn(signal, 120 + S_AFTER)
    assert chooser.choose(signal, 127, 120 + S_AFTER) == 120


def test_a_qrs_of_another_shape_has_its_r_peak_on_the_largest_deflection() -> None:
    chooser = taught(rs_complex(), 120)
    ectopic = bumps((130, -2.0, 8), (105, 0.5, 4))
    assert chooser.choose(ectopic, 125, 105) == 130


def test_a_place_that_is_not_known_is_kept_where_the_signal_is_large() -> None:
    """In noise no place is like the last R-peaks, and the largest deflection is often the noise."""
    chooser = taught(rs_complex(), 120)
    notched = bumps((112, 1.0, 6), (132, -1.3, 6), (150, 0.9, 6))
    assert chooser.choose(notched, 127, 112) == 112


def test_usual_beats_are_known_again_after_a_run_of_others() -> None:
    signal, chooser = rs_complex(), taught(rs_complex(), 120)
    for _ in range(12):
        chooser.learn(bumps((125, -2.0, 8)), 125)
    assert chooser.choose(signal, 127, 120 + S_AFTER) == 120


def test_the_first_beats_keep_their_place_unless_it_is_beside_the_qrs() -> None:
    signal = rs_complex()
    assert taught(signal, 120, 3).choose(signal, 127, 120) == 120
    assert RPlace(FS_HZ).choose(signal, 127, 105) == 120 + S_AFTER


def test_noise_and_gain_do_not_move_it() -> None:
    rng = np.random.default_rng(1)
    signal = rs_complex()
    chooser = taught(signal, 120)
    for gain in (0.1, 1.0, 5.0):
        noisy = gain * (signal + rng.normal(0, 0.03, signal.size))
        assert abs(chooser.choose(noisy, 127, 120 + S_AFTER) - 120) <= 1


def test_a_qrs_at_the_edge_of_the_window_and_a_flat_one_have_a_place() -> None:
    signal = rs_complex()
    chooser = taught(signal, 120)
    for middle in (0, 3, 246, 249):
        assert 0 <= chooser.choose(signal, middle, middle) < 250
    assert 0 <= chooser.choose(np.zeros(250), 120, 120) < 250
