"""The scorer: a score depends on its beat only, and a model that does not fit is refused by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, CONTEXT_FIELDS, Beat, BeatContext, Detector, Quality
from detector.scorer import ModelError, Scorer, Scores, shipped_model
from tests.detector.helpers_models import (
    CALIBRATION,
    GOOD_METADATA,
    PATIENT,
    SCORE_OFFSET,
    UNKNOWN,
    tiny_model,
    weights,
)

RNG = np.random.default_rng(0)
BEATS = RNG.normal(0, 0.5, (70, 187)).astype(np.float32)
TEMPLATES = RNG.normal(0, 0.5, (70, 2, 187)).astype(np.float32)
VALUES = RNG.normal(0.8, 0.1, (70, len(CONTEXT_FIELDS))).astype(np.float32)
TEMPLATES[::5] = np.nan  # the first beats of a patient
VALUES[::5] = np.nan
VALUES[3::7, 1:6] = np.nan  # a template, but too few intervals


def bits(scores: Scores) -> bytes:
    """Both numbers of all beats."""
    return scores.log_prob.tobytes() + scores.score.tobytes()


def joined(parts: list[Scores]) -> Scores:
    return Scores(np.concatenate([s.log_prob for s in parts]), np.concatenate([s.score for s in parts]))


def taken(scores: Scores, at: object) -> Scores:
    return Scores(scores.log_prob[at], scores.score[at])  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """Beats in, log p out."""
    return Scorer(tiny_model(tmp_path_factory.mktemp("models") / "tiny.onnx"))


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A model that knows the patient and has a score of its own."""
    return Scorer(tiny_model(tmp_path_factory.mktemp("models") / "patient.onnx", extra=PATIENT, score="score"))


@pytest.fixture(scope="module", params=["tiny", "patient", "shipped"])
def scorer(request: pytest.FixtureRequest) -> Iterator[Scorer]:
    if request.param != "shipped":
        yield request.getfixturevalue(request.param)
    elif shipped_model().is_file():
        yield Scorer()
    else:
        pytest.skip("no model is shipped yet")


def test_metadata_of_the_file_are_read(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "tiny.onnx")
    scorer = Scorer(str(path))
    assert scorer.calibration == CALIBRATION
    assert (scorer.info.name, scorer.info.threshold) == ("tiny", -50.5)
    assert scorer.info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert scorer.info.metadata["beat_definition"] == BEAT_DEFINITION


def energy(beats: NDArray[np.float32]) -> NDArray[np.float64]:
    """-log p of the beats alone."""
    w = {name: values.astype(np.float64) for name, values in weights().items()}
    found: NDArray[np.float64] = np.sum((np.tanh(beats @ w["v"]) @ w["w"]) ** 2, axis=1)
    return found


def test_scores_are_those_of_the_formula(tiny: Scorer) -> None:
    scores = tiny.score(BEATS)
    np.testing.assert_allclose(scores.log_prob, -energy(BEATS), rtol=1e-4)
    assert scores.score.tobytes() == (-scores.log_prob).tobytes()  # without further evidence


def test_a_second_output_is_the_score(tmp_path: Path) -> None:
    scores = Scorer(tiny_model(tmp_path / "tiny.onnx", score="score")).score(BEATS)
    np.testing.assert_allclose(scores.log_prob, -energy(BEATS), rtol=1e-4)
    np.testing.assert_allclose(scores.score, SCORE_OFFSET + energy(BEATS), rtol=1e-4)


# -- the patient's context -----------------------------------------------------------------------------------


def beat(row: int, rr_s: float | None = None, context: bool = True) -> Beat:
    """One of BEATS as the detector would give it."""
    known = BeatContext(TEMPLATES[row, 0], TEMPLATES[row, 1], VALUES[row]) if context else None
    return Beat(250 * row, rr_s, BEATS[row], Quality.GOOD, context=known)


def test_each_number_of_the_context_reaches_its_place_in_the_model(patient: Scorer) -> None:
    w = {name: values.astype(np.float64) for name, values in weights().items()}
    expected = energy(BEATS)
    for name, given_ in (("templates", TEMPLATES), ("values", VALUES)):
        expected += np.sum(np.square(np.nan_to_num(given_) * w[f"w_{name}"]).reshape(len(BEATS), -1), axis=1)
    lacking = np.isnan(TEMPLATES).sum(axis=(1, 2)) + np.isnan(VALUES).sum(axis=1)
    scores = patient.score_beats([beat(row) for row in range(len(BEATS))])
    np.testing.assert_allclose(scores.log_prob, -expected, rtol=1e-4)
    np.testing.assert_allclose(scores.score, SCORE_OFFSET + expected + UNKNOWN * lacking, rtol=1e-4)
    assert bits(scores) == bits(patient.score(BEATS, TEMPLATES, VALUES))
    swapped = patient.score(BEATS, TEMPLATES[:, ::-1], VALUES)  # the order of the templates matters
    assert (swapped.log_prob != scores.log_prob)[~np.isnan(TEMPLATES[:, 0, 0])].all()


