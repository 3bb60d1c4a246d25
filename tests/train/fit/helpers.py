"""Small made-up beats and a tiny configuration: a fit of a second, in this process or in one that is killed."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from train.config import FitConfig, load_config
from train.data.records import LabelledBeats, NormalBeats, find_data
from train.fit.fit import fit

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
needs_nstdb = pytest.mark.skipif(find_data("nstdb") is None, reason="needs the noise records (ECG_MONITOR_DATA)")

ROOT = Path(__file__).parents[3]


def tiny_config(*overrides: str) -> FitConfig:
    return load_config("published", [*TINY, *overrides])


KILLED = ("epochs_autoencoder=30", "epochs_flow=4")


def fit_to_be_killed(out: Path) -> None:
    fit_quietly(out, made_up_beats(), tiny_config(*KILLED))


def made_up_beats(n: int = 400, seed: int = 0, abnormal: float = 0.2) -> LabelledBeats:
    """Narrow bumps (N) and wide ones (V) with noise, of four records."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(n) < abnormal, "V", "N")
    width = np.where(labels == "V", 18.0, 5.0) * rng.uniform(0.9, 1.1, n)
    t = np.arange(187) - 62
    beats = np.exp(-0.5 * (t / width[:, None]) ** 2) + rng.normal(0, 0.02, (n, 187))
    return LabelledBeats(beats.astype(np.float32), labels, np.array([f"r{k % 4}" for k in range(n)]))


def fit_quietly(
    out: Path,
    beats: LabelledBeats,
    config: FitConfig,
    *,
    data: str = "made up",
    beat_definition: str = "test/1",
    by_record: bool = False,
    lines: io.StringIO | None = None,
) -> str:
    """Fit on the CPU; the printed text."""
    text = io.StringIO() if lines is None else lines
    fit(
        NormalBeats(beats),
        config,
        out,
        data=data,
        beat_definition=beat_definition,
        by_record=by_record,
        command="test",
        device="cpu",
        console=Console(file=text, width=120),
    )
    return text.getvalue()


def weights(out: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(out / "best_model.pt", weights_only=True)
    return state


def same_weights(first: Path, second: Path) -> bool:
    """Whether two runs ended with the same bits."""
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def kill_a_fit(module: str, function: str, out: Path, stage: str) -> None:
    """Run `function(out)` of a module in a separate process, and kill it within a stage."""
    code = f"import sys, pathlib; from {module} import {function}; {function}(pathlib.Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(out)], env=os.environ | {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 120
    while not _stage_reached(out / "checkpoint.pt", stage):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL


def _stage_reached(path: Path, stage: str) -> bool:
    """Whether the checkpoint holds two epochs of the stage."""
    if not path.is_file():
        return False
    return len(torch.load(path, weights_only=True)["history"][stage]) >= 2
