"""Our recipe on tiny made-up beats: it learns, resumes after a kill, and its exported file scores as the run does."""

from __future__ import annotations

import io
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from detector import PatientReference, Scorer
from tests.train.export.published import METADATA
from tests.train.fit.helpers import fit_quietly, kill_a_fit, same_weights
from tests.train.helpers import (
    KILLED,
    detected_beats,
    fit_stream,
    patients,
    public_beats,
    random_model,
    stream_beats,
    tiny_contextual,
)
from train.config import load_config
from train.data.contexts import stack_contexts
from train.data.kaggle import KAGGLE_DEFINITION
from train.data.records import LabelledBeats, NormalBeats
from train.errors import ExportError, RunError
from train.evaluate.metrics import auroc
from train.export.calibration import calibrate_run
from train.export.export_run import ExportReport, export_run
from train.export.loaded_model import load_model
from train.export.modules import ExportedContextual
from train.export.onnx_file import export_onnx
from train.fit.checkpoint import FinishedRun, contextual_terms, load_run
from train.fit.fit import _between
from train.fit.recipe_contextual import ContextualRecipe
from train.model.contextual import ContextualECGModel, input_named


@cache
def kaggle_beats() -> LabelledBeats:
    return public_beats(300)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    out = tmp_path_factory.mktemp("stream") / "tiny"
    fit_stream(out, "alpha=0.05")
    return load_run(out)


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    out = tmp_path_factory.mktemp("kaggle") / "tiny"
    fit_quietly(out, kaggle_beats(), tiny_contextual(), data="kaggle", beat_definition=KAGGLE_DEFINITION)
    return load_run(out)


def area(scores: NDArray[np.float64], labels: NDArray[np.str_]) -> float:
    value = auroc(scores, labels)
    assert value is not None
    return value


def term(run: FinishedRun, beats: LabelledBeats, name: str) -> NDArray[np.float64]:
    assert isinstance(run.model, ContextualECGModel)
    terms = contextual_terms(run.model, beats.beats, beats.contexts)
    return np.asarray(terms[:, run.model.term_names().index(name)])


def test_wide_beats_of_new_patients_stand_out_in_every_term(stream: FinishedRun) -> None:
    test = patients(records=3, beats=100, seed=9)
    scores = stream.scores(test.beats, test.contexts)
    assert area(scores.score, test.labels) > 0.98
    assert area(-scores.log_prob, test.labels) > 0.9
    for name in ("log_odds", "lone_log_odds", "template", "steady"):
        assert area(term(stream, test, name), test.labels) > 0.9, name
    assert test.contexts is not None
    nothing_known = stream.scores(
        test.beats,
        type(test.contexts)(
            *(
                np.full_like(array, np.nan)
                for array in (test.contexts.templates, test.contexts.values, test.contexts.previous)
            )
        ),
    )
    assert np.isfinite(nothing_known.score).all()
    assert area(nothing_known.score, test.labels) > 0.9


def test_wide_public_beats_stand_out(kaggle: FinishedRun) -> None:
    test = public_beats(300, seed=9)
    scores = kaggle.scores(test.beats)
    assert area(scores.score, test.labels) > 0.98
    assert area(-scores.log_prob, test.labels) > 0.9
    assert area(term(kaggle, test, "log_odds"), test.labels) > 0.9


def test_a_run_holds_the_settings_of_its_model(stream: FinishedRun, kaggle: FinishedRun) -> None:
    assert (stream.config["view"], kaggle.config["view"]) == ("patient", "lone")
    assert isinstance(stream.model, ContextualECGModel)
    assert stream.config["terms"] == stream.model.term_names()
    assert stream.config["architecture"] == "contextual"
    assert stream.normalisation is None
    assert not set(stream.config["records_held_out"]) & set(stream.config["records_fitted"])
    assert len(stream.history["autoencoder"]) == 6


def test_thresholds_are_quantiles_of_all_patients_normals(stream: FinishedRun) -> None:
    normals = NormalBeats(stream_beats())
    _, watched = normals.hold_out(0.25, 0, by_record=True)
    scores, held_out = (stream.scores(part.beats, part.contexts) for part in (normals, watched))
    quantile = stream.config["config"]["threshold_quantile"]
    assert stream.config["threshold"] == pytest.approx(np.quantile(scores.log_prob, quantile))
    lower, higher = (np.quantile(scores.score, 1 - quantile, method=method) for method in ("lower", "higher"))
    assert lower < stream.config["score_threshold"] < higher
    assert stream.config["held_out_nll"] == pytest.approx(-held_out.log_prob.mean())


