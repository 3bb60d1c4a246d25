"""Past alarms of a running monitor: its journal, read by requests on the control socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.client.client import AlarmClient
from monitor.errors import ClientError
from monitor.messages import HeartbeatMessage, Reply, Request

__all__ = ["Action", "Past", "PastStrip", "Run", "Runs", "Session"]

_POLL_S: Final = 0.25
_REPLY_S: Final = 5.0  # longest wait for one reply


class Run(msgspec.Struct, frozen=True):
    """A run of the monitor; times are Unix time, s. `ended`: `running`, `in order`, `error`, `died`, `unknown`."""

    epoch: str
    version: str = ""
    started_s: float = 0.0
    ended: str = "running"
    ended_s: float | None = None


class Session(msgspec.Struct, frozen=True):
    """One bed of one run."""

    epoch: str
    bed: str
    source: str
    lead: str
    fs_hz: float


class Runs(msgspec.Struct, frozen=True):
    """Runs of the journal and their beds, oldest first."""

    runs: tuple[Run, ...] = ()
    sessions: tuple[Session, ...] = ()


class Action(msgspec.Struct, frozen=True):
    """What an operator did about an alarm, e.g. `acknowledge`; Unix time, s."""

    wall_s: float
    who: str
    what: str
    detail: str = ""


class PastStrip(NamedTuple):
    """The signal around an alarm.

    Attributes:
        first_sample: index of the first column, source samples.
        fs_hz: sampling rate, Hz.
        rows: (2, n) float32 mV: raw and filtered; NaN = no valid sample.
        beats: bodies of the beats in it.
    """

    first_sample: int
    fs_hz: float
    rows: NDArray[np.float32]
    beats: tuple[bytes, ...]


class Past:
    """Requests about the past of one monitor; all of them together must be answered within `timeout_s`.

    Args:
        client: of the monitor; the caller closes it.
        timeout_s: s.
    """

    def __init__(self, client: AlarmClient, timeout_s: float) -> None:
        self._client = client
        self._until_s = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Time that is left, s."""
        return self._until_s - time.monotonic()

    def beds(self, where: str) -> tuple[str, ...]:
        """Names of the present beds, from a heartbeat.

        Args:
            where: endpoint, for the error.

        Raises:
            ClientError: no heartbeat in time.
        """
        while self.left_s > 0:
            for _, body, _ in self._client.poll(_POLL_S):
                if isinstance(body, HeartbeatMessage):
                    return body.beds
        raise ClientError(f"no monitor answers at {where}; start one, or name its address: --connect")

    def runs(self) -> Runs:
        """The runs of the journal; without any for an older monitor, which does not know this request.

        Raises:
            ClientError: no reply in time.
        """
        reply = self._ask(Request(op="history"))
        return msgspec.convert(reply.data, Runs) if reply.ok else Runs()

    def actions(self, alarm_id: str, epoch: str) -> tuple[Action, ...]:
        """What operators did about an alarm, oldest first.

        Raises:
            ClientError: no reply in time.
        """
        reply = self._ask(Request(op="history", alarm_id=alarm_id, epoch=epoch))
        return msgspec.convert(reply.data.get("actions", ()), tuple[Action, ...]) if reply.ok else ()

    def pages(self, topic: str, epoch: str, seq: int) -> Iterator[tuple[tuple[bytes, ...], str, int]]:
        """Bodies of a topic after a position, oldest first, in pieces.

        Args:
            topic: name.
            epoch, seq: position; an empty or unknown epoch = begin of the present run.

        Yields:
            Bodies and the position after them.

        Raises:
            ClientError: no reply in time.
        """
        more = True
        while more:
            reply = self._ask(Request(op="since", topic=topic, epoch=epoch, seq=seq))
            if not reply.ok:
                raise ClientError(f"{topic}: {reply.error}")
            more, epoch, seq = (reply.data[key] for key in ("more", "epoch", "seq"))
            yield tuple(map(bytes, reply.messages)), epoch, seq

    def strip(self, alarm_id: str, epoch: str) -> PastStrip | None:
        """The signal around an alarm of a run; None if it is not kept.

        Raises:
            ClientError: no reply in time.
        """
        reply = self._ask(Request(op="strip", alarm_id=alarm_id, epoch=epoch))
        if not reply.ok:
            return None
        rows = np.array([reply.data["raw_mv"], reply.data["filtered_mv"]], dtype=np.float32)  # null becomes NaN
        first = reply.data["first_sample"]
        # The hub of a fleet has the beats, and a shard of it the signal.
        marks = self._ask(
            Request(op="history", alarm_id=alarm_id, epoch=epoch, first_sample=first, n=max(1, rows.shape[1]))
        )
        return PastStrip(first, reply.data["fs_hz"], rows, tuple(map(bytes, marks.messages)))

    def _ask(self, request: Request) -> Reply:
        return self._client.request(request, max(0.001, min(_REPLY_S, self.left_s)))
