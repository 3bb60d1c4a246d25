"""The audio pause: bounded, counted down in samples, broken by an alarm of a higher priority."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.alarms.kinds import NO_SAMPLES
from monitor.messages import AUDIO_PAUSE_MAX_S, PRIORITY_RANK, Alarm

__all__ = ["AudioPause"]


class AudioPause:
    """The audible signal of one bed, paused or not.

    Args:
        fs_hz: sampling rate, Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self._until = 0
        self._rank = 0

    def left_s(self, sample: int) -> float:
        """What is left of the pause at `sample`, s; 0 = not paused."""
        return max(0.0, (self._until - sample) / self._fs_hz)

    def begin(self, seconds: float, sample: int, active: Iterable[Alarm]) -> float:
        """Pause, at most 2 minutes; 0 ends a pause.

        Args:
            active: alarms not cleared: the pause is of the priority of those that nobody has acknowledged, for they
                are what sounds.

        Returns:
            Seconds granted.

        Raises:
            ValueError: negative or not a number, or no samples come that could count the pause down.
        """
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds={seconds}: give 0 to {AUDIO_PAUSE_MAX_S:g}")
        alarms = list(active)
        if seconds and any(alarm.kind in NO_SAMPLES for alarm in alarms):
            raise ValueError("no samples come, so nothing would count the pause down; acknowledge the alarm instead")
        granted = min(seconds, AUDIO_PAUSE_MAX_S)
        self._until = sample + round(granted * self._fs_hz)
        heard = (PRIORITY_RANK[alarm.priority] for alarm in alarms if alarm.state != "acknowledged")
        self._rank = max(heard, default=-1)
        return granted

    def hear(self, onset: Alarm) -> None:
        """An alarm is raised, or comes back: a higher priority breaks the pause, and so does the end of the samples."""
        if PRIORITY_RANK[onset.priority] > self._rank or onset.kind in NO_SAMPLES:
            self._until = min(self._until, onset.decided_sample)
