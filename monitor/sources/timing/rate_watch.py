"""Whether a live device sends as fast as it was said to: told once when it does not, and once when it does again."""

from __future__ import annotations

from typing import Final

from monitor.sources.timing.sample_clock import SampleClock

__all__ = ["RateWatch"]

_RIGHT_AGAIN: Final = 0.75  # of the tolerance: hysteresis


class RateWatch:
    """Compares the rate that a clock measures with the one it was given.

    Args:
        tolerance: share by which they may differ.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._wrong = False

    def look(self, clock: SampleClock) -> tuple[str, str] | None:
        """Kind and text of a notice where something has changed, else None."""
        limit = self._tolerance * (_RIGHT_AGAIN if self._wrong else 1.0)
        wrong = not clock.trusted or (clock.drift is not None and abs(clock.drift) > limit)
        if wrong == self._wrong:
            return None
        self._wrong = wrong
        if not wrong:
            return "sampling_rate_right", f"sends {clock.fs_hz:g} samples a second again"
        measured = "far more or fewer" if clock.drift is None else f"{clock.fs_hz * (1 + clock.drift):.1f}"
        return "sampling_rate", f"sends {measured} samples a second, not {clock.fs_hz:g}"
