"""Made-up patients for the contextual model: beats in order of time with contexts, and detected beats."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detector import BEAT_DEFINITION, BEAT_SAMPLES, Beat, Detector
from tests.train.fit.helpers import fit_quietly
from train.config import FitConfig, load_config
from train.data.contexts import record_contexts
from train.data.perturb import Source
from train.data.records import LabelledBeats, join_beats
from train.model.contextual import ContextualECGModel, input_named

torch.set_num_threads(1)  # nets this small are slower on several

T = np.arange(BEAT_SAMPLES) - 62
_TINY = (
    "latent_dim=6",
    "n_layers=2",
    "hidden_dims=[16]",
    "encoder_widths=[8, 8, 8, 8]",
    "encoder_hidden=32",
    "epochs_autoencoder=6",
    "epochs_flow=6",
    "batch_autoencoder=64",
    "batch_flow=64",
    "held_out=0.25",
)
KILLED = ("epochs_autoencoder=4", "epochs_flow=40", "patience_flow=40")


def tiny_contextual(*overrides: str) -> FitConfig:
    return load_config("ours", [*_TINY, *overrides])


def waves(width: float, height: NDArray[np.float64], start: int = 0) -> NDArray[np.float64]:
    """P, QRS and T a row, mV; `width` of the QRS in samples."""
    t = T[None, start:]
    shape = 0.1 * np.exp(-0.5 * ((t + 22) / 3.0) ** 2) + np.exp(-0.5 * (t / width) ** 2)
    result: NDArray[np.float64] = height[:, None] * (shape + 0.25 * np.exp(-0.5 * ((t - 33) / 6.0) ** 2))
    return result


def patients(records: int = 4, beats: int = 80, seed: int = 0, abnormal: float = 0.15) -> LabelledBeats:
    """Narrow beats on time (N) and wide early ones (V) of several patients, with contexts."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(records):
        labels = np.where(rng.random(beats) < abnormal, "V", "N")
        height = rng.uniform(0.7, 1.6) * rng.uniform(0.95, 1.05, beats)
        samples = np.where((labels == "V")[:, None], waves(9.0, -height), waves(2.5, height))
        samples = (samples + rng.normal(0, 0.02, samples.shape)).astype(np.float32)
        rr_s = rng.uniform(0.7, 1.0) * np.where(labels == "V", 0.6, rng.uniform(0.95, 1.05, beats))
        rr_s[0] = np.nan
        contexts = record_contexts(samples, rr_s)
        parts.append(LabelledBeats(samples, labels, np.full(beats, f"r{k}"), contexts))
    return join_beats(parts)


@cache
def stream_beats() -> LabelledBeats:
    """The beats of `fit_stream`."""
    return patients()


def fit_stream(out: Path, *overrides: str, lines: io.StringIO | None = None) -> str:
    """A tiny fit as the command line does it on the stream; the printed text."""
    return fit_quietly(
        out,
        stream_beats(),
        tiny_contextual(*overrides),
        data="stream",
        beat_definition=BEAT_DEFINITION,
        by_record=True,
        lines=lines,
    )


def fit_to_be_killed(out: Path) -> None:
    fit_stream(out, *KILLED)


def public_beats(n: int = 300, seed: int = 0, abnormal: float = 0.15) -> LabelledBeats:
    """Beats as those of the public set: from the R-peak on, scaled to 0..1, zeros after 90 to 150 samples."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(n) < abnormal, "V", "N")
    height = rng.uniform(0.9, 1.1, n)
    beats = np.where((labels == "V")[:, None], waves(12.0, height, start=62), waves(2.5, height, start=62))
    beats = np.pad(beats, ((0, 0), (0, 62))) + rng.normal(0, 0.02, (n, BEAT_SAMPLES))
    inside = np.arange(BEAT_SAMPLES) < rng.integers(90, 150, n)[:, None]
    low = np.where(inside, beats, np.inf).min(axis=1, keepdims=True)
    high = np.where(inside, beats, -np.inf).max(axis=1, keepdims=True)
    scaled = np.where(inside, (beats - low) / (high - low), 0).astype(np.float32)
    return LabelledBeats(scaled, labels, np.array([f"r{k % 4}" for k in range(n)]))


def normal_source(n: int = 400, seed: int = 0) -> Source:
    """Normal beats as the source of anomalies, each with its predecessor and one of another patient."""
    rng = np.random.default_rng(seed)
    height = rng.uniform(0.5, 2.0, n)

    def drawn() -> NDArray[np.float64]:
        return waves(2.5, height * rng.uniform(0.95, 1.05, n)) + rng.normal(0, 0.01, (n, BEAT_SAMPLES))

    other = waves(4.0, height) - waves(1.5, 0.3 * height)
    return Source(drawn(), drawn(), other, height, rng.uniform(0.6, 1.1, n))


@cache
def detected_beats() -> tuple[Beat, ...]:
    """Detected beats of 75 s of made-up signal at 250 Hz; each tenth beat is wide and early."""
    rng, fs_hz, duration_s = np.random.default_rng(0), 250.0, 75.0
    t = np.arange(round(duration_s * fs_hz)) / fs_hz
    signal = rng.normal(0, 0.01, t.size)
    at_s, k = 0.5, 0
    while at_s < duration_s - 0.5:
        premature = k % 10 == 9
        width_s, height = (0.04, -1.3) if premature else (0.011, 1.0)
        parts = ((0.0, height, width_s), (0.27, -0.25 * height if premature else 0.25, 0.05))
        for offset_s, size, spread_s in parts if premature else (*parts, (-0.17, 0.12, 0.022)):
            signal += size * np.exp(-0.5 * ((t - at_s - offset_s) / spread_s) ** 2)
        k += 1
        at_s += 0.5 if k % 10 == 9 else 0.8 + 0.02 * rng.standard_normal()
    detector = Detector(fs_hz)
    return (*detector.push(signal), *(event for event in detector.flush() if isinstance(event, Beat)))


def random_model(view: str = "patient", seed: int = 0, latent_dim: int = 6) -> ContextualECGModel:
    """Small, in eval mode, with weights, statistics and units of no round number."""
    torch.manual_seed(seed)
    model = ContextualECGModel(input_named(view), latent_dim, 2, (16,), (8, 8, 8, 8), 16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
        for name, value in model.named_buffers():
            if name in ("feature_mean", "centre"):
                value.copy_(0.3 * torch.randn_like(value))
            elif name.endswith("running_var") or name == "unit":
                value.copy_(0.5 + torch.rand_like(value))
            elif name == "feature_std":  # small, so that the beats' features lie apart
                value.copy_(0.05 + 0.1 * torch.rand_like(value))
    return model.eval()