def test_each_term_is_scaled_by_its_spread_among_normals(stream: FinishedRun) -> None:
    assert isinstance(stream.model, ContextualECGModel)
    fitted, _ = NormalBeats(stream_beats()).hold_out(0.25, 0, by_record=True)
    terms = contextual_terms(stream.model, fitted.beats, fitted.contexts)
    counted = (terms - stream.model.centre.numpy()) / stream.model.unit.numpy()
    np.testing.assert_allclose(np.median(counted, axis=0), 0, atol=1e-4)
    spreads = []
    for name in np.unique(fitted.records):
        part = counted[fitted.records == name]
        spreads.append(np.quantile(part, 0.99, axis=0) - np.quantile(part, 0.5, axis=0))
    np.testing.assert_allclose(np.median(spreads, axis=0), 1, rtol=1e-3)


def test_the_flow_sees_standardised_features(kaggle: FinishedRun) -> None:
    assert isinstance(kaggle.model, ContextualECGModel)
    fitted, _ = NormalBeats(kaggle_beats()).hold_out(0.25, 0, by_record=False)
    with torch.no_grad():
        signals, numbers, _ = kaggle.model.beat_input(torch.from_numpy(fitted.beats))
        features = kaggle.model.standardised(kaggle.model.encoder(signals, numbers))
    torch.testing.assert_close(features.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(6), atol=1e-3, rtol=0)


def test_each_epoch_draws_its_own_beats_and_a_resumed_one_the_same() -> None:
    fitted, watched = NormalBeats(stream_beats()).hold_out(0.25, 0, by_record=True)
    recipes = [
        ContextualRecipe(fitted, watched, tiny_contextual(f"beats_per_epoch={n}"), torch.device("cpu"))
        for n in (50, 50, 0)
    ]
    for recipe in recipes:
        recipe.model.load_state_dict(recipes[0].model.state_dict())
    few, again, every = (recipe.first_stage().draw for recipe in recipes)
    assert len(few(1)[0]) == len(few(2)[0]) == 2 * 50  # a normal beat and an anomaly of each
    assert len(every(1)[0]) == 2 * len(fitted)
    assert torch.equal(few(2)[0], again(2)[0])
    assert not torch.equal(few(1)[0], few(2)[0])
    few, again, every = (recipe.second_stage().draw for recipe in recipes)
    assert [len(draw(1)[0]) for draw in (few, every)] == [50, len(fitted)]
    assert torch.equal(few(2)[0], again(2)[0])
    assert not torch.equal(few(1)[0], few(2)[0])


class Interrupted(io.StringIO):
    """A terminal with Ctrl-C at the line of the first epoch."""

    def write(self, text: str) -> int:
        if "autoencoder 1/" in text:
            raise KeyboardInterrupt
        return super().write(text)


