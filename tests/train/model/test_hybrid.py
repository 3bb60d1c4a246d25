"""The hybrid model: published checkpoints load and score as published, all else is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.train.export.published import numpy_log_prob, published_state, write_published
from train.model.hybrid import HybridECGModel, load_published, standardise_features

torch.set_num_threads(1)  # nets this small are slower on several


def small_model(seed: int = 0) -> HybridECGModel:
    torch.manual_seed(seed)
    return HybridECGModel(latent_dim=10, n_layers=3, hidden_dims=[24, 20]).eval()


def beats(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 187, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_published_checkpoint_scores_as_an_independent_implementation_does(tmp_path: Path, seed: int) -> None:
    state = published_state(seed)
    model = load_published(*write_published(tmp_path, state))
    assert not model.training
    x = beats(40, seed)
    expected = numpy_log_prob(state, x.double().numpy())
    assert expected.std() > 0.5
    with torch.no_grad():
        np.testing.assert_allclose(model.double().log_prob(x.double()).numpy(), expected, rtol=1e-10)


def test_the_masks_of_the_file_are_used(tmp_path: Path) -> None:
    state = published_state(0)
    model = load_published(*write_published(tmp_path, state))
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), key
    own = small_model().state_dict()
    assert not torch.equal(own["maf.layers.0.made.network.0.mask"], state["maf.layers.0.made.network.0.mask"])


def test_the_default_model_has_exactly_the_published_names() -> None:
    published = published_state(0, latent_dim=64, n_layers=8, hidden=(512, 512))
    model = HybridECGModel(input_len=187, latent_dim=64, n_layers=8, hidden_dims=[512, 512])
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert shapes == {key: value.shape for key, value in published.items()}


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict"])
def test_a_wrapped_state_dict_is_found(tmp_path: Path, wrapper: str) -> None:
    state = published_state(0)
    model_path, config_path = write_published(tmp_path, state)
    torch.save({wrapper: state, "epoch": 3}, model_path)
    model = load_published(model_path, config_path)
    assert torch.equal(model.state_dict()["encoder.fc.4.bias"], state["encoder.fc.4.bias"])


def test_counters_of_batch_normalisation_may_be_missing(tmp_path: Path) -> None:
    state = {k: v for k, v in published_state(0).items() if not k.endswith("num_batches_tracked")}
    model = load_published(*write_published(tmp_path, state))
    assert torch.isfinite(model.log_prob(beats(3))).all()


LAYER_1 = "maf.layers.1.made.network"


def without(key: str) -> dict[str, torch.Tensor]:
    state = published_state(0)
    del state[key]
    return state


def with_value(key: str, value: Any) -> dict[str, Any]:
    return {**published_state(0), key: value}


def leaking_mask() -> dict[str, torch.Tensor]:
    """The non-strict output mask, the classic mistake: output d sees input d."""
    state = published_state(0)
    state[f"{LAYER_1}.0.mask"] = torch.ones(24, 10)
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("encoder.fc.4.bias"), r"key 'encoder\.fc\.4\.bias' is missing \(1 missing"),
        (without(f"{LAYER_1}.2.mask"), rf"key '{LAYER_1}\.2\.mask' is missing"),
        (with_value("maf.base.loc", torch.zeros(1)), r"key 'maf\.base\.loc' does not belong to this model"),
        (with_value("encoder.fc.4.bias", torch.zeros(9)), r"has shape \(9,\); the model needs \(10,\)"),
        (with_value("encoder.fc.4.bias", [0.0] * 10), r"holds a list, not a tensor"),
        (with_value("encoder.fc.1.bias", torch.full((128,), torch.nan)), r"'encoder\.fc\.1\.bias' .* not finite"),
        (with_value(f"{LAYER_1}.2.mask", torch.full((20, 24), 0.5)), r"is not a mask: .* other than 0 and 1"),
        (leaking_mask(), rf"masks '{LAYER_1}\.0\.mask' to '{LAYER_1}\.4\.mask' are not autoregressive: mu"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, state: dict[str, Any], message: str
) -> None:
    model = small_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key  # nothing was half loaded

    model_path, config_path = write_published(tmp_path, state)
    with pytest.raises(ValueError, match=message) as caught:
        load_published(model_path, config_path)
    assert str(caught.value).startswith(f"{model_path}: ")
    assert "\n" not in str(caught.value)


def test_masks_are_checked_in_a_partial_load_too() -> None:
    with pytest.raises(ValueError, match="not autoregressive"):
        small_model().load_state_dict({f"{LAYER_1}.0.mask": torch.ones(24, 10)}, strict=False)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"n_layers": 3, "hidden_dims": [24, 20]}', "key 'latent_dim' is missing"),
        ('{"latent_dim": 10, "hidden_dims": [24, 20]}', "key 'n_layers' is missing"),
        ('{"latent_dim": 10, "n_layers": 3}', "key 'hidden_dims' is missing"),
        ('{"latent_dim": "ten", "n_layers": 3, "hidden_dims": [24, 20]}', "latent_dim is 'ten'"),
        ('{"latent_dim": 10, "n_layers": 0, "hidden_dims": [24, 20]}', "n_layers is 0"),
        ('{"latent_dim": 10, "n_layers": true, "hidden_dims": [24, 20]}', "n_layers is True"),
        ('{"latent_dim": 10, "n_layers": 3, "hidden_dims": 24}', "hidden_dims is 24"),
        ('{"latent_dim": 10, "n_layers": 3, "hidden_dims": []}', r"hidden_dims is \[\]"),
        ("[]", "holds a list"),
        ("{", "not readable as JSON"),
        (None, "no such file"),
    ],
)
def test_an_invalid_config_is_refused_in_one_line(tmp_path: Path, config: str | None, message: str) -> None:
    model_path, config_path = write_published(tmp_path, published_state(0))
    if config is None:
        config_path.unlink()
    else:
        config_path.write_text(config)
    with pytest.raises(ValueError, match=message) as caught:
        load_published(model_path, config_path)
    assert str(caught.value).startswith(f"{config_path}: ")
    assert "\n" not in str(caught.value)


def test_a_config_of_another_model_is_refused_naming_file_and_key(tmp_path: Path) -> None:
    model_path, config_path = write_published(tmp_path, published_state(0), latent_dim=12)
    with pytest.raises(ValueError, match=r"encoder\.fc\.4\.weight' has shape \(10, 128\)") as caught:
        load_published(model_path, config_path)
    assert str(model_path) in str(caught.value)
    assert str(config_path) in str(caught.value)


class Bomb:
    """An object whose unpickling would run code."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (exec, ("raise SystemExit('the code in the file was run')",))


