"""Export: the ONNX file scores as torch does, has its metadata and needs no other file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from detector.baseline import Calibration, PatientReference
from detector.beats import BEAT_DEFINITION, R_INDEX
from detector.scorer import Scorer
from tests.train.export.published import METADATA, numpy_log_prob, published_state, write_published
from train.errors import ExportError
from train.export.metadata import FORMAT, weights_sha256
from train.export.modules import ExportedScorer
from train.export.onnx_file import check_parity, export_onnx, torch_log_prob
from train.export.published import import_published
from train.model.hybrid import HybridECGModel
from train.model.normalise import KINDS, Kind, Normalisation, Normalise, fit_normalisation

torch.set_num_threads(1)  # nets this small are slower on several


def beats(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0.2, 0.5, size=(n, 187)).astype(np.float32)


def small_model() -> HybridECGModel:
    """Published layout with random degrees and weights that spread the scores; running statistics not trivial."""
    model = HybridECGModel(latent_dim=10, n_layers=3, hidden_dims=[24, 20])
    model.load_state_dict(published_state(3))
    return model


@pytest.fixture(scope="module", params=[pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(model, normalisation, path) of each kind of normalisation."""
    kind: Kind = request.param
    model, normalisation = small_model(), fit_normalisation(kind, beats(200, seed=9))
    path = export_onnx(model, normalisation, METADATA, tmp_path_factory.mktemp(kind) / "new" / "model.onnx")
    return model, normalisation, path


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def score(run: onnxruntime.InferenceSession, x: Any) -> Any:
    (log_prob,) = run.run(["log_prob"], {"beats": x})
    return log_prob


def test_onnx_scores_as_an_independent_implementation_does(exported: Any) -> None:
    model, normalisation, path = exported
    x = beats(100)
    assert 0 <= check_parity(model, normalisation, path, x) < 1e-3
    low, height = x.min(axis=1, keepdims=True), np.maximum(np.ptp(x, axis=1, keepdims=True), 1e-3)
    scaled = {"per_sample": x, "unit_peak_to_peak": x / height, "range01": (x - low) / height}
    normalised = (scaled[normalisation.kind] - normalisation.mean) / normalisation.std
    expected = numpy_log_prob(published_state(3), normalised)
    log_prob = score(session(path), x)
    assert log_prob.dtype == np.float32
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-3)
    # torch picks its kernels by the size of the batch, so its last bits depend on the CPU.
    whole, part = torch_log_prob(model, normalisation, x), torch_log_prob(model, normalisation, x[:5])
    np.testing.assert_allclose(whole[:5], part, rtol=2e-6)


def test_a_batch_of_any_size_gives_the_scores_of_single_beats(exported: Any) -> None:
    path = exported[2]
    run, x = session(path), beats(70)
    alone = np.concatenate([score(run, x[i : i + 1]) for i in range(70)])
    rng = np.random.default_rng(0)
    for n in (0, 2, 3, 5, 16, 31, 64, 70):
        index = rng.integers(0, 70, n)
        together = score(run, np.ascontiguousarray(x[index]))
        assert together.shape == (n,)
        np.testing.assert_array_equal(together, alone[index])


def test_metadata_of_the_file(exported: Any) -> None:
    model, normalisation, path = exported
    found = session(path).get_modelmeta().custom_metadata_map
    assert found == {
        "format": FORMAT,
        "name": "test",
        "beat_definition": BEAT_DEFINITION,
        "beat_fs_hz": "125",
        "beat_samples": "187",
        "r_index": "62",
        "shown": normalisation.kind,
        "threshold": "-51.5",
        "training_data": "none: random weights",
        "seed": "7",
        "version": "0.1.0",
        "calibration": '{"alpha": 0.05}',
        "note": '["anything", 1]',
        "weights_sha256": weights_sha256(model),
    }


def test_the_file_needs_no_other_and_names_no_path(exported: Any) -> None:
    path: Path = exported[2]
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]
    proto = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(proto, full_check=True)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in proto.graph.initializer)
    content = path.read_bytes()
    assert str(Path.cwd()).encode() not in content
    assert b"site-packages" not in content
    assert all(not item.doc_string and not item.metadata_props for item in proto.graph.node)


