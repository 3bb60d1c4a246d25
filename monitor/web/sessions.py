"""Sessions of persons who gave a valid token: kept in memory, each bound to its token."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from monitor.bus.allow_list import WebClient

__all__ = ["SESSION_S", "Sessions"]

SESSION_S: Final = 12 * 3600.0
_PER_PERSON: Final = 20  # browsers of one person; the oldest session ends first
_ALL: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Session:
    digest: str  # of the token
    ends_s: float


class Sessions:
    """Sessions by their id, a random number of 256 bits. An id that a client made up is never adopted.

    Args:
        person: returns the person whose token has a digest; None once the token is removed.
        clock: monotonic, s.
    """

    def __init__(self, person: Callable[[str], WebClient | None], clock: Callable[[], float]) -> None:
        self._person = person
        self._clock = clock
        self._sessions: OrderedDict[str, _Session] = OrderedDict()  # the oldest first

    def open(self, digest: str) -> str:
        """Begin a session for the token with this digest, which is valid; returns the id of the session."""
        own = [session_id for session_id, session in self._sessions.items() if session.digest == digest]
        for session_id in own[: max(0, len(own) - _PER_PERSON + 1)]:
            self.close(session_id)
        if len(self._sessions) >= _ALL:
            self._sessions.popitem(last=False)
        session_id = secrets.token_urlsafe(32)
        self._sessions[session_id] = _Session(digest, self._clock() + SESSION_S)
        return session_id

    def person(self, session_id: str) -> WebClient | None:
        """The person of a session; None if the session is unknown or over, or its token was removed."""
        session = self._sessions.get(session_id)
        if session is None:
            return None
        person = self._person(session.digest)
        if person is None or self._clock() >= session.ends_s:
            self.close(session_id)
            return None
        return person

    def close(self, session_id: str) -> None:
        """End a session; an unknown id changes nothing."""
        self._sessions.pop(session_id, None)
