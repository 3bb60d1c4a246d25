"""Wave messages: samples for displays. They are neither journalled nor recovered."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.bus.sockets import BusSockets
from monitor.messages import WaveHeader, bed_topic, encode

__all__ = ["WaveChannel"]


class WaveChannel:
    """Publishes waves and counts their subscriptions.

    Args:
        sockets: of the bus.
        epoch: id of the run.
    """

    def __init__(self, sockets: BusSockets, epoch: str) -> None:
        self._sockets = sockets
        self._epoch = epoch
        self._seqs: dict[str, int] = {}
        self._subscriptions: Counter[bytes] = Counter()  # by prefix

    @property
    def viewers(self) -> int:
        """Number of subscriptions."""
        return self._subscriptions.total()

    def has_viewers(self, bed: str) -> bool:
        """Whether a subscription covers the waves of a bed."""
        if not self._subscriptions:
            return False
        return bed_topic(bed, "wave").encode().startswith(tuple(self._subscriptions))

    def read_subscriptions(self) -> None:
        """Take in new and ended subscriptions."""
        for prefix, change in self._sockets.read_subscriptions(self._sockets.waves):
            self._subscriptions[prefix] += change
            if self._subscriptions[prefix] <= 0:
                del self._subscriptions[prefix]

    def publish(self, header: WaveHeader, samples: NDArray[np.float32]) -> None:
        """See Bus.publish_wave."""
        if samples.shape != (len(header.channels), header.n):
            raise ValueError(f"samples have the shape {samples.shape}, header says {(len(header.channels), header.n)}")
        topic = bed_topic(header.bed, "wave")
        seq = self._seqs[topic] = self._seqs.get(topic, 0) + 1
        header = msgspec.structs.replace(header, epoch=self._epoch, seq=seq)
        block = np.ascontiguousarray(samples, dtype="<f4").tobytes()
        self._sockets.send(self._sockets.waves, [topic.encode(), encode(header), block])
