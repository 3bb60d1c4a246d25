"""Training examples of one epoch of the encoder: normal beats, and synthetic anomalies made from them.

Both get the same disturbances, so that no disturbance identifies an anomaly: mixture with another patient, inverted
lead, noise, baseline wander, shifted R-peak, unknown templates and rhythm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_FS_HZ, BEAT_SAMPLES, CONTEXT_FIELDS, QRS, R_INDEX
from detector.short_repr import short_repr
from train.data.contexts import Contexts
from train.data.noise_source import NoiseSource
from train.data.perturb import Source, perturb
from train.data.records import NormalBeats

__all__ = ["Examples", "draw_examples", "plain_examples"]

# Fixed in advance, not tuned.
VIRTUAL = 0.6  # share of beats mixed with another patient: more patients than in the records
TURNED = 0.15  # share of beats with inverted lead: swapped electrodes, other heart axes
DROPPED = 0.2  # share without context: the first beats of a patient must be scored as well
CONTAMINATED = 0.12  # share of anomalies that are also the template: bigeminy, sustained runs
REAL_NOISE = 0.6  # share of anomalies with the noise of a real beat: pure waves are too smooth
_AMPLITUDE_MIN_MV: Final = 0.05
_FIELD: Final = {name: k for k, name in enumerate(CONTEXT_FIELDS)}
_TIME_S: Final = (np.arange(BEAT_SAMPLES) - R_INDEX) / BEAT_FS_HZ

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Beats with their contexts and kinds; rows as in `Contexts`.

    Attributes:
        beats: (n, 187) float32, mV.
        templates: (n, 2, 187) float32, mV, NaN = no context.
        values: (n, 8) float32, NaN = unknown.
        kinds: (n,) int64: 0 = normal, k = anomaly of family k - 1 of `train.data.perturb`.
    """

    beats: Array
    templates: Array
    values: Array
    kinds: NDArray[np.int64]

    __repr__ = short_repr


def plain_examples(normals: NormalBeats, known: bool = True) -> Examples:
    """The normal beats unchanged, with (`known`) or without their context."""
    contexts = _contexts(normals)
    if known:
        return Examples(normals.beats, contexts.templates, contexts.values, np.zeros(len(normals), np.int64))
    templates, values = _forget(contexts.templates, contexts.values, np.ones(len(normals), np.bool_))
    return Examples(normals.beats, templates, values, np.zeros(len(normals), np.int64))


def draw_examples(
    normals: NormalBeats, rng: np.random.Generator, disturb: bool = True, noise: NoiseSource | None = None
) -> Examples:
    """Every normal beat once, then one synthetic anomaly of each: 2 n examples.

    Args:
        normals: n beats with contexts.
        rng: source of all random numbers.
        disturb: False = only the perturbation itself, for a held-out set.
        noise: recorded noise for a share of the examples, if they are disturbed; None = none.
    """
    share = 1.0 if disturb else 0.0
    contexts = _contexts(normals)
    n = len(normals)
    beats, templates, values = normals.beats, contexts.templates, contexts.values.copy()
    known = np.isfinite(templates[:, 0, 0])
    templates = np.where(known[:, None, None], templates, 0.0)
    previous = np.where(np.isfinite(contexts.previous), contexts.previous, beats)
    height = np.where(known, values[:, _FIELD["amplitude_mv"]], _own_amplitude(beats))

    # Virtual patients: the shapes are a mixture of two patients; the rhythm is that of the first.
    partner = rng.permutation(n)
    mixed = (rng.random(n) < VIRTUAL * share) & known & known[partner]
    weight = np.where(mixed, rng.uniform(0.5, 1.0, n), 1.0).astype(np.float32)[:, None]
    gain = (height / height[partner]).astype(np.float32)[:, None]
    sign = np.where(rng.random(n) < TURNED * share, -1.0, 1.0).astype(np.float32)[:, None]

    def mixture(shapes: Array) -> Array:
        return sign * (weight * shapes + (1 - weight) * shapes[partner] * gain)

    beats, previous = mixture(beats), mixture(previous)
    templates = np.stack([mixture(templates[:, 0]), mixture(templates[:, 1])], axis=1)
    height = np.where(mixed, _own_amplitude(templates[:, 0]), height)
    residual = values[:, _FIELD["usual_residual"]]
    both = weight[:, 0] * residual + (1 - weight[:, 0]) * residual[partner]
    values[:, _FIELD["usual_residual"]] = np.where(mixed & np.isfinite(residual[partner]), both, residual)
    values[:, _FIELD["amplitude_mv"]] = np.where(known, height, np.nan)

    other = beats[rng.permutation(n)]
    source = Source(
        beats.astype(np.float64),
        previous.astype(np.float64),
        (other / _own_amplitude(other)[:, None] * height[:, None]).astype(np.float64),
        height.astype(np.float64),
        values[:, _FIELD["rr_s"]].astype(np.float64),
    )
    strange, factors, families = perturb(source, rng)
    if disturb:
        strange = strange + _real_noise(beats, templates[:, 0], height, known, rng)
    strange_values = values.copy()
    strange_values[:, _FIELD["rr_s"]] *= factors
    parts = [
        _example(beats, templates, values, known, height, strange, 0, rng, share),
        _example(strange, templates, strange_values, known, height, strange, 1, rng, share),
    ]
    drawn, drawn_templates, drawn_values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if disturb and noise is not None:
        drawn = drawn + noise.draw(np.tile(height, 2), rng)
    kinds = np.concatenate((np.zeros(n, np.int64), families + 1))
    return Examples(_f32(drawn), _f32(drawn_templates), _f32(drawn_values), kinds)


