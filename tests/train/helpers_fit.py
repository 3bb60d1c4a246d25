"""Small made-up beats and a tiny configuration: a fit that takes a second."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.config import FitConfig, load_config
from train.data import LabelledBeats, find_data

# The models of these tests are too small for two threads, which would only wait for each other.
torch.set_num_threads(1)

TINY = (
    "latent_dim=4",
    "n_layers=2",
    "hidden_dims=[16]",
    "epochs_autoencoder=3",
    "epochs_flow=4",
    "batch_autoencoder=64",
    "batch_flow=64",
    "held_out=0.25",
)

needs_mitdb = pytest.mark.skipif(find_data("mitdb") is None, reason="needs the MIT-BIH records (ECG_MONITOR_DATA)")


def tiny_config(*overrides: str) -> FitConfig:
    return load_config("published", [*TINY, *overrides])


def made_up_beats(n: int = 400, seed: int = 0, abnormal: float = 0.2) -> LabelledBeats:
    """Narrow bumps (N) and wide ones (V) with noise, of four records."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(n) < abnormal, "V", "N")
    width = np.where(labels == "V", 18.0, 5.0) * rng.uniform(0.9, 1.1, n)
    t = np.arange(187) - 62
    beats = np.exp(-0.5 * (t / width[:, None]) ** 2) + rng.normal(0, 0.02, (n, 187))
    return LabelledBeats(beats.astype(np.float32), labels, np.array([f"r{k % 4}" for k in range(n)]))