@pytest.mark.parametrize("content", ["missing", "text", "empty", "code", "list"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    model_path, config_path = write_published(tmp_path, published_state(0))
    if content == "missing":
        model_path.unlink()
    elif content == "text":
        model_path.write_text("not a checkpoint\n")
    elif content == "empty":
        model_path.write_bytes(b"")
    else:
        torch.save({"bomb": Bomb()} if content == "code" else [1, 2], model_path)
    with pytest.raises(ValueError, match=r"best_model\.pt: ") as caught:
        load_published(model_path, config_path)
    assert "\n" not in str(caught.value)


def test_encode_gives_features_without_gradients_and_log_prob_is_the_flow_over_them() -> None:
    model, x = small_model(), beats(6)
    features = model.encode(x)
    assert features.shape == (6, 10)
    assert not features.requires_grad
    torch.testing.assert_close(model.log_prob(x), model.maf.log_prob(features))
    assert torch.equal(model(x), model.log_prob(x))
    assert model.log_prob(x).requires_grad
    assert model.sample(4).shape == (4, 10)


@pytest.mark.parametrize("training", [False, True])
def test_standardised_features_have_mean_0_and_variance_1(training: bool) -> None:
    model, x = small_model(), 3 * beats(500) + 1
    model.train(training)
    keys = set(model.state_dict())
    old = small_model().encode(x)
    mean, std = standardise_features(model, x)
    assert model.training is training
    model.eval()
    new = model.encode(x)
    torch.testing.assert_close(new.mean(dim=0), torch.zeros(10), atol=1e-4, rtol=0)
    torch.testing.assert_close(new.std(dim=0, correction=0), torch.ones(10), atol=1e-4, rtol=0)
    torch.testing.assert_close(new, (old - mean) / std, atol=1e-3, rtol=1e-3)
    assert set(model.state_dict()) == keys


def test_a_constant_feature_is_shifted_and_not_scaled() -> None:
    model, x = small_model(), beats(50)
    output = model.encoder.output_layer()
    with torch.no_grad():
        output.weight[3] = 0
        output.bias[3] = 7.0
    _, std = standardise_features(model, x)
    assert std[3] == 1
    assert torch.equal(model.encode(x)[:, 3], torch.zeros(50))


def test_one_beat_has_no_standard_deviation() -> None:
    with pytest.raises(ValueError, match="1 beats given"):
        standardise_features(small_model(), beats(1))
