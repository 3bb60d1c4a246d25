"""All hyper-parameters of a fit in one frozen struct; named configurations are TOML files in `configs/`."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from train.errors import ConfigError

__all__ = ["DATA_SETS", "FitConfig", "load_config", "named_configs"]

Count = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Rate = Annotated[float, Meta(gt=0, le=1)]
Share = Annotated[float, Meta(gt=0, lt=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]


DATA_SETS = ("kaggle", "stream")


class FitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fit: model, both stages, split. The values and their reasons are in `configs/*.toml`.

    Attributes:
        architecture: `published` (`train.model.hybrid`) or `contextual` (`train.model.contextual`).
        latent_dim: features of the encoder = dimensions of the flow.
        n_layers: MAF layers.
        hidden_dims: hidden units of each MADE.
        dropout: in the encoder's fully connected part, stage 1 only.
        normalisation: of a beat before the encoder; published only.
        encoder_widths: channels of the four convolutions; contextual only.
        encoder_hidden: units between its dense layers; contextual only.
        groups: of patients to fit to, see `train.data.groups`; stream only.
        leads: `first` (MLII if there is one) or `both` leads of each patient; stream only.
        recorded_noise: share of the examples of stage 1 with noise of nstdb, 24 to 6 dB; contextual with context only.
        feature_noise: standard deviation of the noise on standardised features during the fit of the flow; contextual
            only.
        likelihood_weight: weight of -log p in the score of all evidence; contextual only.
        beats_per_epoch: normal beats drawn anew for each epoch, each lead of each patient with the same weight;
            0 = all beats; contextual only.
        epochs_autoencoder, epochs_flow: maximum number of epochs.
        patience_autoencoder, patience_flow: epochs without a better held-out loss before stopping.
        batch_autoencoder, batch_flow: beats per step.
        lr_autoencoder, lr_flow: learning rate of the first step; falls along half a cosine to nearly 0.
        weight_decay_autoencoder, weight_decay_flow: AdamW's decoupled decay.
        gradient_clip: largest gradient norm of a step.
        held_out: share of the normals (beats, or whole records) that is held out from the fit.
        threshold_quantile: share of normals (held out, or of all training patients) over the fixed threshold.
        alpha: p-value, against the patient's own beats, under which the monitor calls a beat anomalous.
        seed: of weights, order, dropout and split.

    Many attributes: one per key of the configuration file.
    """

    architecture: Literal["published", "contextual"]
    latent_dim: Count
    n_layers: Count
    hidden_dims: Annotated[list[Count], Meta(min_length=1)]
    dropout: Decay
    normalisation: Literal["per_sample", "unit_peak_to_peak", "range01"] = "per_sample"
    encoder_widths: Annotated[list[Count], Meta(min_length=4, max_length=4)] = msgspec.field(
        default_factory=lambda: [32, 48, 64, 96]
    )
    encoder_hidden: Count = 192
    groups: Annotated[list[str], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["ds1"])
    leads: str = "first"
    recorded_noise: Annotated[float, Meta(ge=0, le=1)] = 0.0
    feature_noise: Decay = 0.05
    likelihood_weight: Positive = 0.5
    beats_per_epoch: Annotated[int, Meta(ge=0)] = 0
    epochs_autoencoder: Count
    epochs_flow: Count
    patience_autoencoder: Count
    patience_flow: Count
    batch_autoencoder: Count
    batch_flow: Count
    lr_autoencoder: Rate
    lr_flow: Rate
    weight_decay_autoencoder: Decay
    weight_decay_flow: Decay
    gradient_clip: Positive
    held_out: Share
    threshold_quantile: Share
    alpha: Share
    seed: Seed


def named_configs() -> list[str]:
    """Names of the configurations in `train/configs`."""
    return sorted(
        Path(entry.name).stem
        for entry in (resources.files("train") / "configs").iterdir()
        if entry.name.endswith(".toml")
    )


def load_config(name: str, overrides: Sequence[str] = (), data: str | None = None) -> FitConfig:
    """Read a configuration and apply overrides.

    A table named after a data set (`[stream]`) holds values that differ for its beats.

    Args:
        name: of a configuration in `train/configs`, or the path of a TOML file (ends in `.toml`).
        overrides: `key=value` each, the value in TOML syntax; the last one wins.
        data: `kaggle` or `stream`; None = the file without its tables.

    Raises:
        ConfigError: unknown configuration, invalid TOML, unknown or missing key, value out of range.
    """
    if name.endswith(".toml"):
        path, text = name, _read(Path(name))
    elif name in named_configs():
        path = f"{name}.toml"
        text = (resources.files("train") / "configs" / path).read_text("utf-8")
    else:
        raise ConfigError(f"no configuration {name!r}: known are {', '.join(named_configs())}, or give a .toml file")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error
    tables = {key: value for key, value in values.items() if key in DATA_SETS and isinstance(value, dict)}
    values = {key: value for key, value in values.items() if key not in tables}
    config = _convert(values, path)
    if data in tables:
        config = _convert(msgspec.to_builtins(config) | tables[data], f"{path} [{data}]")
    for override in overrides:
        config = _convert(msgspec.to_builtins(config) | _parse(override), f"--set {override}")
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error


def _parse(override: str) -> dict[str, object]:
    key, sign, value = override.partition("=")
    if not sign or not key.strip().isidentifier():
        raise ConfigError(f"--set {override}: must be key=value")
    try:
        return tomllib.loads(f"{key.strip()} = {value}")
    except tomllib.TOMLDecodeError:
        return {key.strip(): value.strip()}  # a bare word is a string


def _convert(values: dict[str, object], origin: str) -> FitConfig:
    unknown = sorted(set(values) - set(FitConfig.__struct_fields__))
    if unknown:
        known = ", ".join(FitConfig.__struct_fields__)
        raise ConfigError(f"{origin}: unknown key {unknown[0]!r}: known are {known}")
    try:
        return msgspec.convert(values, FitConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {error}") from error
