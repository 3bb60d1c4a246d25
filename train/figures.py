"""Figures of a fit and of an evaluation, as PNG. No display is needed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from train.data.records import CLASSES, LabelledBeats

__all__ = [
    "CLASS_NAMES",
    "COLOURS",
    "example_beats",
    "roc_curves",
    "save_figure",
    "score_distribution",
    "training_curves",
]

_DPI = 110
_PALETTE = 64  # colours per file: enough for antialiased lines, and the file is a third as large
# Colours of Okabe and Ito, distinguishable with any colour vision; normal is dark, the abnormal classes are bright.
COLOURS: Mapping[str, str] = {"N": "#333333", "S": "#0072B2", "V": "#D55E00", "F": "#009E73", "Q": "#CC79A7"}
_LINES = ("#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#333333", "#999999")
CLASS_NAMES: Mapping[str, str] = {
    "N": "N, normal",
    "S": "S, supraventricular",
    "V": "V, ventricular",
    "F": "F, fusion",
    "Q": "Q, paced or unknown",
}
_EXAMPLES = 4
_BINS = 80


def training_curves(history: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Draw training and held-out loss of both stages over the epochs, with the best epoch marked."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    units = {"autoencoder": "mean squared error", "flow": "-log p, nats"}
    for axes, (stage, rows) in zip(np.atleast_1d(figure.subplots(1, len(history))), history.items(), strict=True):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title=stage, xlabel="epoch", ylabel=units.get(stage, "loss"))
        if not rows:
            continue
        epochs = [row["epoch"] for row in rows]
        held_out = [row["held_out"] for row in rows]
        best = int(np.argmin(held_out))
        axes.plot(epochs, [row["train"] for row in rows], color="#0072B2", label="training normals")
        axes.plot(epochs, held_out, color="#D55E00", label="held-out normals")
        axes.plot(epochs[best], held_out[best], "o", color="#D55E00", label=f"best: {held_out[best]:.4g}")
        # The first epoch of a flow can be at 1e5 nats, and all later ones would be one flat line.
        later = [loss for row in rows[len(rows) // 20 + 1 :] for loss in (row["train"], row["held_out"])]
        highest = max(row["train"] for row in rows)
        if later and highest - min(later) > 3 * (max(later) - min(later)) > 0:
            margin = 0.1 * (max(later) - min(later))
            axes.set_ylim(min(later) - margin, max(later) + margin)
            axes.set_title(f"{stage} (first epochs above the axis, up to {highest:.3g})")
        axes.legend(frameon=False)
        axes.grid(alpha=0.25)
    save_figure(figure, path)


def example_beats(
    test: LabelledBeats, scores: NDArray[np.float64], path: Path, fs_hz: float, r_index: int, unit: str
) -> None:
    """Draw a few random beats of each class with their scores, one row per class.

    Args:
        test: the beats.
        scores: (n,) of the model, higher = more anomalous.
        path: PNG to write.
        fs_hz: sampling rate of the beats, Hz.
        r_index: sample of the R-peak.
        unit: unit of the beats.
    """
    names = [name for name in CLASSES if (test.labels == name).any()]
    figure = Figure(figsize=(11, 1.7 * len(names) + 0.6), layout="constrained")
    grid = figure.subplots(len(names), _EXAMPLES, sharex=True, squeeze=False)
    time_s = (np.arange(test.beats.shape[1]) - r_index) / fs_hz
    rng = np.random.default_rng(0)
    for row, name in zip(grid, names, strict=True):
        chosen = rng.permutation(np.flatnonzero(test.labels == name))[:_EXAMPLES]
        for axes in row[len(chosen) :]:
            axes.set_axis_off()
        for axes, index in zip(row, chosen.tolist(), strict=False):
            axes.plot(time_s, test.beats[index], color=COLOURS[name], linewidth=1.2)
            axes.axvline(0, color="#999999", linewidth=0.6, linestyle=":")
            where = f"{test.records[index]}   " if test.records[index] else ""
            axes.set_title(f"{where}score {scores[index]:.1f}", fontsize=8)
            axes.tick_params(labelsize=7)
        row[0].set_ylabel(CLASS_NAMES[name].replace(", ", "\n"), fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("time from the R-peak, s", fontsize=8)
    figure.suptitle(f"Example beats ({unit}, drawn at random) and their scores; higher = more anomalous", fontsize=10)
    save_figure(figure, path)


def score_distribution(
    scores: NDArray[np.float64], labels: NDArray[np.str_], threshold: float | None, name: str, path: Path
) -> None:
    """Draw the distribution of the score of each class, and the fixed threshold.

    The axis spans the middle 99.8 % of all scores, because a few abnormal beats are thousands of nats away; those are
    counted in the outermost bins.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    low, high = np.quantile(scores, [0.001, 0.999])
    if high <= low:  # all scores are equal: the axis still needs a width
        low, high = low - 0.5, high + 0.5
    normal = scores[labels == "N"]
    # A symmetric-log axis around the median of the normals: they are narrow, the abnormal tail is long.
    centre = float(np.median(normal)) if len(normal) else float(np.median(scores))
    scale = max(float(np.quantile(np.abs(normal - centre), 0.9)) if len(normal) else 1.0, 1e-9)
    edges = centre + scale * np.sinh(
        np.linspace(np.arcsinh((low - centre) / scale), np.arcsinh((high - centre) / scale), _BINS + 1)
    )
    for label in CLASSES:
        chosen = np.clip(scores[labels == label], edges[0], edges[-1])
        if len(chosen):
            share = np.histogram(chosen, edges)[0] / len(chosen)
            text = f"{CLASS_NAMES[label]} ({len(chosen):,})"
            axes.stairs(100 * share, edges, color=COLOURS[label], label=text, linewidth=1.5, fill=label == "N")
    for patch in axes.patches[:1]:
        patch.set_alpha(0.35)
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"fixed threshold {threshold:.4g}")
    axes.set_xscale(
        "function",
        functions=(
            lambda x: np.arcsinh((np.asarray(x) - centre) / scale),
            lambda y: centre + scale * np.sinh(np.asarray(y)),
        ),
    )
    axes.set_xlim(edges[0], edges[-1])
    ticks = centre + scale * np.sinh(
        np.linspace(np.arcsinh((edges[0] - centre) / scale), np.arcsinh((edges[-1] - centre) / scale), 9)
    )
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.set(
        xlabel="score; higher = more anomalous (axis stretched around the normals)",
        ylabel="share of the class per bin, %",
        title=f"{name}: scores by class",
    )
    axes.legend(frameon=False)
    save_figure(figure, path)


