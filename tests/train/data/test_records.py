"""Data sets: counts, splits, and no abnormal beat in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.fit.helpers import made_up_beats, needs_mitdb
from train.data.detected_beats import annotated_beats, match_beats, stream_beats
from train.data.kaggle import KAGGLE_COUNTS, KAGGLE_TEST_BEATS, kaggle_beats, kaggle_split, read_kaggle_csv
from train.data.records import (
    CLASSES,
    DS1,
    DS2,
    LabelledBeats,
    NormalBeats,
    class_counts,
    data_folder,
    find_data,
    read_record,
)
from train.errors import DataError
from train.evaluate.metrics import auroc
from train.evaluate.references import template_scores


@pytest.fixture(scope="module")
def kaggle() -> LabelledBeats:
    return kaggle_beats()


@pytest.mark.slow
@needs_mitdb
def test_kaggle_counts_are_the_published_ones(kaggle: LabelledBeats) -> None:
    assert class_counts(kaggle.labels) == KAGGLE_COUNTS
    assert kaggle.beats.shape == (109_439, 187)
    assert kaggle.beats.dtype == np.float32
    assert kaggle.beats.min() == 0.0
    assert kaggle.beats.max() == 1.0


@pytest.mark.slow
@needs_mitdb
def test_kaggle_split_is_disjoint_complete_and_stratified(kaggle: LabelledBeats) -> None:
    numbered = LabelledBeats(
        np.arange(len(kaggle), dtype=np.float32)[:, None].repeat(2, axis=1), kaggle.labels, kaggle.records
    )
    train, test = kaggle_split(numbered)
    rows = np.concatenate((train.beats[:, 0], test.beats[:, 0]))
    assert len(test) == KAGGLE_TEST_BEATS
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(kaggle)))
    share = KAGGLE_TEST_BEATS / len(kaggle)
    for name, count in class_counts(test.labels).items():
        assert abs(count - share * KAGGLE_COUNTS[name]) < 1
    again, _ = kaggle_split(numbered)
    np.testing.assert_array_equal(again.beats, train.beats)


@needs_mitdb
def test_a_changed_data_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.data.kaggle.record_names", lambda: ["100", "101"])
    with pytest.raises(DataError, match="incomplete or changed"):
        kaggle_beats()


def test_patients_of_the_two_halves_do_not_overlap() -> None:
    assert len(DS1) == len(set(DS1)) == len(DS2) == len(set(DS2)) == 22
    assert not set(DS1) & set(DS2)
    assert not {"102", "104", "107", "217"} & {*DS1, *DS2}


@given(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=60))
def test_only_normal_beats_are_given_to_training(labels: list[str]) -> None:
    code = np.array([CLASSES.index(name) for name in labels], dtype=np.float32)
    source = LabelledBeats(code[:, None].repeat(187, axis=1), np.array(labels), np.full(len(labels), "r"))
    if "N" not in labels:
        with pytest.raises(DataError, match="no normal beat"):
            NormalBeats(source)
        return
    normals = NormalBeats(source)
    assert len(normals) == labels.count("N")
    assert not normals.beats.any()  # every abnormal beat carries a number other than 0
    assert not hasattr(normals, "labels")


@given(seed=st.integers(0, 1000), by_record=st.booleans())
def test_hold_out_splits_the_beats(seed: int, by_record: bool) -> None:
    normals = NormalBeats(made_up_beats(80))
    fitted, watched = normals.hold_out(0.25, seed, by_record)
    both = np.concatenate((fitted.beats, watched.beats))
    np.testing.assert_array_equal(np.unique(both, axis=0), np.unique(normals.beats, axis=0))
    assert len(both) == len(normals)
    if by_record:
        assert not set(fitted.records) & set(watched.records)
        assert len(set(watched.records)) == 1


def test_hold_out_refuses_an_impossible_split() -> None:
    normals = NormalBeats(made_up_beats(40))
    with pytest.raises(ValueError, match="between 0 and 1"):
        normals.hold_out(1.0, 0, by_record=False)
    with pytest.raises(ValueError, match="4 records cannot be split"):
        normals.hold_out(0.01, 0, by_record=True)


def test_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown beat classes"):
        LabelledBeats(np.zeros((1, 187), np.float32), np.array(["X"]), np.array(["r"]))


def test_public_csv_files_are_read(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((6, 188)).astype(np.float32)
    rows[:, -1] = [0, 1, 2, 3, 4, 0]
    for name in ("mitbih_train.csv", "mitbih_test.csv"):
        np.savetxt(tmp_path / name, rows, delimiter=",", fmt="%.18e")
    train, test = read_kaggle_csv(tmp_path)
    assert train.labels.tolist() == ["N", "S", "V", "F", "Q", "N"]
    np.testing.assert_array_equal(test.beats, rows[:, :-1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2,3\n", "3 columns"),
        ("a,b\n", "not a table of numbers"),
        (",".join(["0"] * 187 + ["7"]) + "\n", "other than 0 to 4"),
        (",".join(["nan"] * 187 + ["0"]) + "\n", "not finite"),
    ],
)
def test_bad_csv_is_refused_with_its_name(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "mitbih_train.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_kaggle_csv(tmp_path)


def test_data_is_found_in_the_named_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_MONITOR_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find_data("mitdb") is None
    for place in (tmp_path / "cache" / "ecg-monitor" / "mitdb", tmp_path / "mitdb"):
        place.mkdir(parents=True)
        (place / "RECORDS").write_text("100\n")
        assert data_folder("mitdb") == place


def test_unavailable_data_is_one_line_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_MONITOR_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def no_network(*_: object) -> None:
        raise OSError("HTTPSConnectionPool(host='physionet.org'): Max retries exceeded")

    monkeypatch.setattr("wfdb.dl_database", no_network)
    expected = r"mitdb: not in \$ECG_MONITOR_DATA.*physionet.org cannot be reached.*set ECG_MONITOR_DATA"
    with pytest.raises(DataError, match=expected) as error:
        data_folder("mitdb")
    assert "HTTPS" not in str(error.value)
    assert not (tmp_path / "ecg-monitor" / "mitdb").exists()


@needs_mitdb
def test_record_prefers_mlii_and_knows_the_classes() -> None:
    record = read_record("114")  # its first signal is V5
    assert record.lead == "MLII"
    assert record.fs_hz == 360.0
    assert class_counts(record.beat_labels) == {"N": 1820, "S": 12, "V": 43, "F": 4, "Q": 0}
    with pytest.raises(DataError, match="no record '999'"):
        read_record("999")


@given(
    st.lists(st.integers(0, 400), max_size=12, unique=True).map(sorted),
    st.lists(st.integers(0, 400), max_size=12, unique=True).map(sorted),
    st.integers(0, 30),
)
def test_matching_is_in_order_once_and_within_tolerance(
    detected: list[int], annotated: list[int], tolerance: int
) -> None:
    matched = match_beats(np.array(detected, np.int64), np.array(annotated, np.int64), tolerance)
    used = matched[matched >= 0].tolist()
    assert used == sorted(set(used))
    for at, index in zip(detected, matched.tolist(), strict=True):
        assert index < 0 or abs(at - annotated[index]) <= tolerance
    free = [at for k, at in enumerate(annotated) if k not in used]
    if not used:  # nothing matched, so nothing was near
        assert all(abs(a - b) > tolerance for a in detected for b in free)


def test_matching_by_hand() -> None:
    detected = np.array([100, 160, 300, 420], dtype=np.int64)
    annotated = np.array([110, 250, 310, 330], dtype=np.int64)
    assert match_beats(detected, annotated, 15).tolist() == [0, -1, 2, -1]


@needs_mitdb
def test_annotated_beats_have_their_r_peak_where_the_detector_puts_it() -> None:
    beats, at = annotated_beats(read_record("100"))
    normal = beats.beats[beats.labels == "N"]
    assert len(at) == len(beats)
    assert abs(int(np.argmax(np.median(normal, axis=0))) - 62) <= 1


@pytest.mark.slow
@needs_mitdb
def test_streamed_record_is_cached_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (first,) = stream_beats(["103"])
    (entry,) = (tmp_path / "ecg-monitor" / "streamed").glob("mitdb-103-*.npz")
    (second,) = stream_beats(["103"])
    for name in first.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    entry.write_bytes(b"half a file")
    (third,) = stream_beats(["103"])
    np.testing.assert_array_equal(third.r_samples, first.r_samples)
    assert np.count_nonzero(first.matched >= 0) / len(first.annotated) > 0.99


@needs_mitdb
@pytest.mark.parametrize(
    ("name", "floor"),
    [
        ("200", 0.998),
        pytest.param("233", 0.999, marks=pytest.mark.slow),
        pytest.param("213", 0.92, marks=pytest.mark.slow),
    ],
)
def test_template_baseline_floor(name: str, floor: float) -> None:
    record = read_record(name)
    scores = template_scores(record)
    known = ~np.isnan(scores)
    assert known.sum() == len(scores) - 16
    value = auroc(scores[known], record.beat_labels[known])
    assert value is not None
    assert value > floor
