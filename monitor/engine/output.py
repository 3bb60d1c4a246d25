"""Protocol of the receiver of a bed's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from detector import Gap
from monitor.messages import Alarm, AlarmMessage, BeatMessage
from monitor.sources import Notice

if TYPE_CHECKING:
    from monitor.engine.bed import Bed

__all__ = ["Output"]


class Output(Protocol):
    """Receiver of the messages of a bed: publishes, records and prints them."""

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:
        """A changed alarm."""

    def beat(self, bed: Bed, message: BeatMessage) -> None:
        """A beat, scored or marked unscorable."""

    def gap(self, bed: Bed, gap: Gap) -> None:
        """Samples that are missing."""

    def notice(self, bed: Bed, notice: Notice) -> None:
        """An event of the source."""

    def pacer(self, bed: Bed, samples: tuple[int, ...]) -> None:
        """Pacing pulses, in order of time: the first sample of each."""

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        """The signal of an alarm, (2, n) float32 mV (`monitor.engine.strips`)."""
