"""Audio pause of one bed: bounded, counted down in samples, ended by an alarm of a higher priority."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.alarms.kinds import NO_SAMPLES
from monitor.messages import AUDIO_PAUSE_MAX_S, PRIORITY_RANK, Alarm

__all__ = ["AudioPause"]


class AudioPause:
    """Whether the audible signal of one bed is paused."""

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._until = 0
        self._rank = 0

    def left_s(self, sample: int) -> float:
        """Remaining pause at `sample`, s; 0 = not paused."""
        return max(0.0, (self._until - sample) / self._fs_hz)

    def begin(self, seconds: float, sample: int, active: Iterable[Alarm]) -> float:
        """Pause for at most 2 minutes; 0 ends a pause.

        Args:
            seconds: requested duration, s.
            sample: the sample clock now.
            active: alarms not cleared. The pause has the highest priority among those not acknowledged: they sound.

        Returns:
            Granted duration, s.

        Raises:
            ValueError: negative, not a number, or no samples arrive to count the pause down.
        """
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds={seconds}: give 0 to {AUDIO_PAUSE_MAX_S:g}")
        alarms = list(active)
        if seconds and any(alarm.kind in NO_SAMPLES for alarm in alarms):
            raise ValueError("no samples arrive to count the pause down; acknowledge the alarm instead")
        granted = min(seconds, AUDIO_PAUSE_MAX_S)
        self._until = sample + round(granted * self._fs_hz)
        sounding = (PRIORITY_RANK[alarm.priority] for alarm in alarms if alarm.state != "acknowledged")
        self._rank = max(sounding, default=-1)
        return granted

    def on_onset(self, onset: Alarm) -> None:
        """End the pause if the alarm has a higher priority, or if no more samples arrive."""
        if PRIORITY_RANK[onset.priority] > self._rank or onset.kind in NO_SAMPLES:
            self._until = min(self._until, onset.decided_sample)