@pytest.mark.slow
def test_resume_after_ctrl_c_and_kill_gives_the_same_bits(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        fit_stream(cut, *KILLED, lines=Interrupted())
    kill_a_fit("tests.train.helpers", "fit_to_be_killed", cut, "flow")
    assert not (cut / "best_model.pt").exists()
    resumed = fit_stream(cut, *KILLED)
    assert "autoencoder" not in resumed
    fit_stream(whole, *KILLED)
    assert same_weights(whole, cut)
    first, second = (load_run(out).config for out in (whole, cut))
    assert first["score_threshold"] == second["score_threshold"]


# Calibration: by patient, and higher = more anomalous


def test_a_stream_run_is_calibrated_by_patient(stream: FinishedRun) -> None:
    normals = NormalBeats(stream_beats())
    calibration = calibrate_run(stream, normals)
    assert calibration.alpha == 0.05
    scores = stream.scores(normals.beats, normals.contexts).score
    centres = [np.quantile(scores[normals.records == name], 0.3) for name in np.unique(normals.records)]
    assert calibration.centre == pytest.approx(np.median(centres))
    assert min(centres) <= calibration.centre_bounds[0] <= calibration.centre_bounds[1] <= max(centres)

    def flagged(beats: LabelledBeats) -> NDArray[np.bool_]:
        found = np.zeros(len(beats), np.bool_)
        score = stream.scores(beats.beats, beats.contexts).score
        for name in np.unique(beats.records):
            patient = PatientReference(calibration)
            rows = np.flatnonzero(beats.records == name)
            found[rows] = [patient.judge(value).anomalous for value in score[rows].tolist()]
        return found

    own, new = stream_beats(), patients(records=3, beats=100, seed=9)
    normal = own.labels == "N"
    assert flagged(own.rows(normal)).mean() == pytest.approx(0.05, abs=0.02)  # the stated rate, on the training beats
    found = flagged(new)
    assert found[new.labels == "V"].mean() > 0.9
    assert found[new.labels == "N"].mean() < 0.25
    rising = np.linspace(calibration.centre, scores.max(), 20).tolist()
    p_values = [PatientReference(calibration).judge(value).p_value for value in rising]
    assert p_values == sorted(p_values, reverse=True)
    with pytest.raises(RunError, match="was fitted to other beats"):
        calibrate_run(stream, NormalBeats(new))


def test_a_public_run_has_one_threshold_for_all(kaggle: FinishedRun) -> None:
    calibration = calibrate_run(kaggle, NormalBeats(kaggle_beats()))
    threshold = kaggle.config["score_threshold"]
    patient = PatientReference(calibration)
    for score in kaggle.scores(kaggle_beats().beats).score.tolist():
        judgement = patient.judge(score)
        assert judgement.threshold == pytest.approx(threshold, abs=1e-5)
        if abs(score - threshold) > 1e-4:
            assert judgement.anomalous == (score > threshold)


# Export


@pytest.fixture(scope="module")
def exported(stream: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    with pytest.MonkeyPatch.context() as patch:  # the records that the run names are made up
        patch.setattr("train.export.loaded_model.training_beats", lambda *_: stream_beats())
        return export_run(stream.folder, tmp_path_factory.mktemp("export") / "tiny.onnx", name="tiny")


@pytest.mark.slow
def test_the_file_scores_as_the_run_does(stream: FinishedRun, exported: ExportReport) -> None:
    assert exported.parity <= 1e-3
    assert (exported.patients, exported.alpha) == (4, 0.05)
    assert exported.threshold == stream.config["score_threshold"]
    test = patients(records=2, beats=60, seed=5)  # the first beats of each without a context
    by_file = load_model(exported.path).scores(test.beats, test.contexts)
    by_torch = stream.scores(test.beats, test.contexts)
    np.testing.assert_allclose(by_file.log_prob, by_torch.log_prob, atol=1e-3, rtol=1e-5)
    np.testing.assert_allclose(by_file.score, by_torch.score, atol=1e-3, rtol=1e-5)


@pytest.mark.slow
def test_the_monitors_scorer_takes_it_and_scores_detected_beats_as_the_run_does(
    stream: FinishedRun, exported: ExportReport
) -> None:
    scorer, beats = Scorer(exported.path), detected_beats()
    assert scorer.info.name == "tiny"
    assert scorer.info.metadata["shown"] == "PatientView"
    assert scorer.calibration == calibrate_run(stream, NormalBeats(stream_beats()))
    assert any(beat.context is None for beat in beats)
    samples = np.array([beat.samples for beat in beats])
    rr_s = np.array([np.nan if beat.rr_s is None else beat.rr_s for beat in beats])
    contexts = stack_contexts([beat.context for beat in beats], samples, rr_s)
    by_torch, by_scorer = stream.scores(samples, contexts), scorer.score_beats(beats)
    np.testing.assert_allclose(by_scorer.log_prob, by_torch.log_prob, atol=1e-3, rtol=1e-5)
    np.testing.assert_allclose(by_scorer.score, by_torch.score, atol=1e-3, rtol=1e-5)
    wide_and_early = np.array([(beat.rr_ratio or 1) < 0.75 for beat in beats])
    assert np.median(by_scorer.score[wide_and_early]) > np.median(by_scorer.score[~wide_and_early]) + 1


@pytest.mark.slow
def test_the_public_model_is_exported_with_beats_alone(kaggle: FinishedRun, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.export.loaded_model.training_beats", lambda *_: kaggle_beats())
        report, again = (export_run(kaggle.folder, tmp_path / f"{name}.onnx", name="tiny") for name in "ab")
    assert again.sha256 == report.sha256  # the same run gives the same bytes
    assert (report.patients, report.beats) == (0, len(NormalBeats(kaggle_beats())))
    proto = onnx.load(report.path)
    assert [value.name for value in proto.graph.input] == ["beats"]
    assert [value.name for value in proto.graph.output] == ["log_prob", "score"]
    test = public_beats(50, seed=5)
    by_file, by_torch = load_model(report.path).scores(test.beats, None), kaggle.scores(test.beats)
    np.testing.assert_allclose(by_file.log_prob, by_torch.log_prob, atol=1e-3, rtol=1e-5)
    np.testing.assert_allclose(by_file.score, by_torch.score, atol=1e-3, rtol=1e-5)


@pytest.mark.slow
def test_a_file_that_scores_differently_is_removed(stream: FinishedRun, exported: ExportReport, tmp_path: Path) -> None:
    def written(*arguments: Any) -> Path:
        return Path(shutil.copy(exported.path, arguments[3]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.export.loaded_model.training_beats", lambda *_: stream_beats())
        patch.setattr("train.export.export_run.export_onnx", written)  # without the time of an export
        patch.setattr("train.export.export_run._PARITY_WORST", 0.0)  # rounding alone is over it
        with pytest.raises(ExportError, match="ONNX and torch differ by"):
            export_run(stream.folder, tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())


def test_the_folded_module_is_the_model() -> None:
    model = random_model().double()
    beats = patients(records=1, beats=30)
    assert beats.contexts is not None
    arrays = (beats.beats, beats.contexts.templates, beats.contexts.values)
    given_to = [torch.from_numpy(array).double() for array in arrays]
    with torch.no_grad():
        for folded, own in zip(ExportedContextual(model).double()(*given_to), model(*given_to), strict=True):
            torch.testing.assert_close(folded, own, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_the_shipped_shape_fits_in_12_mb_and_scores_each_beat_alone(exported: ExportReport, tmp_path: Path) -> None:
    config = load_config("ours")  # the larger of its shapes
    torch.manual_seed(0)
    model = ContextualECGModel(
        input_named("patient"),
        config.latent_dim,
        config.n_layers,
        config.hidden_dims,
        config.encoder_widths,
        config.encoder_hidden,
    ).eval()
    calibration = Scorer(exported.path).info.metadata["calibration"]
    path = export_onnx(model, None, METADATA | {"calibration": calibration}, tmp_path / "model.onnx")
    assert path.stat().st_size < 12e6
    beats = patients(records=1, beats=40)
    assert beats.contexts is not None
    arrays = (beats.beats, beats.contexts.templates, beats.contexts.values)
    with torch.no_grad():
        expected = model(*(torch.from_numpy(array) for array in arrays))
    scorer = Scorer(path)
    found = scorer.score(*arrays)
    for by_file, by_torch in zip((found.log_prob, found.score), expected, strict=True):
        np.testing.assert_allclose(by_file, by_torch.numpy(), atol=1e-3, rtol=1e-5)
    rng = np.random.default_rng(0)
    for n in (1, 7, 16, 33):
        rows = rng.integers(0, 40, n)
        again = scorer.score(*(array[rows] for array in arrays))
        np.testing.assert_array_equal(again.log_prob, found.log_prob[rows])
        np.testing.assert_array_equal(again.score, found.score[rows])


def test_a_published_model_without_its_normalisation_is_refused(tmp_path: Path) -> None:
    from train.model.hybrid import HybridECGModel

    with pytest.raises(ExportError, match="needs its normalisation"):
        export_onnx(HybridECGModel(latent_dim=4, n_layers=1, hidden_dims=[8]), None, METADATA, tmp_path / "m.onnx")


@pytest.mark.parametrize("n", [2, 50, 51, 101])
def test_no_beat_lies_on_the_threshold(n: int) -> None:
    scores = np.random.default_rng(n).normal(size=n)
    threshold = _between(scores, 0.98)
    assert np.abs(scores - threshold).min() > 0
    assert np.count_nonzero(scores > threshold) == n - 1 - min(int(0.98 * (n - 1)), n - 2)
