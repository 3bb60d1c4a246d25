"""A checkpoint of the published layout, written and scored without any code of `train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detector import BEAT_DEFINITION

Array = NDArray[np.float64]
METADATA: dict[str, Any] = {
    "name": "test",
    "beat_definition": BEAT_DEFINITION,
    "beat_fs_hz": 125.0,
    "r_index": 62,
    "threshold": -51.5,
    "training_data": "none: random weights",
    "seed": 7,
    "version": "0.1.0",
    "calibration": {"alpha": 0.05},
    "note": ["anything", 1],
}
CONVOLUTIONS = ((0, 1, 16, 7), (4, 16, 32, 5), (8, 32, 64, 3))  # index, in, out, kernel


def published_state(
    seed: int, latent_dim: int = 10, n_layers: int = 3, hidden: tuple[int, int] = (24, 20)
) -> dict[str, torch.Tensor]:
    """Random weights and random hidden degrees under the published names, float32."""
    rng = np.random.default_rng(seed)
    state: dict[str, NDArray[Any]] = {}

    def dense(name: str, fan_out: int, fan_in: int) -> None:
        state[f"{name}.weight"] = rng.normal(size=(fan_out, fan_in)) / np.sqrt(fan_in)
        state[f"{name}.bias"] = 0.3 * rng.normal(size=fan_out)

    for index, fan_in, fan_out, kernel in CONVOLUTIONS:
        name = f"encoder.conv_blocks.{index}"
        state[f"{name}.weight"] = rng.normal(size=(fan_out, fan_in, kernel)) / np.sqrt(fan_in * kernel)
        state[f"{name}.bias"] = 0.3 * rng.normal(size=fan_out)
        norm = f"encoder.conv_blocks.{index + 1}"
        state[f"{norm}.weight"] = rng.uniform(0.5, 1.5, fan_out)
        state[f"{norm}.bias"] = 0.3 * rng.normal(size=fan_out)
        state[f"{norm}.running_mean"] = 0.3 * rng.normal(size=fan_out)
        state[f"{norm}.running_var"] = rng.uniform(0.5, 2.0, fan_out)
        state[f"{norm}.num_batches_tracked"] = np.array(7)
    dense("encoder.fc.1", 128, 128)
    dense("encoder.fc.4", latent_dim, 128)
    state["encoder.fc.4.weight"] *= 5  # pooled noise differs little from beat to beat: spread the features
    for k in range(n_layers):
        name = f"maf.layers.{k}.made.network"
        order = np.arange(1, latent_dim + 1)
        degrees = [order, *(rng.integers(1, latent_dim, width) for width in hidden)]
        for i in range(2):
            dense(f"{name}.{2 * i}", len(degrees[i + 1]), len(degrees[i]))
            state[f"{name}.{2 * i}.mask"] = degrees[i + 1][:, None] >= degrees[i][None, :]
        dense(f"{name}.4", 2 * latent_dim, hidden[1])
        state[f"{name}.4.mask"] = np.tile(order[:, None] > degrees[2][None, :], (2, 1))
    return {
        key: torch.from_numpy(np.asarray(value)).to(torch.int64 if value.ndim == 0 else torch.float32)
        for key, value in state.items()
    }


def write_published(
    folder: Path, state: dict[str, torch.Tensor], latent_dim: int = 10, n_layers: int = 3, hidden: object = (24, 20)
) -> tuple[Path, Path]:
    """`best_model.pt` and `train_config.json` in a folder."""
    model_path, config_path = folder / "best_model.pt", folder / "train_config.json"
    torch.save(state, model_path)
    config = {"latent_dim": latent_dim, "n_layers": n_layers, "hidden_dims": hidden, "lr": 1e-3}
    config_path.write_text(json.dumps(config))
    return model_path, config_path


def numpy_log_prob(state: dict[str, torch.Tensor], beats: Array) -> Array:
    """Log p (n,) of normalised beats (n, 187) by plain numpy in float64, written from the description of the model."""
    w = {key: value.numpy().astype(np.float64) for key, value in state.items()}
    x = beats[:, None, :]
    for index, _, _, kernel in CONVOLUTIONS:
        padded = np.pad(x, ((0, 0), (0, 0), (kernel // 2, kernel // 2)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=2)  # (n, in, length, kernel)
        name, norm = f"encoder.conv_blocks.{index}", f"encoder.conv_blocks.{index + 1}"
        x = np.einsum("nclk,ock->nol", windows, w[f"{name}.weight"]) + w[f"{name}.bias"][:, None]
        x = (x - w[f"{norm}.running_mean"][:, None]) / np.sqrt(w[f"{norm}.running_var"][:, None] + 1e-5)
        x = np.maximum(x * w[f"{norm}.weight"][:, None] + w[f"{norm}.bias"][:, None], 0)
        if index < 8:
            even = x.shape[2] // 2 * 2
            x = np.maximum(x[:, :, 0:even:2], x[:, :, 1:even:2])
    half = x.shape[2] // 2
    x = np.stack([x[:, :, :half].mean(axis=2), x[:, :, half:].mean(axis=2)], axis=2).reshape(len(beats), -1)
    x = np.maximum(x @ w["encoder.fc.1.weight"].T + w["encoder.fc.1.bias"], 0)
    x = x @ w["encoder.fc.4.weight"].T + w["encoder.fc.4.bias"]
    dim = x.shape[1]
    total = np.zeros(len(beats))
    for k in range(1 + max(int(key.split(".")[2]) for key in w if key.startswith("maf."))):
        x = x[:, ::-1] if k % 2 else x
        h = x
        for i in (0, 2, 4):
            name = f"maf.layers.{k}.made.network.{i}"
            h = h @ (w[f"{name}.weight"] * w[f"{name}.mask"]).T + w[f"{name}.bias"]
            h = np.maximum(h, 0) if i < 4 else h
        log_sigma = np.clip(h[:, dim:], -2, 2)
        x = (x - h[:, :dim]) / np.exp(log_sigma)
        total -= log_sigma.sum(axis=1)
        x = x[:, ::-1] if k % 2 else x
    return total - 0.5 * (x**2).sum(axis=1) - 0.5 * dim * np.log(2 * np.pi)