def test_without_a_context_all_but_the_interval_is_nan(patient: Scorer) -> None:
    everything = 2 * 187 + len(CONTEXT_FIELDS)
    for row in range(3):
        alone = patient.score_beats([beat(row, context=False)])
        assert bits(alone) == bits(patient.score(BEATS[row : row + 1]))
        assert float(alone.score[0] + alone.log_prob[0]) == pytest.approx(SCORE_OFFSET + UNKNOWN * everything)
        timed = patient.score_beats([beat(row, rr_s=0.75, context=False)])
        values = np.full((1, len(CONTEXT_FIELDS)), np.nan, np.float32)
        values[0, CONTEXT_FIELDS.index("rr_s")] = 0.75
        assert bits(timed) == bits(patient.score(BEATS[row : row + 1], None, values))
        assert float(timed.score[0] + timed.log_prob[0]) == pytest.approx(SCORE_OFFSET + UNKNOWN * (everything - 1))


def test_a_model_of_beats_alone_ignores_the_context(tiny: Scorer) -> None:
    beats = [beat(row, rr_s=0.8, context=row % 2 == 0) for row in range(20)]
    assert bits(tiny.score_beats(beats)) == bits(tiny.score(BEATS[:20]))
    assert bits(tiny.score(BEATS, TEMPLATES, VALUES)) == bits(tiny.score(BEATS))


def test_beats_of_the_detector_are_scored_from_the_first_on(scorer: Scorer) -> None:
    """A beat before there is a template, one with a template, and the same beats in other batches."""
    fs_hz = 250
    bump = np.exp(-0.5 * ((np.arange(fs_hz) - 100) / 4.0) ** 2)
    signal = np.tile(bump, 40) + np.random.default_rng(2).normal(0, 0.01, 40 * fs_hz)
    beats = [b for b in Detector(fs_hz=fs_hz).push(signal) if b.scorable]
    assert {b.context is None for b in beats} == {True, False}
    scores = scorer.score_beats(beats)
    assert np.isfinite(scores.log_prob).all()
    assert np.isfinite(scores.score).all()
    assert bits(scores) == bits(joined([scorer.score_beats([b]) for b in beats]))
    assert bits(taken(scores, slice(3, 11))) == bits(scorer.score_beats(beats[3:11]))


# -- independence of the other beats -------------------------------------------------------------------------


def test_a_beats_score_is_bit_equal_in_any_batch(scorer: Scorer) -> None:
    def score(rows: object) -> Scores:
        return scorer.score(BEATS[rows], TEMPLATES[rows], VALUES[rows])  # type: ignore[call-overload]

    alone = joined([score(slice(i, i + 1)) for i in range(len(BEATS))])
    assert np.isfinite(alone.log_prob).all()
    assert np.isfinite(alone.score).all()
    assert np.unique(alone.log_prob).size == len(BEATS)
    for size in (2, 3, 4, 5, 15, 16, 17, 32, 33, 48, 63, 64, 65, 70):
        cut = [score(slice(first, first + size)) for first in range(0, len(BEATS), size)]
        assert bits(joined(cut)) == bits(alone), size
    order = np.random.default_rng(1).permutation(len(BEATS))
    assert bits(score(order)) == bits(taken(alone, order))


@given(
    at=st.lists(st.integers(0, len(BEATS) - 1), min_size=1, max_size=40),
    scale=st.floats(0, 50),
    forget=st.booleans(),
    place=st.integers(0, 39),
)
@settings(max_examples=40)
def test_other_beats_of_the_batch_change_no_bit(
    patient: Scorer, at: list[int], scale: float, forget: bool, place: int
) -> None:
    """Huge beats or beats without context beside a beat, at any place of the batch."""
    place %= len(at)
    company = []
    for row in at:
        context = (
            None if forget else BeatContext(*(np.float32(scale) * TEMPLATES[row]), np.float32(scale) * VALUES[row])
        )
        company.append(replace(beat(row), samples=np.float32(scale) * BEATS[row], context=context))
    company[place] = beat(at[place])
    own = taken(patient.score_beats(company), slice(place, place + 1))
    assert bits(own) == bits(patient.score_beats([beat(at[place])]))


