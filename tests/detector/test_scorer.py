"""The scorer: a beat's score is its own, and a model that does not fit is refused by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers_models import CALIBRATION, GOOD_METADATA, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.scorer import ModelError, Scorer, shipped_model

BEATS = np.random.default_rng(0).normal(0, 0.5, (70, 187)).astype(np.float32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer(tiny_model(tmp_path_factory.mktemp("models") / "tiny.onnx"))


@pytest.fixture(scope="module", params=["tiny", "shipped"])
def scorer(request: pytest.FixtureRequest) -> Iterator[Scorer]:
    if request.param == "tiny":
        yield request.getfixturevalue("tiny")
    elif shipped_model().is_file():
        yield Scorer()
    else:
        pytest.skip("no model is shipped yet")


def test_what_the_file_says_is_read(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "tiny.onnx")
    scorer = Scorer(str(path))
    assert scorer.calibration == CALIBRATION
    assert (scorer.info.name, scorer.info.threshold) == ("tiny", -50.5)
    assert scorer.info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert scorer.info.metadata["beat_definition"] == "stream/1"


def test_scores_are_those_of_the_formula(tiny: Scorer) -> None:
    rng = np.random.default_rng(0)
    v = rng.normal(0, 0.3, (187, 64)).astype(np.float32).astype(np.float64)
    w = rng.normal(0, 0.3, (64, 64)).astype(np.float32).astype(np.float64)
    expected = -np.sum((np.tanh(BEATS @ v) @ w) ** 2, axis=1)
    np.testing.assert_allclose(tiny.score(BEATS), expected, rtol=1e-4)


def test_a_beats_score_is_bit_equal_in_any_company(scorer: Scorer) -> None:
    alone = np.concatenate([scorer.score(BEATS[i : i + 1]) for i in range(len(BEATS))])
    assert np.isfinite(alone).all()
    assert np.unique(alone).size == len(BEATS)
    for size in (2, 3, 15, 16, 17, 32, 33, 70):
        cut = [scorer.score(BEATS[first : first + size]) for first in range(0, len(BEATS), size)]
        assert np.concatenate(cut).tobytes() == alone.tobytes(), size
    order = np.random.default_rng(1).permutation(len(BEATS))
    assert scorer.score(BEATS[order]).tobytes() == alone[order].tobytes()


@given(at=st.lists(st.integers(0, len(BEATS) - 1), min_size=1, max_size=40), scale=st.floats(0, 50))
@settings(max_examples=25)
def test_nor_does_it_know_its_neighbours(tiny: Scorer, at: list[int], scale: float) -> None:
    """Giants beside a beat do not move it by a bit."""
    company = np.float32(scale) * BEATS[at]
    company[0] = BEATS[at[0]]
    assert tiny.score(company)[0].tobytes() == tiny.score(BEATS[at[0]][None])[0].tobytes()


def test_two_sessions_agree(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "tiny.onnx")
    assert Scorer(path).score(BEATS).tobytes() == Scorer(path).score(BEATS).tobytes()


def test_more_threads_give_nearly_the_same(tmp_path: Path, tiny: Scorer) -> None:
    many = Scorer(tiny_model(tmp_path / "tiny.onnx"), threads=2)
    np.testing.assert_allclose(many.score(BEATS), tiny.score(BEATS), rtol=1e-5)


def test_callers_in_several_threads_get_what_one_gets(tiny: Scorer) -> None:
    expected = tiny.score(BEATS).tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert {scores.tobytes() for scores in pool.map(tiny.score, [BEATS] * 16)} == {expected}


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 187)), np.zeros(0), np.zeros((0, 187), np.float32)])
def test_no_beats_no_scores(tiny: Scorer, nothing: object) -> None:
    scores = tiny.score(nothing)  # type: ignore[arg-type]
    assert scores.shape == (0,)
    assert scores.dtype == np.float32


@pytest.mark.parametrize(
    "convert",
    [lambda b: b.astype(np.float64), lambda b: b.tolist(), lambda b: np.asfortranarray(b), list],
    ids=["float64", "lists", "fortran", "list of arrays"],
)
def test_any_array_will_do(tiny: Scorer, convert: Callable[[NDArray[np.float32]], object]) -> None:
    assert tiny.score(convert(BEATS)).tobytes() == tiny.score(BEATS).tobytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(187,), (3, 186), (2, 3, 187), (187, 2), (5, 0)])
def test_other_shapes_are_refused(tiny: Scorer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape .*\(n, 187\)"):
        tiny.score(np.zeros(shape))


# -- models that do not fit ----------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    """What is said of a model; one line that names the file."""
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


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x00" * 1000, b"\x08\x09"])
def test_what_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    refusal(path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "whole.onnx")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(path.read_bytes()[:-2000])
    refusal(cut)


KEYS = ("format", "beat_definition", "beat_fs_hz", "beat_samples", "r_index", "score")


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
        GOOD_METADATA["calibration"].replace("[-4.0,-2.0,0.0,4.0]", "[-4.0,-2.0]"),
        GOOD_METADATA["calibration"].replace("[-4.0,-2.0,0.0,4.0]", "[4.0,-2.0,0.0,-4.0]"),
        GOOD_METADATA["calibration"].replace("[0.0001,0.02,0.5,1.0]", "[0.5,0.02,0.5,1.0]"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(tmp_path: Path, value: str | None) -> None:
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


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    assert "['x']" in refusal(tiny_model(tmp_path / "tiny.onnx", input_name="x"))


def test_other_outputs_are_refused(tmp_path: Path) -> None:
    assert "['y']" in refusal(tiny_model(tmp_path / "tiny.onnx", output_name="y"))


def test_beats_of_another_length_are_refused(tmp_path: Path) -> None:
    assert "186" in refusal(tiny_model(tmp_path / "tiny.onnx", beat_samples=186))


def test_a_block_of_another_size_is_refused_and_ours_is_not(tmp_path: Path) -> None:
    assert "[1, 187]" in refusal(tiny_model(tmp_path / "one.onnx", batch=1))
    sixteen = Scorer(tiny_model(tmp_path / "sixteen.onnx", batch=16))
    assert sixteen.score(BEATS[:5]).shape == (5,)
