"""A request that is sent again until it is answered."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

__all__ = ["PendingRequest"]

RETRY_S = 1.0  # a request without a reply is sent again after this time
IDS_MAX = 32  # attempts whose reply is still accepted


class PendingRequest:
    """The attempts of one request, and the time without a reply.

    A reply to any attempt is accepted. Over a slow connection every reply takes longer than `RETRY_S`.
    """

    def __init__(self) -> None:
        self._ids: deque[str] = deque(maxlen=IDS_MAX)
        self._sent_s = -math.inf
        self._retry_s = RETRY_S
        self._waited_s: float | None = None

    @property
    def started(self) -> bool:
        """Whether `update` was called."""
        return self._waited_s is not None

    def postpone(self, retry_after_s: float) -> None:
        """The monitor limits our rate: send again after this time, s, and restart the wait, because it does answer."""
        self._retry_s = max(RETRY_S, retry_after_s)
        self._waited_s = 0.0

    def update(self, now_s: float, step_s: float, send: Callable[[], str]) -> float:
        """Send the request if it is due.

        Args:
            now_s: monotonic time, s.
            step_s: time since replies were last read, s. A longer step counts as `RETRY_S`, because a program that
                was itself suspended did not wait for the reply.
            send: sends the request; returns its id, or "" if it cannot be sent now.

        Returns:
            Time without a reply, s.
        """
        self._waited_s = 0.0 if self._waited_s is None else self._waited_s + min(step_s, RETRY_S)
        if now_s - self._sent_s >= self._retry_s and (sent := send()):
            self._ids.append(sent)
            self._sent_s, self._retry_s = now_s, RETRY_S
        return self._waited_s

    def matches(self, reply_id: str) -> bool:
        """Whether a reply answers one of the attempts."""
        return reply_id in self._ids