def _example(
    beats: Array,
    templates: Array,
    values: Array,
    known: NDArray[np.bool_],
    height: Array,
    strange: Array,
    anomalous: int,
    rng: np.random.Generator,
    share: float,
) -> tuple[Array, Array, Array]:
    """Apply contamination, disturbances and loss of context."""
    n = len(beats)
    templates, values = templates.copy(), values.copy()
    # Contamination: the anomaly is the template, sometimes the steady template as well, and its rhythm is usual.
    usual = (rng.random(n) < CONTAMINATED * share * (1.0 if anomalous else 0.5)) & known
    templates[usual, 0] = strange[usual] * rng.uniform(0.9, 1.1, (int(usual.sum()), 1))
    steady = usual & (rng.random(n) < 0.3)
    templates[steady, 1] = strange[steady]
    if anomalous:
        rr_s = values[:, _FIELD["rr_s"]]
        for name, centre, spread in (
            ("rr_median_s", 0.0, 0.03),
            ("rr_median_8_s", 0.0, 0.05),
            ("rr_long_s", 0.05, 0.1),
        ):
            drawn = rr_s * np.exp(np.maximum(centre, 0) + np.abs(rng.normal(0, spread, n)))
            values[:, _FIELD[name]] = np.where(usual, drawn, values[:, _FIELD[name]])
    if share:
        values[:, _FIELD["amplitude_mv"]] *= np.exp(rng.normal(0, 0.1, n))
        noise = rng.normal(size=(n, BEAT_SAMPLES))
        noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 2, 1)) / np.sqrt(3)
        level = np.exp(rng.uniform(np.log(0.003), np.log(0.06), n)) * (rng.random(n) < 0.7)
        phase, hz = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.3, 2, n)
        wander = np.sin(2 * np.pi * hz[:, None] * _TIME_S + phase[:, None]) * np.abs(rng.normal(0, 0.06, n))[:, None]
        beats = beats + (noise * level[:, None] + wander) * height[:, None]
        beats = _shifted(beats, rng.integers(-1, 2, n))
        together = rng.integers(-3, 4, n)
        beats = _shifted(beats, together)
        templates = np.stack([_shifted(templates[:, 0], together), _shifted(templates[:, 1], together)], axis=1)
    templates, values = _forget(templates, values, ~known | (rng.random(n) < DROPPED * share))
    return beats, templates, values


def _forget(templates: Array, values: Array, rows: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Set the context of some rows to unknown, except the RR interval itself."""
    templates, values = templates.copy(), values.copy()
    templates[rows] = np.nan
    values[np.ix_(rows, np.arange(len(CONTEXT_FIELDS)) != _FIELD["rr_s"])] = np.nan
    return templates, values


def _real_noise(
    beats: Array, template: Array, height: Array, known: NDArray[np.bool_], rng: np.random.Generator
) -> Array:
    """High-frequency difference of another beat to its template, scaled to the height of this beat: (n, 187)."""
    n = len(beats)
    donor = rng.permutation(n)
    rest = (beats - template) / height[:, None]
    padded = np.pad(rest, ((0, 0), (3, 3)), mode="edge")
    smooth = np.lib.stride_tricks.sliding_window_view(padded, 7, axis=1).mean(axis=-1)
    noisy = (rng.random(n) < REAL_NOISE) & known & known[donor]
    gain = np.where(noisy, height * rng.uniform(0.3, 1.0, n), 0.0)
    noise: Array = ((rest - smooth)[donor] * gain[:, None]).astype(np.float32)
    return noise


def _f32(values: NDArray[Any]) -> Array:
    return np.asarray(values, dtype=np.float32)


def _shifted(shapes: Array, samples: NDArray[np.int64]) -> Array:
    """Shift each row right by its number of samples; the ends are held."""
    at = np.clip(np.arange(BEAT_SAMPLES) - samples[:, None], 0, BEAT_SAMPLES - 1)
    return _f32(np.take_along_axis(shapes, at, 1))


def _own_amplitude(beats: Array) -> Array:
    return _f32(np.maximum(np.ptp(beats[:, QRS], axis=1), _AMPLITUDE_MIN_MV))


def _contexts(normals: NormalBeats) -> Contexts:
    if normals.contexts is None:
        raise ValueError("these beats have no context: give stream beats, in order of time")
    return normals.contexts
