"""A subscriber of the alarm socket in the process of the soak: counts the samples of published gaps."""

from __future__ import annotations

import zmq
from common.programs import wait_for

from monitor.bus.receive import received
from monitor.messages import HEARTBEAT_TOPIC, EventMessage, HeartbeatMessage, bed_topic, decode

_GOODBYE_S = 10.0
_AT_ONCE = 100_000


class GapCounter:
    """Counts the samples of published gaps.

    Args:
        endpoint: alarm socket of the bus.
        bed: whose gaps.

    Attributes:
        gap_samples: the sum of their lengths.
    """

    def __init__(self, endpoint: str, bed: str) -> None:
        self.gap_samples = 0
        self._ended = False
        self._sub = zmq.Context.instance().socket(zmq.SUB)
        self._sub.rcvhwm = 0  # read after every step; no message may be missing
        self._sub.linger = 0
        self._sub.connect(endpoint)
        for topic in (bed_topic(bed, "event"), HEARTBEAT_TOPIC):
            self._sub.subscribe(topic)

    def read(self) -> None:
        """Read the messages that have arrived; does not wait."""
        for frames in received(self._sub, _AT_ONCE):
            body = decode(frames[-1])
            if isinstance(body, EventMessage) and body.kind == "gap":
                self.gap_samples += body.n_samples
            elif isinstance(body, HeartbeatMessage):
                self._ended |= body.state == "goodbye"

    def finish(self) -> None:
        """Read until the goodbye of the monitor.

        Raises:
            ToolError: it did not come.
        """

        def ended() -> bool:
            self.read()
            return self._ended

        wait_for(ended, "goodbye of the monitor", _GOODBYE_S)
        self._sub.close()
