"""Context of each beat (the patient's templates and rhythm at that time) as arrays: the model's second input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_SAMPLES, CONTEXT_FIELDS, BeatContext, PatientTemplate
from detector.short_repr import short_repr

__all__ = ["Contexts", "join_contexts", "record_contexts", "stack_contexts"]


@dataclass(frozen=True, slots=True)
class Contexts:
    """Contexts of n beats; NaN = unknown.

    Attributes:
        templates: (n, 2, 187) float32, mV, the template and the steady template of `detector.BeatContext`.
        values: (n, 8) float32, in the order of `detector.CONTEXT_FIELDS`.
        previous: (n, 187) float32, mV, the previous beat if the interval to it is known. Not a model input:
            synthetic early beats start with the end of it.
    """

    templates: NDArray[np.float32]
    values: NDArray[np.float32]
    previous: NDArray[np.float32]

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Contexts:
        """The contexts at `index` (positions or mask), in its order."""
        return Contexts(self.templates[index], self.values[index], self.previous[index])


def join_contexts(parts: Sequence[Contexts]) -> Contexts:
    """Concatenate the contexts of several records."""
    return Contexts(
        np.concatenate([part.templates for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.previous for part in parts]),
    )


def stack_contexts(
    contexts: Sequence[BeatContext | None], beats: NDArray[np.float32], rr_s: NDArray[np.float64]
) -> Contexts:
    """Stack the contexts that the detector returned with the beats of one record.

    Args:
        contexts: of n beats in order of time; None for the first beats.
        beats: (n, 187) float32, mV.
        rr_s: (n,) interval to the previous beat, s; NaN = unknown.
    """
    n = len(contexts)
    templates = np.full((n, 2, BEAT_SAMPLES), np.nan, dtype=np.float32)
    values = np.full((n, len(CONTEXT_FIELDS)), np.nan, dtype=np.float32)
    previous = np.full((n, BEAT_SAMPLES), np.nan, dtype=np.float32)
    values[:, 0] = rr_s
    for row, context in enumerate(contexts):
        if context is not None:
            templates[row, 0], templates[row, 1], values[row] = context.template, context.steady, context.values
    follows = np.flatnonzero(np.isfinite(rr_s[1:])) + 1
    previous[follows] = beats[follows - 1]
    return Contexts(templates, values, previous)


def record_contexts(beats: NDArray[np.float32], rr_s: NDArray[np.float64]) -> Contexts:
    """Compute the contexts of annotated beats (all of a record, in order of time) as the monitor would.

    Args:
        beats: (n, 187) float32, mV.
        rr_s: (n,) interval to the previous beat, s; NaN = unknown.
    """
    patient = PatientTemplate()
    contexts: list[BeatContext | None] = []
    for samples, interval in zip(beats, rr_s.tolist(), strict=True):
        known = None if np.isnan(interval) else interval
        contexts.append(patient.context(known))
        patient.learn(samples, known)
    return stack_contexts(contexts, beats, rr_s)
