"""The published model: CNN encoder, then a masked autoregressive flow over its features."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector import BEAT_SAMPLES
from train.model.encoder import ECGEncoder
from train.model.maf import MAF

__all__ = ["HybridECGModel", "check_state_dict", "load_published", "standardise_features"]

_FEATURE_STD_MIN = 1e-6  # below this a feature is constant: shift it, but do not amplify its rounding noise
_ENCODE_BATCH = 4096


class HybridECGModel(nn.Module):
    """Log-likelihood of a heartbeat under a density of normal beats, log p(encoder(beat)).

    Constructor, calls and state-dict names are those of the published model, so its weights load:
    `encoder.conv_blocks.{0,1,4,5,8,9}.*`, `encoder.fc.{1,4}.*` and
    `maf.layers.{k}.made.network.{0,2,4}.{weight,bias,mask}`.

    Args:
        input_len: samples in a beat.
        latent_dim: features of the encoder, D of the flow.
        n_layers: flow layers.
        hidden_dims: widths of the hidden layers of each MADE.
        dropout: of the encoder's hidden features, in training mode only.
        generator: draws random hidden degrees for the masks; None spreads them evenly.

    Raises:
        ValueError: a size out of range.
    """

    def __init__(
        self,
        input_len: int = BEAT_SAMPLES,
        latent_dim: int = 64,
        n_layers: int = 8,
        hidden_dims: Sequence[int] = (512, 512),
        dropout: float = 0.2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.encoder = ECGEncoder(input_len, latent_dim, dropout)
        self.maf = MAF(latent_dim, n_layers, hidden_dims, generator)

    def log_prob(self, beats: Tensor) -> Tensor:
        """Log p of normalised beats (n, input_len): (n,), nats; higher = more normal. Call `eval()` first."""
        return self.maf.log_prob(self.encoder(beats))

    def forward(self, beats: Tensor) -> Tensor:
        """Same as `log_prob`."""
        return self.log_prob(beats)

    @torch.no_grad()
    def encode(self, beats: Tensor) -> Tensor:
        """Features (n, latent_dim) of beats (n, input_len), without gradients; call `eval()` first."""
        features: Tensor = self.encoder(beats)
        return features

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n feature vectors (n, latent_dim) from the density (the encoder has no inverse: no beats)."""
        return self.maf.sample(n, generator)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights and masks; the masks of the file replace those of the constructor.

        Args:
            state_dict: the published layout.
            strict: False allows missing and unexpected keys; the others are still checked.
            assign: as in torch.

        Returns:
            torch's named tuple of missing and unexpected keys.

        Raises:
            ValueError: a key is missing, unexpected or of another shape, or masks are not autoregressive; nothing
                is loaded then.
        """
        state = check_state_dict(self, state_dict, strict=strict)
        return super().load_state_dict(state, strict=strict, assign=assign)


def check_state_dict(model: HybridECGModel, state_dict: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
    """Check that a state dict fits the model before anything is loaded.

    Args:
        model: the model to load into.
        state_dict: the published layout. Counters of batch normalisation (`num_batches_tracked`) may be missing:
            scoring does not use them, and files of old torch versions lack them.
        strict: whether missing and unexpected keys are errors.

    Returns:
        The state dict, completed with those counters.

    Raises:
        ValueError: it does not fit; the message names the key.
    """
    wanted = model.state_dict()
    state = dict(state_dict)
    for key in wanted:
        if key not in state and key.endswith(".num_batches_tracked"):
            state[key] = wanted[key]
    if strict:
        missing = [key for key in wanted if key not in state]
        unexpected = [key for key in state if key not in wanted]
        if missing:
            raise ValueError(f"key {missing[0]!r} is missing ({len(missing)} missing in all)")
        if unexpected:
            raise ValueError(f"key {unexpected[0]!r} does not belong to this model ({len(unexpected)} such keys)")
    for key, tensor in wanted.items():
        if key not in state:
            continue
        if not isinstance(state[key], Tensor):
            raise ValueError(f"key {key!r} holds a {type(state[key]).__name__}, not a tensor")
        if state[key].shape != tensor.shape:
            raise ValueError(f"key {key!r} has shape {tuple(state[key].shape)}; the model needs {tuple(tensor.shape)}")
        if not torch.isfinite(state[key]).all():
            raise ValueError(f"key {key!r} holds values that are not finite")
    for k, layer in enumerate(model.maf.flow_layers()):
        prefix = f"maf.layers.{k}.made.network"
        names = [f"{prefix}.{2 * i}.mask" for i in range(len(layer.made.masked_layers()))]
        _check_masks(names, [state.get(name, wanted[name]) for name in names])
    return state


def _check_masks(names: Sequence[str], masks: Sequence[Tensor]) -> None:
    """Reject masks of one MADE in which an output depends on its own input or a later one."""
    for name, mask in zip(names, masks, strict=True):
        if not ((mask == 0) | (mask == 1)).all():
            raise ValueError(f"key {name!r} is not a mask: it holds values other than 0 and 1")
    paths = masks[0].double()
    for mask in masks[1:]:
        paths = mask.double() @ paths  # (out, D): number of open paths from input to unit
    for part, half in zip(("mu", "log-sigma"), paths.chunk(2), strict=True):
        leaks = torch.triu(half).nonzero()
        if len(leaks):
            output, source = (int(i) + 1 for i in leaks[0])
            raise ValueError(
                f"masks {names[0]!r} to {names[-1]!r} are not autoregressive: "
                f"{part} {output} depends on input {source}; the density would be wrong"
            )


@torch.no_grad()
def standardise_features(model: HybridECGModel, beats: Tensor) -> tuple[Tensor, Tensor]:
    """Fold mean and standard deviation of the features into the encoder's last layer, in place.

    The flow then starts on features of mean 0 and variance 1, without a buffer that the published layout lacks. Call
    it once, between stage 1 and stage 2; a decoder trained on the old features no longer fits.

    Args:
        model: its encoder is changed in place.
        beats: (n, input_len), normalised training beats, n at least 2.

    Returns:
        Mean and standard deviation of the old features, (latent_dim,) each. A constant feature
        is only shifted to 0 (standard deviation returned as 1).

    Raises:
        ValueError: fewer than two beats.
    """
    if len(beats) < 2:
        raise ValueError(f"{len(beats)} beats given; a standard deviation needs at least 2")
    was_training = model.training
    model.eval()  # running statistics, no dropout: the same features as in scoring
    features = torch.cat([model.encode(part) for part in torch.split(beats, _ENCODE_BATCH)]).double()
    model.train(was_training)
    mean = features.mean(dim=0)
    std = features.std(dim=0, correction=0)
    std = torch.where(std > _FEATURE_STD_MIN, std, torch.ones_like(std))
    output = model.encoder.output_layer()
    output.weight.copy_(output.weight.double() / std[:, None])
    output.bias.copy_((output.bias.double() - mean) / std)
    return mean.to(output.bias.dtype), std.to(output.bias.dtype)


def load_published(model_path: Path | str, config_path: Path | str) -> HybridECGModel:
    """Model from a published pair of files, in eval mode.

    Args:
        model_path: `best_model.pt`, a state dict of the published layout (or a dict with one under `state_dict` or
            `model_state_dict`). Only tensors are read; no code in the file is executed.
        config_path: `train_config.json` with `latent_dim`, `n_layers`, `hidden_dims`.

    Raises:
        ValueError: a file is missing, unreadable or does not fit; one line naming file and key.
    """
    sizes = _read_config(Path(config_path))
    model_path = Path(model_path)
    try:
        state = torch.load(model_path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{model_path}: no such file; give the path of the checkpoint") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{model_path}: not a torch checkpoint of plain tensors ({reason})") from error
    for wrapper in ("state_dict", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise ValueError(f"{model_path}: holds a {type(state).__name__}, not a state dict")
    model = HybridECGModel(**sizes)
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{model_path}: {error} (sizes from {config_path})") from error
    return model.eval()


def _read_config(path: Path) -> dict[str, Any]:
    """Sizes of the model from train_config.json; a ValueError of one line if it cannot be used."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; it holds latent_dim, n_layers and hidden_dims") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: holds a {type(config).__name__}, not an object with latent_dim, n_layers")

    def size(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1

    for key in ("latent_dim", "n_layers", "hidden_dims"):
        if key not in config:
            raise ValueError(f"{path}: key {key!r} is missing")
    for key in ("latent_dim", "n_layers"):
        if not size(config[key]):
            raise ValueError(f"{path}: {key} is {config[key]!r}; a whole number of at least 1 is needed")
    hidden = config["hidden_dims"]
    if not isinstance(hidden, list) or not hidden or not all(size(width) for width in hidden):
        raise ValueError(f"{path}: hidden_dims is {hidden!r}; a list of widths is needed, e.g. [512, 512]")
    return {key: config[key] for key in ("latent_dim", "n_layers", "hidden_dims")}
