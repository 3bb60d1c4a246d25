"""Words for an unusual beat: each from a beat made for it, none from the usual beat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import Beat, BeatContext, Quality
from detector.explain import WORDS, Word, explain, pause
from detector.findings import Findings, measure, qrs_duration_ms

T_MS = (np.arange(187) - 62) * 8.0


def wave(
    qrs_ms: float = 90.0, height_mv: float = 1.0, p_mv: float = 0.15, t_mv: float = 0.3, noise_mv: float = 0.0
) -> NDArray[np.float32]:
    """P wave, QRS of a given duration, T wave."""
    qrs = np.where(np.abs(T_MS) < qrs_ms / 2, np.cos(np.pi * T_MS / qrs_ms) ** 2, 0.0)
    p = p_mv * np.exp(-0.5 * ((T_MS + 168) / 20) ** 2)
    t = t_mv * np.exp(-0.5 * ((T_MS - 260) / 45) ** 2)
    noise = np.random.default_rng(3).normal(0, 1, 187) * noise_mv
    return (height_mv * qrs + p + t + noise).astype(np.float32)


USUAL = wave()


def beat(
    samples: NDArray[np.float32] = USUAL, rr_ratio: float = 1.0, usual: NDArray[np.float32] | None = USUAL
) -> Beat:
    context = None if usual is None else BeatContext(usual, usual, np.full(8, np.nan, np.float32))
    return Beat(
        1000, 0.8 * rr_ratio, samples, Quality.GOOD, 0.1, rr_ratio, rr_ratio, decided_sample=1500, context=context
    )


def words(samples: NDArray[np.float32] = USUAL, rr_ratio: float = 1.0) -> list[str]:
    return [said.word for said in explain(measure(beat(samples, rr_ratio)))]


# -- each word ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "rr_ratio", "expected"),
    [
        (USUAL, 1.0, ["unlikely shape"]),  # nothing stands out: only the density found it unlikely
        (USUAL, 0.62, ["early"]),
        (USUAL, 1.6, ["late"]),
        (wave(qrs_ms=200.0), 1.0, ["wide"]),
        (wave(height_mv=-1.0, t_mv=-0.3), 1.0, ["inverted"]),
        (wave(height_mv=1.6), 1.0, ["tall"]),
        (wave(height_mv=0.6), 1.0, ["small"]),
        (wave(t_mv=-0.3), 1.0, ["different T wave"]),
        (wave(p_mv=0.0), 1.0, ["no usual P wave"]),
        (wave(p_mv=-0.15), 1.0, ["no usual P wave"]),
        (wave(noise_mv=0.06), 1.0, ["noisy"]),
        (wave(qrs_ms=200.0, height_mv=1.5, p_mv=0.0, t_mv=-0.5), 0.6, ["wide", "tall", "early", "no usual P wave"]),
    ],
)
def test_a_beat_gets_its_words(samples: NDArray[np.float32], rr_ratio: float, expected: list[str]) -> None:
    assert words(samples, rr_ratio) == expected


def test_a_narrow_beat_among_wide_ones() -> None:
    found = measure(beat(wave(qrs_ms=90.0), usual=wave(qrs_ms=220.0)))
    assert next(said.word for said in explain(found)) == "narrow"


def test_another_qrs_of_the_same_width_and_sign() -> None:
    notched = wave().astype(np.float64)
    notched += 0.9 * np.exp(-0.5 * ((T_MS - 70) / 14) ** 2) - 0.5 * np.exp(-0.5 * ((T_MS + 60) / 14) ** 2)
    found = replace(measure(beat(notched.astype(np.float32))), usual_qrs_ms=300.0, qrs_ms=300.0)
    assert "different QRS" in [said.word for said in explain(found)]


def test_each_word_carries_its_number() -> None:
    said = explain(measure(beat(wave(qrs_ms=200.0), rr_ratio=0.62)))
    wide, early = said
    assert str(early) == "early (RR 62 % of usual)"
    assert wide.word == "wide"
    assert wide.number.startswith("QRS 1")
    assert ", usual " in wide.number
    assert str(Word("unlikely shape")) == "unlikely shape"


def test_without_a_template_there_are_only_words_of_rhythm() -> None:
    found = measure(beat(wave(qrs_ms=220.0, t_mv=-1.0), rr_ratio=0.6, usual=None))
    assert [said.word for said in explain(found)] == ["early"]
    nothing = Beat(0, None, USUAL, Quality.GOOD)
    assert explain(measure(nothing)) == (Word("unlikely shape"),)


# -- pauses ------------------------------------------------------------------------------------------------


def test_a_pause_has_at_least_1_3_usual_intervals() -> None:
    early = beat(rr_ratio=0.6)  # usual RR 0.8 s
    assert pause(early, 1.03, ended=True) is None
    assert str(pause(early, 1.2, ended=True)) == "then a pause (1.2 s, usual RR 0.8)"
    assert str(pause(early, 1.05, ended=False)) == "then a pause (over 1.1 s, usual RR 0.8)"


def test_no_pause_where_no_interval_is_known() -> None:
    assert pause(Beat(0, None, USUAL, Quality.GOOD), 9.0, ended=True) is None
    assert pause(Beat(0, 0.8, USUAL, Quality.GOOD), 9.0, ended=True) is None


# -- the QRS duration ---------------------------------------------------------------------------------------------


@given(qrs_ms=st.floats(60, 240), gain=st.floats(0.05, 20), sign=st.sampled_from([-1, 1]))
def test_the_duration_is_that_of_the_wave(qrs_ms: float, gain: float, sign: int) -> None:
    """A raised cosine has 15 % of its steepest slope 4.8 % inside each end."""
    measured = qrs_duration_ms(sign * gain * wave(qrs_ms, p_mv=0.0, t_mv=0.0).astype(np.float64))
    assert measured == pytest.approx(qrs_ms * (1 - 2 * np.arcsin(0.15) / (2 * np.pi)), abs=12)


@given(first=st.floats(70, 200), second=st.floats(70, 200))
def test_a_wider_wave_is_not_measured_narrower(first: float, second: float) -> None:
    low, high = sorted((first, second))
    if high - low > 16:
        measured = [qrs_duration_ms(wave(qrs_ms, p_mv=0.0, t_mv=0.0).astype(np.float64)) for qrs_ms in (low, high)]
        assert measured[0] is not None
        assert measured[1] is not None
        assert measured[0] < measured[1]


def test_a_flat_line_has_no_duration_and_no_words_of_shape() -> None:
    flat = np.zeros(187, np.float32)
    assert qrs_duration_ms(flat.astype(np.float64)) is None
    assert words(flat)[0] == "different QRS"
    assert explain(measure(beat(flat, usual=flat)))


# -- any input --------------------------------------------------------------------------------------------

numbers = st.none() | st.floats(-1e3, 1e3)


@given(
    found=st.builds(
        Findings,
        rr_ratio=st.none() | st.floats(1e-3, 1e3),
        qrs_ms=st.none() | st.floats(0, 400),
        usual_qrs_ms=st.none() | st.floats(0, 400),
        height=st.none() | st.floats(0, 1e3),
        likeness=st.none() | st.floats(-1, 1),
        st_t=st.none() | st.floats(0, 1e3),
        p_wave=numbers,
        rough=st.none() | st.floats(0, 1e3),
    ),
)
def test_there_is_at_least_one_word_each_once_and_in_order(found: Findings) -> None:
    said = [word.word for word in explain(found)]
    places = [WORDS.index(word) for word in said if word != "unlikely shape"]
    assert said
    assert places == sorted(set(places))
    assert ("unlikely shape" in said) == (said == ["unlikely shape"])
    assert not ("noisy" in said and {"wide", "narrow", "different T wave", "no usual P wave"} & set(said))
    assert not ({"wide", "inverted"} & set(said) and {"different QRS", "different T wave"} & set(said))


@given(seed=st.integers(0, 1000), spread=st.floats(0.01, 10), gain=st.floats(0.3, 30))
def test_the_amplifiers_gain_changes_no_word(seed: int, spread: float, gain: float) -> None:
    """Except the P wave, which has a minimum of 0.05 mV."""
    shape = np.random.default_rng(seed).normal(0, spread, 187).astype(np.float32)
    plain, scaled = (
        replace(measure(beat(factor * shape, usual=factor * USUAL)), p_wave=None)
        for factor in (np.float32(1), np.float32(gain))
    )
    for name in ("height", "likeness", "st_t", "rough"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name), rel=1e-3, abs=1e-4)
