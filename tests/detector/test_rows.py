"""Rows: what is computed for many is, to the last bit, what is computed for each; an error of one reaches no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import Beat, Detector, advance_together
from detector.rows import ROWS, over_rows
from tests.detector.helpers_signals import keys, synthetic_ecg

RATES_HZ = (128.0, 250.0, 360.0)


def halves(numbers: list[int]) -> list[int]:
    """Whole halves; no odd number has one."""
    if any(number % 2 for number in numbers):
        raise ValueError(f"odd: {[number for number in numbers if number % 2]}")
    return [number // 2 for number in numbers]


@given(numbers=st.lists(st.integers(0, 50), max_size=4 * ROWS))
def test_each_owner_gets_the_answer_or_the_error_of_its_own_work(numbers: list[int]) -> None:
    failed: dict[int, Exception] = {}
    answers = dict(
        over_rows(halves, [(i, number // 10, number) for i, number in enumerate(numbers)], failed.__setitem__)
    )
    assert answers == {i: number // 2 for i, number in enumerate(numbers) if number % 2 == 0}
    assert {i: str(error) for i, error in failed.items()} == {
        i: f"odd: [{number}]" for i, number in enumerate(numbers) if number % 2
    }


def test_works_of_equal_shape_are_computed_together_in_calls_of_limited_size() -> None:
    calls: list[list[str]] = []

    def measure(words: list[str]) -> list[int]:
        calls.append(words)
        return [len(word) for word in words]

    def failed(owner: object, error: Exception) -> None:
        raise error

    words = ["a", "bcd"] * (ROWS + 3)
    assert [
        answer for _, answer in over_rows(measure, [(i, len(word), word) for i, word in enumerate(words)], failed)
    ] == sorted(map(len, words))
    assert [(len(call), len(set(call))) for call in calls] == [(ROWS, 1), (3, 1)] * 2


def beds(seed: int) -> list[tuple[float, NDArray[np.float64]]]:
    """Signals of many kinds: rates, rhythms, noise, leads off, hum, a dead input."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(ROWS + 5):
        fs_hz = RATES_HZ[number % 4 % 3]
        signal, _ = synthetic_ecg(fs_hz, 14, seed=seed + number, noise_mv=float(rng.uniform(0.005, 0.2)))
        match number % 7:
            case 1:
                signal[round(5 * fs_hz) : round((5.2 + number / 10) * fs_hz)] = np.nan
            case 2:
                signal += 0.2 * np.sin(2 * np.pi * 50.0 * np.arange(signal.size) / fs_hz)
            case 3:
                signal = np.clip(signal, -0.2, 0.4)
            case 4:
                signal *= 0
        found.append((fs_hz, signal))
    return found


def test_detectors_in_step_give_to_the_last_bit_what_each_gives_alone() -> None:
    assert_in_step_as_alone(seed=3, pieces_s=[0.3, 2.5, 1.1])


@pytest.mark.slow
@settings(max_examples=8)
@given(seed=st.integers(0, 1000), pieces_s=st.lists(st.floats(0.01, 4.0), min_size=1, max_size=4))
def test_detectors_in_step_in_any_pieces(seed: int, pieces_s: list[float]) -> None:
    assert_in_step_as_alone(seed, pieces_s)


def assert_in_step_as_alone(seed: int, pieces_s: list[float]) -> None:
    signals = beds(seed)
    alone = [keys(Detector(fs_hz).advance(signal)) for fs_hz, signal in signals]
    detectors = [Detector(fs_hz) for fs_hz, _ in signals]
    given_so_far = [0] * len(signals)
    gave: list[list[object]] = [[] for _ in signals]
    turn = 0
    while any(first < signal.size for first, (_, signal) in zip(given_so_far, signals, strict=True)):
        turn += 1
        pieces = []
        for number, (fs_hz, signal) in enumerate(signals):
            first, n = given_so_far[number], max(1, round(pieces_s[(turn + number) % len(pieces_s)] * fs_hz))
            pieces.append((detectors[number], signal[first : first + n], first if first < signal.size else None))
            given_so_far[number] += n
        for given_before, events in zip(gave, advance_together(pieces), strict=True):
            assert isinstance(events, list)
            given_before += keys(events)
    assert gave == alone


def test_a_refused_piece_concerns_its_own_detector_only() -> None:
    signal, _ = synthetic_ecg(250.0, 10)
    detectors = [Detector(250.0) for _ in range(3)]
    advance_together((detector, signal[:1000], None) for detector in detectors)
    outcomes = advance_together(zip(detectors, [signal[1000:]] * 3, [None, 10, 1000], strict=True))
    assert isinstance(outcomes[1], ValueError)
    assert "past" in str(outcomes[1])
    assert keys(outcomes[0]) == keys(outcomes[2])  # type: ignore[arg-type]
    assert any(isinstance(event, Beat) for event in outcomes[0])  # type: ignore[union-attr]
