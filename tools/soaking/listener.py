"""A subscriber of the alarm socket, in the process that publishes."""

from __future__ import annotations

import time

import zmq

from monitor.bus.receive import received
from monitor.messages import HEARTBEAT_TOPIC, EventMessage, HeartbeatMessage, bed_topic, decode

_GOODBYE_S = 10.0
_AT_ONCE = 100_000


class Listener:
    """Counts the samples that the published gaps are long; keeps nothing else.

    Args:
        endpoint: alarm socket of the bus.
        bed: whose gaps.
    """

    def __init__(self, endpoint: str, bed: str) -> None:
        self.gap_samples = 0
        self._ended = False
        self._sub = zmq.Context.instance().socket(zmq.SUB)
        self._sub.rcvhwm = 0  # it is read after every step, and nothing may be missing
        self._sub.linger = 0
        self._sub.connect(endpoint)
        for topic in (bed_topic(bed, "event"), HEARTBEAT_TOPIC):
            self._sub.subscribe(topic)

    def listen(self) -> None:
        """Take what has come; does not wait."""
        for frames in received(self._sub, _AT_ONCE):
            body = decode(frames[-1])
            if isinstance(body, EventMessage) and body.kind == "gap":
                self.gap_samples += body.n_samples
            elif isinstance(body, HeartbeatMessage):
                self._ended |= body.state == "goodbye"

    def finish(self) -> None:
        """Listen until the monitor has said goodbye.

        Raises:
            TimeoutError: it did not.
        """
        until_s = time.monotonic() + _GOODBYE_S
        while not self._ended:
            if not self._sub.poll(round(max(0.0, until_s - time.monotonic()) * 1e3)):
                raise TimeoutError(f"the monitor did not say goodbye within {_GOODBYE_S:g} s")
            self.listen()
        self._sub.close()
