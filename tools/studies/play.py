"""A record through a whole bed: its beats and alarms."""

from __future__ import annotations

import datetime

import numpy as np
from numpy.typing import NDArray

from detector import Gap, Scorer
from detector.lockstep import run
from monitor.config import Config
from monitor.engine.bed import Bed
from monitor.messages import Alarm, AlarmMessage, BeatMessage
from monitor.sources import Chunk, EndOfStream, Notice

__all__ = ["Kept", "Signal", "play"]

_PIECE = 360


class Signal:
    """A source of samples in memory."""

    live, rails_mv, start_time = False, None, None

    def __init__(self, name: str, lead: str, fs_hz: float, samples_mv: NDArray[np.float64]) -> None:
        self.name, self.lead, self.fs_hz = name, lead, fs_hz
        self.total_samples: int | None = len(samples_mv)
        self._samples, self._at = samples_mv, 0

    def read(self, max_samples: int) -> Chunk | None:
        if self._at >= len(self._samples):
            raise EndOfStream
        first, self._at = self._at, self._at + max_samples
        return Chunk(first, self._samples[first : self._at])

    def close(self) -> None:
        pass


class Kept:
    """An output of a bed that keeps beats and alarms."""

    def __init__(self) -> None:
        self.beats: list[BeatMessage] = []
        self.alarms: list[Alarm] = []

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:
        self.alarms.append(message.alarm)

    def beat(self, bed: Bed, message: BeatMessage) -> None:
        self.beats.append(message)

    def gap(self, bed: Bed, gap: Gap) -> None:
        pass

    def notice(self, bed: Bed, notice: Notice) -> None:
        pass

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        pass


def play(signal: Signal, scorer: Scorer) -> Kept:
    """Run a whole signal through a bed with default settings, at full speed."""
    started = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    bed = Bed("p1", signal, Config(), scorer, lambda: 0.0, started, paced=False)
    kept = Kept()
    while not bed.ended:
        run(bed.process(_PIECE, kept))
        bed.settle(scorer.score_beats(bed.input.unscored), kept)
    return kept
