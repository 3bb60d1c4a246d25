"""Comparison of a live device's measured rate with its nominal rate."""

from __future__ import annotations

from typing import Final

from monitor.sources.timing.sample_clock import SampleClock

__all__ = ["RateWatch"]

_RIGHT_AGAIN: Final = 0.75  # hysteresis: share of the tolerance


class RateWatch:
    """Reports once when the rate is wrong, and once when it is right again.

    Args:
        tolerance: largest relative difference of measured and nominal rate.
        subject: text before every report, e.g. `the board `.
        remedy: text after the report of a wrong rate.
    """

    def __init__(self, tolerance: float, subject: str = "", remedy: str = "") -> None:
        self._tolerance = tolerance
        self._subject, self._remedy = subject, remedy
        self._wrong = False

    def check(self, clock: SampleClock) -> tuple[str, str] | None:
        """Return kind and text of a notice if the state has changed, else None."""
        limit = self._tolerance * (_RIGHT_AGAIN if self._wrong else 1.0)
        wrong = not clock.trusted or (clock.drift is not None and abs(clock.drift) > limit)
        if wrong == self._wrong:
            return None
        self._wrong = wrong
        if not wrong:
            return "sampling_rate_right", f"{self._subject}sends {clock.fs_hz:g} samples a second again"
        measured = "far more or fewer" if clock.drift is None else f"{clock.fs_hz * (1 + clock.drift):.1f}"
        text = f"{self._subject}sends {measured} samples a second, not {clock.fs_hz:g}{self._remedy}"
        return "sampling_rate", text