def roc_curves(rows: Sequence[tuple[str, NDArray[np.float64], NDArray[np.str_], float | None]], path: Path) -> None:
    """Draw the ROC of each method, and the corner of low false-positive rates on a logarithmic axis.

    Args:
        rows: name, scores, labels and AUROC of each method.
        path: PNG to write.
    """
    from sklearn.metrics import roc_curve

    figure = Figure(figsize=(11, 5), layout="constrained")
    whole, corner = figure.subplots(1, 2)
    for (name, scores, labels, area), colour in zip(rows, _LINES, strict=False):
        if area is None:
            continue
        fpr, tpr, _ = roc_curve(labels != "N", scores)
        for axes in (whole, corner):
            axes.plot(fpr, tpr, color=colour, label=f"{name}: AUROC {area:.3f}")
    whole.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    whole.set(title="all abnormal classes against N", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
    if len(whole.lines) > 1:
        whole.legend(frameon=False, loc="lower right")
    corner.set(title="few false alarms", xscale="log", xlim=(1e-3, 1), ylim=(0, 1.01))
    corner.axvline(0.01, color="#999999", linewidth=0.8, linestyle=":")
    for axes in (whole, corner):
        axes.set_xlabel("false-positive rate")
        axes.grid(alpha=0.25)
    save_figure(figure, path)


def noise_curves(
    by_snr: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float | None]]]], name: str, path: Path
) -> None:
    """Draw the rates of R-peaks and beats over the signal-to-noise ratio; clean minutes dashed.

    Args:
        by_snr: keys `24 dB`, then `noisy` or `clean`, then `rates`, then the name of the rate.
        name: name of the model.
        path: PNG to write.
    """
    ratios = sorted((int(name.split()[0]), name) for name in by_snr if name.split()[1:] == ["dB"])
    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = (
        ("R-peaks", {"r_se": "sensitivity", "r_ppv": "positive predictivity"}),
        (
            "beats",
            {
                "unscorable": "marked unscorable",
                "fpr_scored": "normal, scored: called",
                "abnormal_se": "abnormal, called",
            },
        ),
    )
    for axes, (title, rates) in zip(figure.subplots(1, 2), panels, strict=True):
        for (key, text), colour in zip(rates.items(), ("#0072B2", "#D55E00", "#009E73"), strict=False):
            for kind, style in (("noisy", "o-"), ("clean", "--")):
                values = [by_snr[name][kind]["rates"][key] for _, name in ratios]
                shares = [np.nan if value is None else 100 * value for value in values]
                label = text if kind == "noisy" else None
                axes.plot([snr for snr, _ in ratios], shares, style, color=colour, label=label, linewidth=1.4)
        axes.set(
            title=f"{title}; dashed: clean minutes", xlabel="signal-to-noise ratio, dB", ylabel="%", ylim=(-2, 102)
        )
        axes.set_xticks([snr for snr, _ in ratios])
        axes.invert_xaxis()
        axes.legend(frameon=False)
        axes.grid(alpha=0.25)
    figure.suptitle(f"{name}: records 118 and 119 with electrode motion", fontsize=10)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a small PNG without a date; missing folders are created."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png")
    with Image.open(buffer) as picture:
        picture.convert("RGB").quantize(_PALETTE, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)
