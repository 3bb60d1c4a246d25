"""Something that is asked until it is answered, or until patience is at its end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

__all__ = ["RETRY_S", "PendingRequest"]

RETRY_S = 1.0  # a request without an answer is sent again
ASKED_MAX = 32  # requests of one question whose answer is still good, however late


class PendingRequest:
    """One question.

    Every request that was sent stays good: an answer that takes longer than the retry must not be thrown away, or
    over a slow line none would ever be in time.
    """

    def __init__(self) -> None:
        self._asked: deque[str] = deque(maxlen=ASKED_MAX)
        self._asked_s = -math.inf
        self._retry_s = RETRY_S
        self._waited_s: float | None = None

    @property
    def pursued(self) -> bool:
        """Whether it was ever waited for an answer."""
        return self._waited_s is not None

    def slowed(self, retry_after_s: float) -> None:
        """We asked too much at once: ask again so much later, with new patience, for somebody does answer."""
        self._retry_s = max(RETRY_S, retry_after_s)
        self._waited_s = 0.0

    def pursue(self, now_s: float, step_s: float, ask: Callable[[], str]) -> float:
        """Ask where it is time to.

        Args:
            now_s: monotonic time, s.
            step_s: time since the last look at what had come, s. A program that was stopped itself for minutes has
                not waited for the answer: a long step counts as RETRY_S.
            ask: sends the request; gives its id, or nothing where it cannot be sent now.

        Returns:
            How long it has been waited for an answer, s.
        """
        self._waited_s = 0.0 if self._waited_s is None else self._waited_s + min(step_s, RETRY_S)
        if now_s - self._asked_s >= self._retry_s and (sent := ask()):
            self._asked.append(sent)
            self._asked_s, self._retry_s = now_s, RETRY_S
        return self._waited_s

    def asked(self, reply_id: str) -> bool:
        """Whether a reply answers this question."""
        return reply_id in self._asked
