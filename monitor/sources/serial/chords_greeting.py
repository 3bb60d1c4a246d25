"""How a board that speaks Chords is asked who it is, and told to begin; no port, no thread.

Such a board is silent until it is told `START`, answers `WHORU` with its name, and is stopped by any byte while it
sends (github.com/CIumsy/Chords-Arduino-Firmware, UNO-R4/UNO-R4.ino). So it is asked only where nothing comes, and late
enough where it sent before: its bytes may be on their way.
"""

from __future__ import annotations

from typing import Final

from monitor.sources.serial.formats import BOARDS, Board

__all__ = ["ChordsGreeting"]

ASK_S: Final = 1.0  # of silence
_ASK_RUNNING_S: Final = 2.5  # ... of a board that ran: it may have reset, or its bytes are late
_ASK_AGAIN_S: Final = 0.3  # so soon after a port came back
_ANSWER_BYTES: Final = 64


class ChordsGreeting:
    """What to write to a port, by what came from it.

    Args:
        now_s: when the port was opened, monotonic s.

    Attributes:
        board: what answered; None = nothing yet.
    """

    def __init__(self, now_s: float) -> None:
        self.board: Board | None = None
        self._heard_s = now_s
        self._ran = False  # it has sent since it was asked last

    def heard(self, data: bytes, now_s: float) -> bytes:
        """Bytes came: what to reply, empty = nothing. Bytes that are replied to are an answer and no samples."""
        self._heard_s = now_s
        last_line = data[-_ANSWER_BYTES:].strip().split(b"\n")[-1].strip().decode("ascii", "replace").upper()
        if len(data) > _ANSWER_BYTES or last_line not in BOARDS:
            self._ran = True
            return b""
        self.board = BOARDS[last_line]
        return b"START\n"

    def quiet(self, now_s: float) -> bytes:
        """Nothing comes: what to ask, empty = nothing yet."""
        if now_s - self._heard_s < (_ASK_RUNNING_S if self._ran else ASK_S):
            return b""
        self._heard_s, self._ran = now_s, False
        return b"WHORU\n"

    def back(self, now_s: float) -> None:
        """The port is open again: a board behind it begins anew."""
        self._heard_s, self._ran = now_s - ASK_S + _ASK_AGAIN_S, False
