"""Figures of merit against cases computed by hand, and the protocols against each other."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rich.console import Console

from detector import BEAT_DEFINITION, Calibration, calibrate
from tests.train.evaluate.decided import judged
from tests.train.fit.helpers import made_up_beats, needs_mitdb
from train.data.contexts import Contexts
from train.data.detected_beats import stream_beats
from train.data.records import NormalBeats, read_record
from train.errors import DataError, RunError
from train.evaluate.console_tables import print_tables
from train.evaluate.metrics import (
    at_threshold,
    auroc,
    best_f1,
    by_class_at_threshold,
    per_class_auroc,
    per_record_auroc,
    sensitivity_at_fpr,
    summary,
)
from train.evaluate.protocols import evaluate_inter, patient_scores
from train.evaluate.record_decisions import count, decide_record, rates, read_recording
from train.evaluate.references import nearest_neighbour_scores, nearest_neighbour_threshold
from train.evaluate.stream_protocol import evaluate_decisions, evaluate_stream
from train.export.loaded_model import LoadedModel, Score, load_model
from train.model.scores import BeatScores

LABELS = np.array(["N", "N", "N", "N", "V", "V", "S", "F"])
SCORES = np.array([0.1, 0.2, 0.3, 0.9, 0.8, 1.0, 0.25, 0.3])


def energy(beats: np.ndarray, _: Contexts | None = None) -> BeatScores:
    log_prob = -np.square(beats.astype(np.float64)).sum(axis=1)
    return BeatScores(log_prob, -log_prob)


def evidence(beats: np.ndarray, contexts: Contexts | None = None) -> BeatScores:
    """A score of likelihood and height."""
    plain = energy(beats, contexts)
    return BeatScores(plain.log_prob, plain.score + np.abs(beats).max(axis=1))


def energy_subject(
    calibration: Calibration | None = None,
    definition: str = BEAT_DEFINITION,
    name: str = "energy",
    scores: Score = energy,
) -> LoadedModel:
    """A stand-in density: log p falls with the energy of the beat."""
    return LoadedModel(
        name=name,
        path=Path("energy"),
        sha256="0",
        beat_definition=definition,
        threshold=5.0,
        threshold_quantile=0.05,
        seed="0",
        scores=scores,
        calibration=calibration,
        run=None,
    )


def test_auroc_by_hand() -> None:
    # 16 pairs of abnormal over normal: V .8 wins 3, V 1.0 wins 4, S .25 wins 2, F .3 wins 2 and draws 1.
    assert auroc(SCORES, LABELS) == pytest.approx(11.5 / 16)
    assert per_class_auroc(SCORES, LABELS) == pytest.approx({"S": 0.5, "V": 7 / 8, "F": 2.5 / 4, "Q": None})
    assert auroc(SCORES[:4], LABELS[:4]) is None


def test_threshold_by_hand() -> None:
    figures = at_threshold(SCORES, LABELS, 0.3)  # flags .9 (N), .8 and 1.0 (V); .3 itself is not over it
    assert figures == pytest.approx({"threshold": 0.3, "f1": 4 / 7, "precision": 2 / 3, "recall": 0.5, "fpr": 0.25})
    matrix = by_class_at_threshold(SCORES, LABELS, 0.3)
    assert matrix["N"] == {"normal": 3, "anomalous": 1}
    assert matrix["V"] == {"normal": 0, "anomalous": 2}
    assert matrix["Q"] == {"normal": 0, "anomalous": 0}


@given(
    hnp.arrays(np.float64, 30, elements=st.integers(0, 8).map(float)),
    hnp.arrays(np.bool_, 30),
)
def test_no_threshold_beats_the_best(scores: np.ndarray, abnormal: np.ndarray) -> None:
    labels = np.where(abnormal, "V", "N")
    if not 0 < abnormal.sum() < 30:
        return
    best = best_f1(scores, labels)["f1"]
    assert best == pytest.approx(max(at_threshold(scores, labels, t)["f1"] for t in np.arange(-0.5, 9)))


def test_sensitivity_at_a_false_positive_rate_by_hand() -> None:
    normal = np.arange(100.0)
    scores = np.concatenate((normal, [98.5, 99.5, 50.0]))
    labels = np.array(["N"] * 100 + ["V"] * 3)
    # One of 100 normals may be over the threshold, which is then 98: two of three are over it.
    assert sensitivity_at_fpr(scores, labels, "V", 0.01) == pytest.approx(2 / 3)
    assert sensitivity_at_fpr(scores, labels, "V", 0.01, missed=1) == pytest.approx(2 / 4)
    assert sensitivity_at_fpr(scores, labels, "S", 0.01) is None
    assert sensitivity_at_fpr(scores, labels, "S", 0.01, missed=2) == 0.0


@given(st.integers(0, 500), st.sampled_from([0.01, 0.05, 0.5]))
def test_the_false_positive_rate_is_not_exceeded(seed: int, fpr: float) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=200), 1)  # many equal scores
    labels = np.where(np.arange(200) < 150, "N", "V")
    normal = scores[:150]
    value = sensitivity_at_fpr(scores, labels, "V", fpr)
    assert value is not None
    candidates = [t for t in np.unique(scores) if np.mean(normal > t) <= fpr]
    assert value == pytest.approx(max(np.mean(scores[150:] > t) for t in candidates))


def test_records_with_few_beats_of_a_kind_are_left_out_and_232_is_shown_apart() -> None:
    records = np.array(["100"] * 40 + ["232"] * 40 + ["103"] * 40)
    labels = np.array((["N", "V"] * 20) + (["N", "V"] * 20) + ["N"] * 35 + ["V"] * 5)
    scores = np.where(labels == "V", 1.0, 0.0)
    scores[40:80] *= -1  # upside down in 232
    figures = summary(scores, labels, records, 0.5)
    assert per_record_auroc(scores, labels, records) == {"100": 1.0, "232": 0.0}
    assert figures["record_mean_auroc"] == 0.5
    assert figures["without_232"]["record_mean_auroc"] == 1.0
    assert figures["without_232"]["auroc"] == 1.0
    assert json.loads(json.dumps(figures)) is not None


@given(st.integers(0, 50))
def test_nearest_neighbour_equals_all_distances(seed: int) -> None:
    normals = NormalBeats(made_up_beats(40, seed))
    beats = made_up_beats(20, seed + 1).beats
    plain = np.sqrt(np.square(beats[:, None, :].astype(np.float64) - normals.beats[None]).sum(-1)).min(1)
    np.testing.assert_allclose(nearest_neighbour_scores(normals, beats), plain, rtol=1e-3, atol=1e-3)


def test_nearest_neighbour_threshold_leaves_a_beat_out_of_its_own_neighbours() -> None:
    normals = NormalBeats(made_up_beats(100))
    own = np.arange(len(normals))
    distances = nearest_neighbour_scores(normals, normals.beats, own)
    assert distances.min() > 0.05
    assert nearest_neighbour_threshold(normals, 0.05) == pytest.approx(
        np.quantile(distances, 0.95), rel=1e-3
    )  # float32


def test_counts_of_a_stream_by_hand() -> None:
    counts = count(judged())
    assert counts["annotated"] == 300
    assert counts["found"] == 299
    assert counts["false_detections"] == 1
    assert (counts["unscored"], counts["unscored_S"], counts["unscored_N"]) == (1, 1, 0)
    assert (counts["beats_V"], counts["missed_V"], counts["flagged_V"]) == (2, 1, 1)
    assert (counts["beats_S"], counts["flagged_S"]) == (2, 1)
    assert (counts["windows"], counts["bad_windows"]) == (30, 2)
    shares = rates(counts)
    assert shares["r_se"] == pytest.approx(299 / 300)
    assert shares["r_ppv"] == pytest.approx(299 / 300)
    assert shares["abnormal_se"] == pytest.approx(2 / 4)
    assert shares["abnormal_ppv"] == pytest.approx(2 / 4)  # V, S; against them one N and one false detection
    assert shares["fpr"] == pytest.approx(1 / 296)


def test_rates_without_beats_are_unknown_not_zero() -> None:
    empty = judged(first_sample=59_990)
    assert rates(count(empty))["veb_se"] is None


def test_missed_and_unscored_beats_count_against_the_sensitivity() -> None:
    record = judged()
    log_prob = record.log_prob - np.isin(record.r_samples, record.annotated[record.labels != "N"])
    outcome = evaluate_decisions(judged(log_prob=log_prob))
    figures = outcome.rows[0].figures
    assert figures["missed_or_unscored"] == {"N": 0, "S": 1, "V": 1, "F": 0, "Q": 0}
    assert figures["auroc"] == 1.0  # of the beats that have a score
    assert figures["veb_se_at_1pct_fpr"] == 0.5
    assert figures["sveb_se_at_5pct_fpr"] == 0.5


def test_a_record_without_abnormal_beats_has_no_auroc() -> None:
    record = judged(labels=np.full(600, "N"))
    outcome = evaluate_decisions(record)
    figures = outcome.rows[0].figures
    assert (figures["auroc"], figures["average_precision"], figures["best"]) == (None, None, None)
    console = Console(file=io.StringIO(), width=140)
    print_tables(outcome, console)
    assert "99.67" in console.file.getvalue()  # type: ignore[attr-defined]
    assert outcome.extra["decisions"]["the monitor"]["gross"]["rates"]["abnormal_se"] is None


def test_a_model_for_other_beats_is_refused() -> None:
    with pytest.raises(RunError, match=f"made for kaggle/1 beats, protocol inter needs {BEAT_DEFINITION}"):
        evaluate_inter([energy_subject(energy_calibration()), energy_subject(definition="kaggle/1")], ["100"])
    with pytest.raises(RunError, match="no calibration"):
        evaluate_stream([energy_subject()], ["100"])


@pytest.mark.parametrize(("name", "message"), [("none.onnx", "neither"), ("broken.onnx", "not a readable")])
def test_a_model_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(RunError, match=message):
        load_model(tmp_path / name)
    with pytest.raises(RunError, match=r"no best_model\.pt"):
        load_model(tmp_path)


def energy_calibration() -> Calibration:
    rng = np.random.default_rng(0)
    return calibrate([rng.gamma(20, 0.5, 300) for _ in range(4)], 0.02)


def test_patient_scores_are_causal() -> None:
    scores = np.random.default_rng(1).normal(10, 2, 80)
    changed = np.append(scores[:50], scores[50:] - 100)
    first, second = (patient_scores(energy_calibration(), values) for values in (scores, changed))
    np.testing.assert_array_equal(first[:50], second[:50])


@pytest.mark.slow
@needs_mitdb
def test_inter_scores_all_beats_except_the_first_sixteen() -> None:
    lines: list[str] = []
    models = [energy_subject(energy_calibration(), scores=evidence), energy_subject(name="other")]
    outcome = evaluate_inter(models, ["100", "213"], training=["101"], progress=lines.append)
    beats = sum(len(read_record(name).beat_samples) - 16 for name in ("100", "213"))
    names = ["energy", "energy, -log p alone", "energy, by patient", "other", "template baseline"]
    assert [row.name for row in outcome.rows] == names
    assert [row.figures["beats"] for row in outcome.rows] == [beats] * 5
    # In one pass or alone, a model's figures are the same.
    alone = evaluate_inter([energy_subject(name="other")], ["100", "213"], training=["101"])
    assert [row.figures for row in alone.rows] == [row.figures for row in outcome.rows[3:]]
    template = outcome.rows[-1].figures
    assert template["auroc_by_record"]["100"] > 0.99
    assert template["auroc_by_class"]["V"] > 0.95
    low, high = template["intervals"]["auroc"]
    assert low <= template["auroc"] <= high
    assert any("record 213, 2 of 2" in line for line in lines)


@pytest.mark.slow
@needs_mitdb
def test_a_recording_of_the_monitor_gives_what_the_protocol_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    subject = energy_subject(energy_calibration(), scores=evidence)
    direct = evaluate_stream([subject], ["105"], training=["105"])
    (streamed,) = stream_beats(["105"])
    calibration = subject.calibration
    assert calibration is not None
    record = decide_record(streamed, subject.scores(streamed.beats, streamed.contexts), calibration, 300.0)
    bed = tmp_path / "out" / "bed"
    bed.mkdir(parents=True)
    rows = ["r_sample,time_s,rr_s,log_prob,score,p_value,anomalous,quality"]
    for at, log_prob, score, flag in zip(record.r_samples, record.log_prob, record.score, record.flagged, strict=True):
        scored = "," if np.isnan(log_prob) else f"{log_prob:.17g},{score:.17g}"
        rows.append(f"{at},{at / 360:.6f},,{scored},,{int(flag)},good")
    (bed / "beats.csv").write_text("\n".join(rows) + "\n")
    (bed / "session.json").write_text('{"first_sample": 0}')
    (bed / "signal.hea").write_text("signal 1 360\n")
    (bed / "signal.dat").write_bytes(bytes(2 * streamed.samples))
    recorded = evaluate_decisions(read_recording(tmp_path / "out", "105"))
    assert recorded.extra["decisions"]["the monitor"] == direct.extra["decisions"]["energy"]
    assert recorded.rows[0].figures == direct.rows[0].figures
    gross = direct.extra["decisions"]["energy"]["gross"]
    assert gross["rates"]["r_se"] > 0.99
    assert gross["intervals"] == {}  # one patient gives no interval
    assert len(direct.test) == direct.rows[0].figures["beats"]
    counts = gross["counts"]
    missed = sum(
        counts[f"beats_{c}"] - counts[f"missed_{c}"] - counts[f"unscored_{c}"] - counts[f"flagged_{c}"] for c in "SVFQ"
    )
    assert len([beat for beat in direct.failures if beat.kind == "missed"]) == missed
    assert len([beat for beat in direct.failures if beat.kind == "false"]) == counts["flagged_N"] > 0


@needs_mitdb
def test_unusable_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no beats\.csv"):
        read_recording(tmp_path, "100")
    for bed in ("a", "b"):
        (tmp_path / bed).mkdir()
        (tmp_path / bed / "beats.csv").write_text("something,else\n1,2\n")
    with pytest.raises(DataError, match=r"several beds \(a, b\)"):
        read_recording(tmp_path, "100")
    with pytest.raises(DataError, match=r"not a beats\.csv"):
        read_recording(tmp_path / "a", "100")
    header = "r_sample,time_s,rr_s,log_prob,score,p_value,anomalous,quality\n"
    (tmp_path / "a" / "beats.csv").write_text(header + "77,0.2,,-1.0,1.0,0.5,0,good\n")
    with pytest.raises(DataError, match=r"session\.json"):
        read_recording(tmp_path / "a", "100")
    (tmp_path / "a" / "session.json").write_text('{"first_sample": 0}')
    (tmp_path / "a" / "signal.dat").write_bytes(bytes(2 * 360 * 60))
    with pytest.raises(DataError, match=r"the signal cannot be read"):
        read_recording(tmp_path / "a", "100")
    (tmp_path / "a" / "signal.hea").write_text("signal 1 360\n")
    with pytest.raises(DataError, match="no recording after the first 300 s"):
        read_recording(tmp_path / "a", "100")
    assert read_recording(tmp_path / "a", "100", learning_s=0).end_sample == 360 * 60
    (tmp_path / "a" / "signal.hea").write_text("signal 2 360\n")  # both leads are in the same file
    assert read_recording(tmp_path / "a", "100", learning_s=0).end_sample == 360 * 30