def test_masks_and_reversals_are_folded_into_the_weights(exported: Any) -> None:
    model, _, path = exported
    proto = onnx.load(path)
    weights = sum(int(np.prod(tensor.dims)) for tensor in proto.graph.initializer)
    assert weights < sum(p.numel() for p in model.parameters()) + 2 * 187 + 100
    assert not {"Gather", "ReverseSequence", "ScatterND", "BatchNormalization"} & {n.op_type for n in proto.graph.node}


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_without_output(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    normalisation = fit_normalisation("per_sample", beats(20))
    model = small_model().train()
    before = weights_sha256(model)
    first, again = (export_onnx(model, normalisation, METADATA, tmp_path / f"{i}.onnx") for i in range(2))
    assert first.read_bytes() == again.read_bytes()
    assert weights_sha256(model) == before
    assert model.training
    assert capfd.readouterr() == ("", "")


def test_the_folded_module_is_the_model() -> None:
    model, normalisation = small_model().eval(), fit_normalisation("range01", beats(50))
    scorer, x = ExportedScorer(model, normalisation), torch.from_numpy(beats(30))
    expected = model.double().log_prob(Normalise(normalisation).double()(x.double()))
    torch.testing.assert_close(scorer.double()(x.double()), expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("key", ["name", "beat_definition", "threshold", "calibration", "seed"])
def test_missing_metadata_are_named(tmp_path: Path, key: str) -> None:
    metadata = {k: v for k, v in METADATA.items() if k != key}
    with pytest.raises(ExportError, match=f"metadata lack {key}"):
        export_onnx(small_model(), fit_normalisation("per_sample", beats(9)), metadata, tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("beat_samples", 180, "beat_samples = 180; the model has 187"),
        ("shown", "range01", "shown = range01; the model has per_sample"),
        ("threshold", float("nan"), "threshold is NaN"),
        ("threshold", "low", "threshold is low"),
        ("calibration", "{alpha", "calibration is not JSON"),
    ],
)
def test_metadata_that_contradict_the_model_are_refused(tmp_path: Path, key: str, value: object, message: str) -> None:
    normalisation = fit_normalisation("per_sample", beats(9))
    with pytest.raises(ExportError, match=message):
        export_onnx(small_model(), normalisation, {**METADATA, key: value}, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_normalisation_of_another_length_is_refused() -> None:
    with pytest.raises(ExportError, match="normalisation is for 100 samples, the model for 187"):
        ExportedScorer(small_model(), Normalisation("per_sample", np.zeros(100), np.ones(100)))


@pytest.mark.slow
def test_an_unwritable_path_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    normalisation = fit_normalisation("per_sample", beats(9))
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ExportError, match=r"folder\.onnx: cannot be written"):
        export_onnx(small_model(), normalisation, METADATA, tmp_path / "folder.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.onnx"]


def test_another_model_or_normalisation_fails_parity_with_numbers(exported: Any) -> None:
    model, normalisation, path = exported
    other = small_model()
    with torch.no_grad():
        other.encoder.output_layer().bias[0] += 0.1
    with pytest.raises(ExportError, match=r"beat \d+ of 20 scores -?\d.* by ONNX and -?\d.* by torch"):
        check_parity(other, normalisation, path, beats(20))
    shifted = Normalisation(normalisation.kind, normalisation.mean + 0.1, normalisation.std)
    with pytest.raises(ExportError, match="by torch"):
        check_parity(model, shifted, path, beats(20))
    with pytest.raises(ExportError, match="nan by ONNX"):
        check_parity(model, normalisation, path, np.full((3, 187), np.nan))
    with pytest.raises(ExportError, match="n >= 1"):
        check_parity(model, normalisation, path, beats(0))


# A published pair, with what its beats were normalised by


def write_csv(path: Path, rows: Any, labels: Any) -> Path:
    np.savetxt(path, np.column_stack([rows, labels]), delimiter=",", fmt="%.8e")
    return path


@pytest.mark.slow
def test_a_published_pair_with_its_training_csv_becomes_onnx(tmp_path: Path) -> None:
    state = published_state(5)
    rows = np.random.default_rng(1).uniform(size=(300, 187))
    rows[:, 185:] = 0  # padding
    labels = np.tile([0.0, 0.0, 2.0], 100)
    rows[labels == 2] += 5  # abnormal rows must have no influence
    csv = write_csv(tmp_path / "mitbih_train.csv", rows, labels)
    path = import_published(*write_published(tmp_path, state), csv, tmp_path / "out.onnx", beat_definition="kaggle/1")
    normals = rows[labels == 0]
    std = normals.std(axis=0)
    std[std < 1e-6] = 1
    expected = numpy_log_prob(state, (normals - normals.mean(axis=0)) / std)
    run = session(path)
    np.testing.assert_allclose(score(run, normals.astype(np.float32)), expected, rtol=1e-4, atol=1e-3)
    found = run.get_modelmeta().custom_metadata_map
    threshold = float(found["threshold"])
    assert threshold == pytest.approx(np.quantile(expected, 0.05), abs=1e-2)
    assert (found["beat_definition"], found["beat_fs_hz"], found["r_index"]) == ("kaggle/1", "125", "0")
    assert found["shown"] == "per_sample"

    calibration = msgspec.json.decode(found["calibration"], type=Calibration)
    assert calibration.alpha == pytest.approx(0.05, abs=2e-3)
    reference = PatientReference(calibration)
    for log_prob in np.concatenate((expected, expected - 30, expected + 30)):
        judgement = reference.judge(-float(log_prob))
        assert judgement.threshold == pytest.approx(-threshold, abs=1e-6)
        if abs(log_prob - threshold) > 1e-6:
            assert judgement.anomalous == (log_prob < threshold)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_mean_and_std_alone_are_enough_with_a_threshold(tmp_path: Path, suffix: str) -> None:
    state, rng = published_state(5), np.random.default_rng(2)
    mean, std = rng.normal(size=187), rng.uniform(0.5, 2, 187)
    normals = tmp_path / f"normals{suffix}"
    if suffix == ".npz":
        np.savez(normals, mean=mean, std=std)
    else:
        normals.write_text(json.dumps({"mean": mean.tolist(), "std": std.tolist()}))
    pair = write_published(tmp_path, state)
    with pytest.raises(ExportError, match=r"give the threshold"):
        import_published(*pair, normals, tmp_path / "out.onnx", beat_definition="kaggle/1")
    path = import_published(
        *pair, normals, tmp_path / "out.onnx", beat_definition=BEAT_DEFINITION, r_index=R_INDEX, threshold=-40.0
    )
    scorer, x = Scorer(path), beats(20)  # the monitor takes it
    scores = scorer.score(x)
    np.testing.assert_allclose(scores.log_prob, numpy_log_prob(state, (x - mean) / std), rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(scores.score, -scores.log_prob)
    assert scorer.info.threshold == -40
    assert scorer.info.name == "published"
    reference = PatientReference(scorer.calibration)
    assert [reference.judge(v).anomalous for v in (400.0, 40.1, 39.9, -50.0)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("normals.npz", None, "cannot be read"),
        ("normals.npz", b"not a zip", "no usable normalisation"),
        ("normals.json", b'{"mean": [0]}', "mean and std are needed"),
        ("normals.json", b'{"mean": [0], "std": [1]}', "mean has 1 values; the model needs 187"),
        ("normals.json", b'{"mean": ["a"], "std": [1]}', "no usable normalisation"),
        ("normals.json", b"{", "no usable normalisation"),
        ("normals.csv", b"0,1,2\n", "3 columns; 187 samples and a label"),
        ("normals.csv", b"a,b\n", "no usable normalisation"),
        ("normals.csv", b"0," * 187 + b"1\n", "n >= 2"),
        ("normals.txt", b"", r"one of \.csv, \.json, \.npz"),
    ],
)
def test_unusable_normals_are_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    normals = tmp_path / name
    if content is not None:
        normals.write_bytes(content)
    with pytest.raises(ExportError, match=message) as caught:
        import_published(
            *write_published(tmp_path, published_state(0)),
            normals,
            tmp_path / "out.onnx",
            beat_definition="kaggle/1",
            threshold=0.0,
        )
    assert str(caught.value).startswith(f"{normals}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.slow
def test_a_file_that_fails_parity_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.export.onnx_file.PARITY_MAX", 1e-15)  # rounding alone is over it
    monkeypatch.setattr("train.export.onnx_file.PARITY_RELATIVE", 1e-15)
    csv = write_csv(tmp_path / "normals.csv", np.random.default_rng(0).uniform(size=(50, 187)), np.zeros(50))
    pair = write_published(tmp_path, published_state(0))
    with pytest.raises(ExportError, match=r"allowed difference .* nats"):
        import_published(*pair, csv, tmp_path / "out.onnx", beat_definition="kaggle/1")
    assert not list(tmp_path.glob("*.onnx*"))


def test_a_broken_pair_is_refused_as_an_export_error(tmp_path: Path) -> None:
    model_path, config_path = write_published(tmp_path, published_state(0), latent_dim=11)
    with pytest.raises(ExportError, match=r"best_model\.pt: key"):
        import_published(model_path, config_path, tmp_path / "n.npz", tmp_path / "o.onnx", beat_definition="kaggle/1")