def test_blocks_that_give_other_bits_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine whose kernels add in another order for another shape."""
    scorer = Scorer(tiny_model(tmp_path / "tiny.onnx"))
    expected = bits(scorer.score(BEATS))
    other = Scorer(tiny_model(tmp_path / "tiny.onnx"))
    session, sizes = other._session, []

    class Wobbly:
        def run(self, outputs: list[str], given: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
            sizes.append(len(given["beats"]))
            return [found + np.float32(len(given["beats"]) != 16) for found in session.run(outputs, given)]

    monkeypatch.setattr(other, "_session", Wobbly())
    for _ in range(2):
        assert bits(other.score(BEATS)) == expected
        assert bits(other.score(BEATS[:3])) == bits(scorer.score(BEATS[:3]))
    assert (sizes.count(64), sizes.count(4)) == (1, 1)


def test_more_threads_give_nearly_the_same(tmp_path: Path, tiny: Scorer) -> None:
    many = Scorer(tiny_model(tmp_path / "tiny.onnx"), threads=2)
    np.testing.assert_allclose(many.score(BEATS).score, tiny.score(BEATS).score, rtol=1e-5)


def test_several_threads_get_the_same_scores(tiny: Scorer) -> None:
    expected = bits(tiny.score(BEATS))
    with ThreadPoolExecutor(4) as pool:
        assert {bits(scores) for scores in pool.map(tiny.score, [BEATS] * 16)} == {expected}


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 187)), np.zeros(0), np.zeros((0, 187), np.float32)])
def test_no_beats_no_scores(scorer: Scorer, nothing: object) -> None:
    for scores in (scorer.score(nothing), scorer.score_beats([])):  # type: ignore[arg-type]
        assert scores.log_prob.shape == scores.score.shape == (0,)
        assert scores.log_prob.dtype == scores.score.dtype == np.float32


@pytest.mark.parametrize(
    "convert",
    [lambda b: b.astype(np.float64), lambda b: b.tolist(), lambda b: np.asfortranarray(b), list],
    ids=["float64", "lists", "fortran", "list of arrays"],
)
def test_lists_and_other_arrays_are_accepted(patient: Scorer, convert: Callable[[NDArray[np.float32]], object]) -> None:
    converted = [convert(array) for array in (BEATS, TEMPLATES, VALUES)]
    assert bits(patient.score(*converted)) == bits(patient.score(BEATS, TEMPLATES, VALUES))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(187,), (3, 186), (2, 3, 187), (187, 2), (5, 0)])
def test_other_shapes_are_refused(scorer: Scorer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape .*\(n, 187\)"):
        scorer.score(np.zeros(shape))


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("templates", (3, 187), r"\(n, 2, 187\)"),
        ("templates", (2, 2, 187), r"\(n, 2, 187\)"),  # two of them for three beats
        ("values", (3, 7), r"\(n, 8\)"),
        ("values", (8,), r"\(n, 8\)"),
    ],
)
def test_a_context_of_another_shape_is_refused(patient: Scorer, name: str, shape: tuple[int, ...], wanted: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has shape .*{wanted}"):
        patient.score(BEATS[:3], **{name: np.zeros(shape)})


# -- models that do not fit ----------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    """Message of the refusal: one line that names the file."""
    with pytest.raises(ModelError) as caught:
        Scorer(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none.onnx")
    assert "No such file" in message
    assert "python -m train export" in message
    assert "directory" in refusal(tmp_path)


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    whole = tiny_model(tmp_path / "whole.onnx").read_bytes()
    for content in (b"", b"not onnx", b"\x00" * 1000, b"\x08\x09", whole[:-2000]):
        (tmp_path / "broken.onnx").write_bytes(content)
        refusal(tmp_path / "broken.onnx")


KEYS = ("format", "beat_definition", "beat_fs_hz", "beat_samples", "r_index")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [None, "other", ""])
def test_each_key_that_does_not_fit_is_named(tmp_path: Path, key: str, value: str | None) -> None:
    metadata = {k: v for k, v in GOOD_METADATA.items() if k != key} | ({} if value is None else {key: value})
    message = refusal(tiny_model(tmp_path / "tiny.onnx", metadata))
    assert f"metadata {key} says" in message
    assert repr(GOOD_METADATA[key]) in message
    assert ("nothing" if value is None else repr(value)) in message


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "{}",
        "null",
        "[1]",
        '{"centre": "x"}',
        GOOD_METADATA["calibration"][:-5],
        GOOD_METADATA["calibration"].replace('"alpha":0.02', '"alpha":2.0'),
        GOOD_METADATA["calibration"].replace('"spread":4.0', '"spread":0.0'),
        GOOD_METADATA["calibration"].replace("[2.0,8.0]", "[0.0,8.0]"),
        GOOD_METADATA["calibration"].replace("[-4.0,0.0,2.0,4.0]", "[-4.0,0.0]"),
        GOOD_METADATA["calibration"].replace("[-4.0,0.0,2.0,4.0]", "[4.0,2.0,0.0,-4.0]"),
        GOOD_METADATA["calibration"].replace("[1.0,0.5,0.02,0.0001]", "[0.0001,0.02,0.5,1.0]"),
    ],
)
def test_an_invalid_calibration_is_refused(tmp_path: Path, value: str | None) -> None:
    assert value != GOOD_METADATA["calibration"]
    metadata = {k: v for k, v in GOOD_METADATA.items() if k != "calibration"}
    message = refusal(tiny_model(tmp_path / "tiny.onnx", metadata | ({} if value is None else {"calibration": value})))
    assert "calibration" in message


@pytest.mark.parametrize("value", ["low", "", "1,5"])
def test_a_threshold_that_is_no_number_is_refused(tmp_path: Path, value: str) -> None:
    assert "threshold" in refusal(tiny_model(tmp_path / "tiny.onnx", GOOD_METADATA | {"threshold": value}))


def test_a_name_is_not_needed(tmp_path: Path) -> None:
    metadata = {k: v for k, v in GOOD_METADATA.items() if k != "name"}
    assert Scorer(tiny_model(tmp_path / "file_name.onnx", metadata)).info.name == "file_name"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input_name": "x"}, "['x']"),
        ({"beat_samples": 186}, "186"),
        ({"extra": {"values": (8,)}}, "['beats', 'values']"),
        ({"extra": {"values": (8,), "templates": (2, 187)}}, "['beats', 'values', 'templates']"),
        ({"extra": {"templates": (2, 187), "values": (8,), "age": (1,)}}, "'age'"),
        ({"extra": {"templates": (187,), "values": (8,)}}, "[n, 2, 187]"),
        ({"extra": {"templates": (3, 187), "values": (8,)}}, "[n, 2, 187]"),
        ({"extra": {"templates": (2, 187), "values": (7,)}}, "[n, 8]"),
        ({"output_name": "y"}, "['y']"),
        ({"score": "y"}, "['log_prob', 'y']"),
        ({"output_name": "score", "score": "log_prob"}, "['score', 'log_prob']"),
        ({"output_name": "score"}, "['score']"),
    ],
)
def test_other_inputs_and_outputs_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    assert said in refusal(tiny_model(tmp_path / "tiny.onnx", **change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": 1}, "output log_prob has shape (16, 1)"),
        ({"columns": 4}, "output log_prob has shape (4, 4)"),
        ({"constant": float("nan")}, "no finite number"),
        ({"constant": float("inf")}, "no finite number"),
    ],
)
def test_a_model_that_fails_when_it_runs_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    assert said in refusal(tiny_model(tmp_path / "tiny.onnx", **change))


@pytest.mark.parametrize("extra", [{}, PATIENT])
def test_a_fixed_block_must_be_of_16_beats(tmp_path: Path, extra: dict[str, tuple[int, ...]]) -> None:
    assert "[1, 187]" in refusal(tiny_model(tmp_path / "one.onnx", batch=1, extra=extra))
    sixteen = Scorer(tiny_model(tmp_path / "sixteen.onnx", batch=16, extra=extra))
    assert sixteen.score(BEATS[:5]).score.shape == (5,)


def test_an_early_narrow_beat_does_not_outrank_the_worst(data_folder: Path) -> None:
    """201 at 1102.3 s: an atrial beat 0.51 s after its predecessor, which came after a pause of 2.3 s."""
    first = 1040 * 360
    mv = wfdb.rdrecord(str(data_folder / "mitdb" / "201"), sampfrom=first, sampto=first + 70 * 360).p_signal[:, 0]
    beats = [beat for beat in Detector(360.0).push(mv) if beat.scorable]
    (at,) = (k for k, beat in enumerate(beats) if abs(beat.r_sample + first - 396_841) < 10)
    scores = Scorer().score_beats(beats)
    assert scores.log_prob[at] < -100.0  # very unusual to the flow: most normal beats have more than 0
    assert scores.score[at] < 25.0  # ventricular beats of DS1 reach 38
