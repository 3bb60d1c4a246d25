"""Options of a scenario: one field each, with its range and one line for the user."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

__all__ = ["HR_RANGE_BPM", "Settings", "option_fields"]

HR_RANGE_BPM = (15.0, 320.0)


def _option(text: str, low: float, high: float, default: float | None = None) -> Any:
    return field(default=default, metadata={"text": text, "range": (low, high)})


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers that hold for the whole scenario; None = drawn by the seed.

    Many attributes: each is an option of a scenario and documented by its own text.
    """

    hr: float = _option("rate of the sinus node, per minute", *HR_RANGE_BPM, 72.0)
    mv: float | None = _option("height of R, mV; all other waves of the heart follow", 0.1, 12.0)
    p: float | None = _option("P wave, share of R; 0 = none", 0.0, 0.3)
    t: float | None = _option("T wave, share of R", 0.0, 1.7)
    qrs: float | None = _option("QRS duration of sinus rhythm, ms", 40.0, 200.0)
    polarity: float = _option("1, or -1 for an inverted lead", -1.0, 1.0, 1.0)
    noise: float = _option("white noise, uV rms", 0.0, 1000.0, 10.0)
    hum: float = _option("mains hum, mV", 0.0, 5.0, 0.0)
    mains: float = _option("frequency of the hum, Hz", 45.0, 65.0, 50.0)
    muscle: float = _option("muscle noise in the kinds muscle and shiver, mV rms", 0.01, 5.0, 0.5)
    motion: float = _option("electrode motion in the kind motion, mV rms", 0.1, 50.0, 6.0)
    tremor: float | None = _option("amplitude of the kind tremor, mV peak to peak", 0.05, 5.0)
    tremor_hz: float | None = _option("frequency of the kind tremor, Hz", 3.0, 12.0)
    decay: float | None = _option("time constant in the kind decay, s", 0.2, 20.0)
    loss_ms: float = _option("length of a loss in losses and losses_flat, ms; 0 = none", 0.0, 10_000.0, 48.0)
    loss_every: float = _option("time from loss to loss, s", 0.05, 600.0, 3.0)
    garbled: float = _option("samples that are no number in losses and losses_flat, %", 0.0, 50.0, 0.0)
    pace: float = _option("pacing rate, per minute", *HR_RANGE_BPM, 80.0)
    pulse: float = _option("pacing pulse, mV", 2.0, 700.0, 5.0)
    pulse_ms: float = _option("width of the pacing pulse, ms", 0.1, 2.0, 0.5)
    overshoot: float = _option("time constant of the overshoot after a pulse, ms; 0 = none", 0.0, 100.0, 0.0)
    gain: float = _option("factor of the whole signal, for wrong units: 1000 = uV given as mV", 1e-6, 1e6, 1.0)
    offset: float = _option("added to the whole signal after `gain`", -1000.0, 1000.0, 0.0)


def option_fields() -> tuple[Field[Any], ...]:
    """Return the fields of Settings; `metadata` has `text` and `range`."""
    return fields(Settings)
