"""The exported graph gives the scores of the plain one, and a file of the plain one can be laid out anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from detector import CONTEXT_FIELDS
from tests.train.helpers import tiny_contextual
from train.export.modules import ExportedContextual
from train.export.onnx_file import ExportError, write_onnx
from train.export.relay import relay
from train.model.contextual import ContextualECGModel, view_named

CONFIG = tiny_contextual()
STRINGS = {"name": "tiny", "version": "3", "shown": "PatientView", "config": msgspec.json.encode(CONFIG).decode()}


class Plain(ExportedContextual):
    """The model layer by layer: one-dimensional convolutions, one encoding a look."""

    def __init__(self, model: ContextualECGModel) -> None:
        super().__init__(model)
        del self.conv_blocks

    def forward(self, beats: Tensor, *contexts: Tensor) -> tuple[Tensor, Tensor]:
        model = self.model
        signals, numbers, evidence = model.view(beats, *contexts)
        features = model.encoder(signals, numbers)
        log_prob = self.flow(model.standardised(features))
        terms = torch.cat((-log_prob[:, None], *model.log_odds(features, beats, *contexts), evidence), dim=1)
        return log_prob, model.score_terms(terms)


def random_model(view: str, seed: int) -> ContextualECGModel:
    """Every weight and statistic is drawn, so that none is as good as absent."""
    torch.manual_seed(seed)  # of the flow
    sizes = (CONFIG.latent_dim, CONFIG.n_layers, CONFIG.hidden_dims, CONFIG.encoder_widths, CONFIG.encoder_hidden)
    model = ContextualECGModel(view_named(view), *sizes, likelihood_weight=CONFIG.likelihood_weight)
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_var", "feature_std", "unit")):
            tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
        elif tensor.is_floating_point() and "maf" not in name and name != "weight":
            tensor.copy_(0.4 * torch.randn(tensor.shape, generator=draw))
    return model


def inputs(n: int, seed: int = 0) -> dict[str, Any]:
    """Beats of patients that are known, of such that are not, and without an interval."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.4, 1.4, (n, len(CONTEXT_FIELDS)))
    templates = rng.normal(0, 0.3, (n, 2, 187))
    templates[::3], values[::3, 1:], values[::6, 0] = np.nan, np.nan, np.nan
    arrays = {"beats": rng.normal(0, 0.3, (n, 187)), "templates": templates, "values": values}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A file of a random model; each is written once, for that takes seconds."""
    folder = tmp_path_factory.mktemp("exported")

    def path_of(kind: type[ExportedContextual], view: str = "patient", seed: int = 1) -> Path:
        path = folder / f"{kind.__name__}-{view}-{seed}.onnx"
        return path if path.exists() else write_onnx(kind(random_model(view, seed)), 187, STRINGS, path)

    return path_of


def scores(path: Path, given: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = {tensor.name: given[tensor.name] for tensor in session.get_inputs()}
    return np.array(session.run(["log_prob", "score"], wanted))


@pytest.mark.parametrize("view", ["patient", "lone"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_exported_graph_gives_the_scores_of_the_plain_one(exported, view: str, seed: int) -> None:
    plain, lean = exported(Plain, view, seed), exported(ExportedContextual, view, seed)
    given = inputs(64, seed)
    expected = scores(plain, given)
    assert expected.std(axis=1).min() > 0.03
    np.testing.assert_allclose(scores(lean, given), expected, rtol=1e-5, atol=1e-4)
    nodes = onnx.load(lean).graph.node
    assert len(nodes) < len(onnx.load(plain).graph.node)
    assert sum(node.op_type == "Conv" for node in nodes) == 4
    assert not {"GatherND", "BatchNormalization"} & {node.op_type for node in nodes}


@pytest.mark.parametrize("size", [4, 16, 64])
def test_a_beats_score_is_its_own_at_every_place_in_a_block(exported, size: int) -> None:
    path = exported(ExportedContextual)
    given = inputs(size)
    expected = scores(path, given)
    for shift in range(1, size, 3):
        moved = {name: np.roll(array, shift, axis=0) for name, array in given.items()}
        np.testing.assert_array_equal(scores(path, moved), np.roll(expected, shift, axis=1))


def test_a_file_is_laid_out_anew_with_its_weights_and_metadata(exported, tmp_path: Path) -> None:
    plain, given = exported(Plain), inputs(32)
    anew = relay(plain, tmp_path / "anew.onnx")
    assert anew.read_bytes() == exported(ExportedContextual).read_bytes()
    before, after = onnx.load(plain), onnx.load(anew)
    assert {entry.key: entry.value for entry in after.metadata_props} == STRINGS
    assert (after.graph.input, after.graph.output) == (before.graph.input, before.graph.output)
    np.testing.assert_allclose(scores(anew, given), scores(plain, given), rtol=1e-5, atol=1e-4)


def test_what_cannot_be_laid_out_anew_is_named_and_leaves_nothing(exported, tmp_path: Path) -> None:
    lean = exported(ExportedContextual)
    words = rf"{lean.name}: has no model\.encoder\.conv_blocks\.0\.weight of shape"
    with pytest.raises(ExportError, match=words):
        relay(lean, tmp_path / "out.onnx")
    file = onnx.load(exported(Plain))
    del file.metadata_props[:]
    file.metadata_props.add(key="version", value="1")
    other = tmp_path / "other.onnx"
    onnx.save(file, other)
    (tmp_path / "text.onnx").write_text("no model")
    for path in (other, tmp_path / "text.onnx", tmp_path / "absent.onnx"):
        with pytest.raises(ExportError, match=rf"{path.name}: no file of a contextual model"):
            relay(path, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
